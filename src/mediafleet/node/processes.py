"""Child processes: in their own group, with a clean environment, never longer alive than their task or node."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import structlog

from mediafleet.domain.errors import TransientFailure
from mediafleet.kinds.last_words import TAIL_BYTES, LastWords
from mediafleet.kinds.scripts import script_command, script_line
from mediafleet.node.containment import Containment
from mediafleet.node.guard import DeathSignal
from mediafleet.node.isolation import Isolation
from mediafleet.node.nursery import Nurseries, nursery_command
from mediafleet.node.patience import finish
from mediafleet.node.spares import Spares

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from mediafleet.node.guard import Guard
    from mediafleet.node.nursery import Forked

_LINE_BYTES = 1024 * 1024
"""A longer line of standard output is handed over in pieces."""
_DRAIN_S = 1.0
"""How long the standard error of an ended child is read on: a stranger may have inherited it."""
_KILL_S = 5.0
"""How long a killed child may take to go; one that hangs in the kernel longer is given up."""
_PASSED_ON = ("PATH", "HOME", "LANG")

_log = structlog.get_logger(__name__)


class Child:
    """One running child; implements `mediafleet.kinds.seam.ChildProcess`. Owned by `Children`."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, *, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._process = process
        self._grace_s = grace_s
        self._output = asyncio.StreamReader(limit=_LINE_BYTES)
        self._errors = asyncio.StreamReader(limit=TAIL_BYTES)
        self._pipes: list[asyncio.BaseTransport] = []
        self._words = LastWords()
        self._draining: asyncio.Task[None] | None = None
        self._is_read = asyncio.Event()
        self._exit: asyncio.Future[int] = loop.create_future()
        # The end has one owner and any number of waiters: a cancelled waiter must not be taken for the end.
        self._life = asyncio.create_task(self._see_through(), name=f"child {process.pid}")
        threading.Thread(target=self._await_exit, args=(loop,), name=f"wait {process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id, also the id of its group."""
        return self._process.pid

    async def connect(self) -> None:
        """Begin to read its output."""
        try:
            self._pipes.append(await _connect(self._output, self._process.stdout))
            self._pipes.append(await _connect(self._errors, self._process.stderr))
            self._draining = asyncio.create_task(self._drain_errors(), name=f"stderr {self.pid}")
        finally:
            self._is_read.set()

    def tell(self, line: bytes) -> None:
        """Write a line to standard input and close it; never waits.

        Raises:
            OSError: It has ended, or does not take the line at once.
        """
        pipe = self._process.stdin
        if pipe is None:
            raise BrokenPipeError("its standard input is empty")
        try:
            os.set_blocking(pipe.fileno(), False)
            if os.write(pipe.fileno(), line) < len(line):
                raise BlockingIOError("its standard input is full")
        finally:
            pipe.close()

    def call_at_end(self, note: Callable[[Child], None]) -> None:
        """Have a function called once it has ended."""
        self._exit.add_done_callback(lambda _: note(self))

    async def read_line(self) -> bytes:
        """Return the next line of standard output with its newline, or b"" at its end."""
        try:
            return await self._output.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            return end.partial
        except asyncio.LimitOverrunError as overrun:
            # The buffer is full, and the reader has stopped reading from the pipe: taking a part lets it go on.
            return await self._output.read(overrun.consumed)

    async def wait(self) -> int:
        """Wait for the end; return the exit code, negative for a signal. Cancelling is safe."""
        return await asyncio.shield(self._life)

    async def stop(self) -> int:
        """Ask the group to end, kill it after the grace period, and return the exit code."""
        self._signal(signal.SIGTERM)
        await asyncio.wait([self._life], timeout=self._grace_s)
        self._signal(signal.SIGKILL)
        return await self.wait()

    def errors(self) -> str:
        """Return the last 16 KiB of standard error so far, as text, and before them what it called an error."""
        return self._words.text()

    async def close(self) -> None:
        """Stop it if it still runs, and release its pipes."""
        self._is_read.set()
        try:
            async with asyncio.timeout(self._grace_s + _DRAIN_S + _KILL_S):
                await self.stop()
        except TimeoutError:
            _log.error("child process resists SIGKILL and is given up", pid=self.pid)
        if self._draining:
            self._draining.cancel()
            await asyncio.wait([self._draining])
        for pipe in self._pipes:
            pipe.close()
        if self._process.stdin:
            self._process.stdin.close()
        for file in (self._process.stdout, self._process.stderr):
            if file and not self._pipes:
                file.close()

    def _signal(self, number: signal.Signals) -> None:
        if not self._exit.done():
            _signal_group(self.pid, number)

    async def _see_through(self) -> int:
        code = await self._exit
        # It may end before its pipes are connected, and what it said must not be lost then.
        await self._is_read.wait()
        if self._draining:
            await asyncio.wait([self._draining], timeout=_DRAIN_S)
        return code

    async def _drain_errors(self) -> None:
        while piece := await self._errors.read(TAIL_BYTES):
            # Read on for ever although little is kept: a full pipe would stop the child.
            self._words.feed(piece)

    def _await_exit(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs in a thread of its own: the one way of waiting that every Unix and every event loop has."""
        code = _reap(self._process)
        # The loop is closed where the whole agent has ended before its child.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._set_exit, code)

    def _set_exit(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)


class Children:
    """The children of one task."""

    def __init__(self, launcher: Launcher, workspace: Path) -> None:
        self._launcher = launcher
        self._workspace = workspace
        self._started: list[Child] = []

    async def start(self, arguments: Sequence[str], *, cwd: Path | None = None) -> Child:
        """Start a child without a shell, with empty standard input; it runs in the workspace by default.

        Raises:
            TransientFailure: The program could not be started here.
        """
        child = self._launcher.spawn(arguments, cwd=cwd or self._workspace, temporary=self._workspace)
        # Before the first wait: a cancel during `connect` still finds the child among those to stop.
        self._started.append(child)
        await child.connect()
        return child

    async def start_script(self, script: Path, arguments: Sequence[str]) -> Child:
        """Start a script of a kind, or take one that was started before; see `mediafleet.kinds.scripts`.

        Raises:
            InvalidRequest: The arguments are too long.
            TransientFailure: The script could not be started here.
        """
        return await self._launcher.spares.start(script, script_line(arguments), own=self._started.append)

    async def close(self) -> None:
        """Stop all that still run, at the same time."""
        await asyncio.gather(*(child.close() for child in self._started))
        for child in self._started:
            self._launcher.guard.forget(child.pid)
        self._started.clear()


class Launcher:
    """Starts the children of one node."""

    def __init__(
        self,
        guard: Guard,
        *,
        environment: Mapping[str, str],
        grace_s: float,
        containment: Containment | None = None,
        spares: int = 0,
    ) -> None:
        """Hold what every child gets.

        Args:
            guard: Ends the children if this process is killed.
            environment: PATH, HOME and LANG are passed on, nothing else.
            grace_s: How long a child may take to end when asked.
            containment: What a child may take and reach; without one, all that this process may.
            spares: How many of each script wait for work, inside the block of `self.spares`.
        """
        self.guard = guard
        self._containment = containment or Containment()
        self._environment = {name: environment[name] for name in _PASSED_ON if name in environment}
        self._grace_s = grace_s
        # The kernel ties a forked child to the node as well; a watchdog would have to be told by whoever forks.
        nurseries = self._nurseries if isinstance(guard, DeathSignal) else None
        self.spares = Spares(self._spawn_script, guard.forget, most=spares, nurseries=nurseries)

    @asynccontextmanager
    async def children(self, workspace: Path) -> AsyncGenerator[Children]:
        """Yield what a task starts its children with; none of them lives longer than this block."""
        children = Children(self, workspace)
        try:
            yield children
        finally:
            await finish(children.close(), name=f"stop children of {workspace.name}")

    def spawn(self, arguments: Sequence[str], *, cwd: Path, temporary: Path) -> Child:
        """Start a child whose end is up to the caller."""
        environment = {**self._environment, "TMPDIR": str(temporary)}
        return self._spawn(arguments, cwd=cwd, environment=environment, stdin=subprocess.DEVNULL)

    def _spawn_script(self, script: Path) -> Child:
        # Nobody's folder: it may be started before it is known for whose task.
        command, anywhere = script_command(script), Path("/")
        return self._spawn(command, cwd=anywhere, environment=self._environment, stdin=subprocess.PIPE)

    def _nurseries(self, dismiss: Callable[[Child], None]) -> Nurseries:
        return Nurseries(self._start_nursery, self._adopt, dismiss)

    def _start_nursery(self, script: Path, line: socket.socket) -> Child:
        # Bound as its children will be: they inherit it all, but for what each process has of its own.
        command, anywhere, end = nursery_command(script, line.fileno()), Path("/"), line.fileno()
        return self._spawn(command, cwd=anywhere, environment=self._environment, stdin=subprocess.DEVNULL, keep=(end,))

    def _adopt(self, process: Forked) -> Child:
        self._containment.settle(process.pid)
        return Child(process, grace_s=self._grace_s)

    def _spawn(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        stdin: int,
        keep: Sequence[int] = (),
    ) -> Child:
        try:
            process = subprocess.Popen(
                list(arguments),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=environment,
                pass_fds=keep,
                # A group of its own, so that a wrapper script and all it starts can be ended with one signal.
                start_new_session=True,
                preexec_fn=self.hook(),  # noqa: PLW1509 - the hooks take no lock, so threads do no harm
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise TransientFailure(
                f"The program {arguments[0]!r} could not be started on this node: {error}."
            ) from error
        self._containment.settle(process.pid)
        return Child(process, grace_s=self._grace_s)

    def hook(self, *, is_online: bool = False) -> Callable[[], None]:
        """Return what a child runs between fork and exec.

        Args:
            is_online: It keeps the network, because its work is to ask a service.
        """
        containment = replace(self._containment, isolation=Isolation()) if is_online else self._containment
        bind, tie = containment.hook(), self.guard.hook()

        def prepare() -> None:
            bind()
            # Last, because the kernel forgets the tie when rights change.
            tie()

        return prepare


async def _connect(reader: asyncio.StreamReader, pipe: IO[bytes] | None) -> asyncio.BaseTransport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return transport


def _reap(process: subprocess.Popen[bytes] | Forked) -> int:
    """Wait for the end of the child and of its group; return the exit code."""
    if hasattr(os, "waitid"):
        # The zombie stays until the group is killed: until then its number cannot be given to a stranger.
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        _signal_group(process.pid, signal.SIGKILL)
        return process.wait()
    code = process.wait()
    _signal_group(process.pid, signal.SIGKILL)
    return code


def _signal_group(group: int, number: signal.Signals) -> None:
    # Gone already, or (macOS) only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
