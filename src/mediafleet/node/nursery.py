"""Prepared interpreters: one of each script has its libraries loaded and forks a child whenever one is needed.

What a child costs is then a fork and not a start with all its imports. It is a child of the node as any other; only who it
was forked by differs. Decision 0037 has the reasons, `_nursery.py` the other side. Linux only: there a child can be given to
the node (CLONE_PARENT), and no system library minds a fork without exec.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import structlog

from mediafleet.domain.errors import TransientFailure
from mediafleet.node._nursery import ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet.node.processes import Child

_SCRIPT = Path(__file__).with_name("_nursery.py")
_PATIENCE_S = 30.0
"""How long a fork may take, the imports before the first included; one that takes longer hangs."""
_FAREWELL_S = 2.0
"""How long one may take to end by itself, behind what was asked of it before."""
_WORD = b"f"

_log = structlog.get_logger(__name__)


def nursery_command(script: Path, control: int) -> list[str]:
    """Return the command of a prepared interpreter that is told by a descriptor what to do."""
    return [sys.executable, "-I", str(_SCRIPT), str(control), str(script)]


class Forked:
    """A process of which this one is the parent, though another forked it; what `Child` needs of a `Popen`."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self.stderr: IO[bytes] | None = stderr

    def wait(self) -> int:
        """Wait for its end and clear it away; return the exit code, negative for a signal. Call it once."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


@dataclass
class _Order:
    """A child that is asked for: this process's ends of its streams, and the child once it is there, or None."""

    ends: tuple[IO[bytes], IO[bytes], IO[bytes]]
    born: asyncio.Future[Child | None]

    def fail(self) -> None:
        for end in self.ends:
            end.close()
        self.born.set_result(None)


class Nursery:
    """The prepared interpreter of one script. Owned by `Nurseries`."""

    def __init__(self, nurse: Child, line: socket.socket, adopt: Callable[[Forked], Child]) -> None:
        """Take over a prepared interpreter.

        Args:
            nurse: The interpreter, whose output nobody reads yet.
            line: This process's end of its socket.
            adopt: Makes a child of what was forked.
        """
        self.nurse = nurse
        self._line = line
        self._adopt = adopt
        self._orders: deque[_Order] = deque()
        self._connecting = asyncio.create_task(nurse.connect(), name=f"connect nursery {nurse.pid}")
        self.is_open = True
        self.has_served = False
        asyncio.get_running_loop().add_reader(line, self._read)

    def order(self) -> asyncio.Future[Child | None]:
        """Ask for a child; None comes where there will be none."""
        order, theirs = _open_order()
        try:
            if not self.is_open:
                raise BrokenPipeError
            socket.send_fds(self._line, [_WORD], theirs)
        except OSError:
            # It has ended, or so many wait that it seems to hang.
            order.fail()
        else:
            self._orders.append(order)
        finally:
            for end in theirs:
                os.close(end)
        return order.born

    async def close(self) -> None:
        """End it; what it forked lives on."""
        await asyncio.wait([self._connecting])
        if self.is_open:
            with suppress(OSError, TimeoutError):
                # Ended by a signal between a fork and its answer it would leave a child that nobody knows.
                self._line.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(_FAREWELL_S):
                    await self.nurse.wait()
        await self.nurse.close()
        # What it answered before its end counts: those children are there.
        self._read()
        self._give_up()

    def _read(self) -> None:
        while self.is_open:
            try:
                answer = self._line.recv(ANSWER.size)
            except BlockingIOError:
                return
            except OSError:
                answer = b""
            if len(answer) < ANSWER.size or not self._orders:
                self._give_up()
                return
            (pid,) = ANSWER.unpack(answer)
            self._deliver(pid)

    def _deliver(self, pid: int) -> None:
        order = self._orders.popleft()
        if pid > 0:
            self.has_served = True
            order.born.set_result(self._adopt(Forked(pid, *order.ends)))
        else:
            _log.warning("a nursery could not fork", nursery=self.nurse.pid, reason=os.strerror(-pid))
            order.fail()

    def _give_up(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        asyncio.get_running_loop().remove_reader(self._line)
        self._line.close()
        # A child that was forked in its very last moment finds its standard input at its end, and ends as well.
        while self._orders:
            self._orders.popleft().fail()


def _open_order() -> tuple[_Order, list[int]]:
    """Return an order, and the child's ends of its streams."""
    (their_in, our_in), (our_out, their_out), (our_err, their_err) = os.pipe(), os.pipe(), os.pipe()
    ends = (os.fdopen(our_in, "wb", 0), os.fdopen(our_out, "rb", 0), os.fdopen(our_err, "rb", 0))
    return _Order(ends, asyncio.get_running_loop().create_future()), [their_in, their_out, their_err]


class Nurseries:
    """The prepared interpreters of one node, one a script; started when first asked, and again after their end."""

    def __init__(
        self,
        start: Callable[[Path, socket.socket], Child],
        adopt: Callable[[Forked], Child],
        dismiss: Callable[[Child], None],
    ) -> None:
        """Hold none yet.

        Args:
            start: Starts the interpreter of a script with that end of its socket.
            adopt: Makes a child of what was forked.
            dismiss: Takes a child that nobody waits for any more, to end it.
        """
        self._start = start
        self._adopt = adopt
        self._dismiss = dismiss
        self._open: dict[Path, Nursery] = {}
        self._unfit: set[Path] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> dict[Path, int]:
        """Script → number of its prepared interpreter."""
        return {script: one.nurse.pid for script, one in self._open.items() if one.is_open}

    async def fork(self, script: Path) -> Child | None:
        """Return a child in which a script waits for its line; None where it must be started in another way.

        Cancelling is safe: the child is ended as soon as it is there.
        """
        if script in self._unfit:
            return None
        nursery = self._open.get(script)
        if nursery is None or not nursery.is_open:
            self.retire(script)
            try:
                nursery = self._open[script] = self._prepare(script)
            except TransientFailure:
                return None
        born = nursery.order()
        try:
            # Not `wait_for`: on Python 3.11 it may swallow a cancellation that comes together with the answer.
            async with asyncio.timeout(_PATIENCE_S):
                child = await asyncio.shield(born)
        except TimeoutError:
            _log.warning("a nursery hangs and is ended", nursery=nursery.nurse.pid, script=script.name)
            born.add_done_callback(self._end_unwanted)
            self._unfit |= set() if nursery.has_served else {script}
            self.retire(script)
            return None
        except asyncio.CancelledError:
            born.add_done_callback(self._end_unwanted)
            raise
        if child is None:
            await self._judge(script, nursery)
        return child

    def retire(self, script: Path) -> None:
        """End the prepared interpreter of a script, if there is one."""
        if nursery := self._open.pop(script, None):
            ending = asyncio.create_task(nursery.close(), name=f"end nursery {nursery.nurse.pid}")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End all; nothing may be asked of them meanwhile."""
        for script in list(self._open):
            self.retire(script)
        await asyncio.gather(*self._ending)

    def _prepare(self, script: Path) -> Nursery:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - the socket's own signature
        with theirs:
            try:
                nurse = self._start(script, theirs)
            except TransientFailure:
                ours.close()
                raise
        return Nursery(nurse, ours, self._adopt)

    async def _judge(self, script: Path, nursery: Nursery) -> None:
        """Note a script that cannot be forked, or a system on which nothing can."""
        if nursery.is_open:
            return
        code = await nursery.nurse.wait()
        # Ended from outside it is started again. By itself it never ends as long as it can do its work.
        if code >= 0 and script not in self._unfit:
            self._unfit.add(script)
            _log.info("a script is started anew each time", script=script.name, reason=nursery.nurse.errors().strip())

    def _end_unwanted(self, born: asyncio.Future[Child | None]) -> None:
        if not born.cancelled() and (child := born.result()):
            self._dismiss(child)
