"""The official JavaScript client in a process of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("signalr_client.cjs")
PATIENCE_S = 60

WAYS = [
    ("WebSockets", "json"),
    ("WebSockets", "messagepack"),
    ("ServerSentEvents", "json"),
    ("LongPolling", "json"),
    ("LongPolling", "messagepack"),
]
"""Each transport with each encoding that it carries."""


class JavaScript:
    """The client's process, and what it told so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[tuple[str, Any]] = []

    async def next(self) -> tuple[str, Any] | None:
        """Return the next thing that the client saw; None at its end."""
        assert self.process.stdout
        async with asyncio.timeout(PATIENCE_S):
            line = await self.process.stdout.readline()
        if not line:
            return None
        entry = json.loads(line)
        self.told.append((entry["event"], entry["value"]))
        return self.told[-1]

    async def until(self, event: str) -> Any:
        """Read on until the client tells of this, and return what."""
        while (told := await self.next()) is not None:
            if told[0] == event:
                return told[1]
        raise AssertionError(f"the client ended without {event!r}: {self.told[-5:]}")

    def go_on(self) -> None:
        """Let the next step of a scenario that waits go on."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")

    async def finish(self) -> list[tuple[str, Any]]:
        """Read on to the end."""
        if self.process.stdin:
            self.process.stdin.close()
        while await self.next() is not None:
            pass
        return self.told

    def events(self) -> list[str]:
        return [event for event, _ in self.told]

    def counted(self) -> list[Any]:
        """Return the results of the calls that had one."""
        return [value["result"] for event, value in self.told if event == "counted" and "result" in value]


@asynccontextmanager
async def javascript(packages: Path, scenario: str, **options: Any) -> AsyncGenerator[JavaScript]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        str(packages),
        scenario,
        json.dumps(options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield JavaScript(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
