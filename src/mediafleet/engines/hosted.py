"""One process of an engine, seen from the node: started, spoken to, ended. What to do when it dies is not decided here."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediafleet.domain.errors import TransientFailure
from mediafleet.engines.wire import LENGTH_BYTES, Answer, Request, pack_frame, read_answer, read_length

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_GRACE_S = 2.0
"""How long a process that nobody asks any more may take to end by itself."""
_TAIL_BYTES = 8_192
"""How much of its last words is kept."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Tether:
    """What processes of engines are bound by; without one, by nothing."""

    hook: Callable[[Offer], Callable[[], None] | None] = lambda _: None
    """Returns what is run between fork and exec, as `Guard.hook` and `Containment.hook` do."""
    forget: Callable[[int], None] = lambda _: None
    """Called with the id of a process that has ended."""


class HostedProcess:
    """A running `mediafleet.engines.host`. Owned by one `WarmEngine`, which ends it."""

    def __init__(self, process: asyncio.subprocess.Process, tether: Tether) -> None:
        self._process = process
        self._tether = tether
        self._is_over = False
        self._words = b""
        self._listening = asyncio.create_task(self._listen(), name=f"stderr of engine {process.pid}")

    @classmethod
    async def start(cls, offer: Offer, tether: Tether) -> HostedProcess:
        """Start a process that may load an offer but has not yet, in a group of its own.

        Args:
            offer: What it is for.
            tether: What it is bound by.

        Raises:
            TransientFailure: It could not be started.
        """
        environment = {name: value for name in _PASSED_ON if (value := os.environ.get(name))}
        try:
            process = await asyncio.create_subprocess_exec(
                # Isolated (-I): neither this folder nor PYTHONPATH may put a module in the place of another.
                *(sys.executable, "-I", "-m", "mediafleet.engines.host"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=tether.hook(offer),
                cwd="/",
                env=environment,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise TransientFailure(f"The process of an engine could not be started: {error}.") from error
        return cls(process, tether)

    @property
    def pid(self) -> int:
        """Process id, also the id of its group."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self._process.returncode is None

    @property
    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._words.decode(errors="replace")

    async def send(self, request: Request) -> None:
        """Write a request.

        Raises:
            ConnectionError: It has ended.
            InvalidRequest: The request is too large; nothing was written.
        """
        pipe = self._process.stdin
        if pipe is None:
            raise BrokenPipeError
        pipe.write(pack_frame(request))
        await pipe.drain()

    async def receive(self) -> Answer:
        """Wait for the next answer; after a cancel the process can only be killed.

        Raises:
            EOFError: It has ended.
            InvalidRequest: What it wrote is no answer.
        """
        pipe = self._process.stdout
        if pipe is None:
            raise EOFError
        head = await pipe.readexactly(LENGTH_BYTES)
        return read_answer(await pipe.readexactly(read_length(head)))

    async def end(self) -> int:
        """Ask it to end by closing its input, kill it if it does not; return its exit code."""
        if self._process.stdin:
            self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await self._process.wait()
        return await self.kill()

    async def kill(self) -> int:
        """End it now with all that it started; return its exit code, negative for a signal."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = await self._process.wait()
        await self._listening
        if not self._is_over:
            self._is_over = True
            self._tether.forget(self.pid)
        return code

    async def _listen(self) -> None:
        pipe = self._process.stderr
        while pipe and (said := await pipe.read(_TAIL_BYTES)):
            self._words = (self._words + said)[-_TAIL_BYTES:]


def describe_exit(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"ended with code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
