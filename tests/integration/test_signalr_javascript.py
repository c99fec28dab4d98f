"""The official JavaScript client, over each transport and encoding; needs node and npm, and packages that npm can fetch."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cut_proxy import CutProxy
from tests_support.signalr_parts import EchoHub, served_hub

from mediafleet.ops.settings import ServerSettings

VERSION = "10.0.11"
SCRIPT = Path(__file__).with_name("signalr_client.cjs")
TOKEN = "a-token-of-the-fleet"  # noqa: S105 - of this test
PATIENCE_S = 60
INSTALL_S = 90

WAYS = [
    ("WebSockets", "json"),
    ("WebSockets", "messagepack"),
    ("ServerSentEvents", "json"),
    ("LongPolling", "json"),
    ("LongPolling", "messagepack"),
]
each_way = pytest.mark.parametrize(("transport", "encoding"), WAYS)


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the official client in it."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("node and npm are not on PATH")
    folder = tmp_path_factory.mktemp("signalr-npm")
    names = [f"@microsoft/signalr@{VERSION}", f"@microsoft/signalr-protocol-msgpack@{VERSION}"]
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not fetch the official client within {INSTALL_S} s")
    # A version that does not exist is a fault of ours; all else is the network, or what this machine lacks.
    assert not {"E404", "ETARGET"}.intersection(done.stderr.split()), done.stderr[-500:]
    if done.returncode:
        pytest.skip(f"npm could not fetch the official client: {done.stderr[-200:]}")
    return folder


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


@pytest.fixture
def echo() -> EchoHub:
    return EchoHub()


@each_way
async def test_the_official_client_calls_is_called_and_hears_of_errors(
    packages: Path, echo: EchoHub, transport: str, encoding: str
) -> None:
    async with (
        served_hub(echo, server=ServerSettings(token=TOKEN)) as hub,
        javascript(
            packages,
            "exchange",
            url=f"{hub.url}/signalrhub",
            transport=transport,
            encoding=encoding,
            token=TOKEN,
        ) as client,
    ):
        told = dict(await client.finish())
    assert told["started"] == {"result": None}
    assert told["echo"] == {"result": {"a": [1, None, "ü"]}}
    assert (told["add"], told["note"]) == ({"result": 42}, {"result": None})
    assert (told["called"], told["hello"]) == ({"result": True}, 5)
    assert "Unknown hub method 'Nope'" in told["unknown"]["error"]
    assert "Invocation provides 1 argument(s) but target expects 2." in told["count"]["error"]
    assert "HubException: That cannot be." in told["refused"]["error"]
    assert "non-streaming 'Echo' method" in told["stream"]["error"]
    assert told["again"] == {"result": "still here"}
    assert told["closed"] is None
    assert ("Note", "no answer") in echo.calls


async def test_the_official_client_is_refused_without_a_token(packages: Path, echo: EchoHub) -> None:
    async with (
        served_hub(echo, server=ServerSettings(token=TOKEN)) as hub,
        javascript(packages, "exchange", url=f"{hub.url}/signalrhub", transport="WebSockets") as client,
    ):
        told = await client.finish()
    assert len(told) == 1
    assert "Unauthorized" in told[0][1]["error"]


@each_way
async def test_the_official_client_comes_back_after_a_restart(
    packages: Path, echo: EchoHub, transport: str, encoding: str
) -> None:
    options = {"transport": transport, "encoding": encoding}
    async with served_hub(echo) as hub:
        running = javascript(packages, "count", url=f"{hub.url}/signalrhub", **options)
        client = await running.__aenter__()
        try:
            await client.until("counted")
        except BaseException:
            await running.__aexit__(None, None, None)
            raise
    try:
        async with served_hub(echo, port=hub.port):
            await client.until("reconnected")
            assert "result" in await client.until("counted")
            await client.finish()
    finally:
        await running.__aexit__(None, None, None)
    assert client.events()[-1] == "closed"


@pytest.mark.parametrize("encoding", ["json", "messagepack"])
async def test_the_official_client_resumes_where_it_was_when_its_socket_breaks(
    packages: Path, echo: EchoHub, encoding: str
) -> None:
    async with served_hub(echo) as hub, CutProxy(hub.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/signalrhub"
        options = {"transport": "WebSockets", "encoding": encoding, "stateful": True}
        async with javascript(packages, "count", url=url, **options) as client:
            for _ in range(5):
                for _ in range(20):
                    await client.until("counted")
                proxy.cut()
            for _ in range(20):
                await client.until("counted")
            await client.finish()
    assert "reconnecting" not in client.events()
    assert client.counted() == list(range(len(client.counted())))
    # Each call was made once, though its answer may have been sent twice.
    assert echo.calls == [("Echo", number) for number in range(len(echo.calls))]
    assert len(echo.connected) == 1
