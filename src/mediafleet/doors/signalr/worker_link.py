"""A worker of an older fleet as a node of ours: its hub connection is a link like any other.

What it has to do and what it says is the book's business (`worker_book`); here it is carried between the connection and
the fleet, in order, with a heartbeat for as long as the connection lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from mediafleet.domain.errors import MediafleetError, NotFound, Unavailable
from mediafleet.domain.frames import (
    PROTOCOL_VERSION,
    AttemptRef,
    Heartbeat,
    JobAssign,
    JobCancel,
    JobResultAck,
    JobResults,
    Misc,
    NodeFrame,
    Ping,
    Register,
    SchedulerFrame,
)
from mediafleet.domain.ids import task_id
from mediafleet.domain.node import MAX_SLOTS, Executor
from mediafleet.domain.worker import LINK
from mediafleet.doors.signalr.hub import Caller
from mediafleet.doors.signalr.worker_book import Act, Call, WorkerBook
from mediafleet.doors.signalr.worker_words import Said, State, describe, recall
from mediafleet.kinds.subtitize import NAME, OFFERED
from mediafleet.scheduler.facade import Fleet

EXECUTOR = "worker"
GPU = "hw:gpu"
STORED_WITHIN_S = 20.0
"""How long a worker waits for the store; then it is told to say it again, so that its connection can do something else."""
REPLACED = 4409
MOST_WAITING_FRAMES = 64
"""What a worker says while so much of it waits for the fleet is not read: its own connection slows it down."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WorkerTimes:
    """How patient the hub is with workers, seconds."""

    lease_s: float
    """How long one whose connection is gone keeps its tasks."""
    resume_s: float
    """How long one that came back may be silent about a task that it had."""


class WorkerLink:
    """One registered worker on one connection; implements `scheduler.facade.NodeLink`."""

    kind = LINK

    def __init__(self, fleet: Fleet, caller: Caller, worker: str, node: str, times: WorkerTimes) -> None:
        self.worker = worker
        self.node = node
        self.lease_ms = int(times.lease_s * 1000)
        self._fleet = fleet
        self._caller = caller
        self._book = WorkerBook(worker, resume_s=times.resume_s)
        self._resume_s = times.resume_s
        self._said = Said()
        self._recalled_s: float | None = None
        """When its word of an earlier connection was taken for its word, until it says one on this."""
        self._is_confused = False
        self._told_away = False
        """Whether the fleet was told last that it takes no work."""
        self._endpoint = ""
        self._frames: list[NodeFrame] = []
        self._news = asyncio.Event()
        self._drained = asyncio.Event()
        self._stored: dict[str, asyncio.Future[None]] = {}
        self._is_open = True
        self._is_ending = False
        self._heartbeat_s = 1.0
        self._pump: asyncio.Task[None] | None = None

    @property
    def said(self) -> Said:
        """The worker's last word on itself."""
        return self._said

    # --- as the fleet sees it ---

    def send(self, frame: SchedulerFrame) -> bool:
        """Tell the worker; see `NodeLink`."""
        if not self._is_open:
            return False
        match frame:
            case JobAssign():
                return self._do(self._book.assign(frame.assignments, self._now()))
            case JobCancel():
                return self._do(self._book.cancel(frame.attempts, self._now()))
            case JobResultAck():
                self._note_stored(frame.attempts)
                return True
            case Ping():
                return self._caller.send("Ping")
            case _:
                # What a worker of an older fleet has no word for; that it is drained the store knows by itself.
                return True

    def close(self, code: int, reason: str) -> None:
        """End the connection soon; see `NodeLink`."""
        self._is_open = False
        # One that another process has replaced must not come back, or the two would take the worker's name from each
        # other for ever.
        self._caller.close(reason, allow_reconnect=code != REPLACED)

    # --- what the hub does ---

    async def attach(self, endpoint: str) -> None:
        """Register it. Raises MediafleetError."""
        self._endpoint = endpoint
        held = await self._fleet.workers.attempts_at(self.node)
        self._book.carry(held, self._now())
        # One that paused and lost its connection is paused still; it says so, or otherwise, only after this.
        self._said, self._recalled_s = await self._recall(), self._now()
        self._told_away = self._is_away()
        registered = await self._fleet.attach(
            self,
            Register(
                protocol=PROTOCOL_VERSION,
                node=self.node,
                # Whether it is the same process as on its last connection nobody says: it is taken to be, and has
                # some time to show it (`resume_s`).
                incarnation=LINK,
                host=self.worker[:255],
                version="",
                executors=self._executors(),
                running=tuple(one.ref for one in held),
                facts=self._facts(),
                state="degraded" if self._told_away else "",
            ),
        )
        self._do(self._book.drop(registered.drop))
        self._heartbeat_s = registered.heartbeat_ms / 1000
        self._pump = asyncio.create_task(self._carry(), name=f"worker {self.worker}")

    async def detach(self, *, left: bool) -> None:
        """End it; a worker that left and has nothing to do is off at once, any other may come back."""
        self._is_open = False
        self._is_ending = True
        self._news.set()
        if self._pump:
            # Not cancelled: what it brings to the fleet at this moment would be lost halfway.
            await asyncio.gather(self._pump, return_exceptions=True)
        for waiter in self._stored.values():
            waiter.cancel()
        if left and not self._book.running:
            await self._fleet.receive(self, Misc("goodbye"))
        await self._fleet.detach(self)

    async def hear(self, said: Said) -> None:
        """Take what the worker says of itself."""
        await self._room()
        self._recalled_s = None
        self._take(said)

    def _take(self, said: Said) -> None:
        before, self._said = self._said, said
        if said.state is State.IDLE:
            self._do(self._book.idle())
        is_away = self._is_away()
        # The same word may mean another thing now: busy with its task of ours, and busy still when that is done.
        if said == before and is_away == self._told_away:
            return
        self._told_away = is_away
        data = {"state": "degraded" if is_away else "ready", "facts": self._facts()}
        if is_away:
            data["reason"] = f"the worker says {said.word!r}"
        changed = self._executors() if (said.slots, said.has_gpu) != (before.slots, before.has_gpu) else ()
        self._say(Misc("state", data, changed))

    async def progress(self, number: int, value: int, state: str) -> None:
        """Take how far a task is; one that nobody wants of it any more is stopped. Raises MediafleetError."""
        await self._room()
        if not await self._attempt(number):
            self._do([Call("StopSubtitize", (number,))])
        self._do(self._book.progress(number, value, state, self._now()))

    async def complete(self, number: int, paths: tuple[str, str]) -> None:
        """Return once a result is stored, or was not wanted. Raises MediafleetError."""
        if ref := await self._attempt(number):
            await self._store(ref, self._book.complete(number, ref, paths, self._now()))

    async def fail(self, number: int, error: str) -> None:
        """Return once a failure is stored, or was not wanted. Raises MediafleetError."""
        if ref := await self._attempt(number):
            await self._store(ref, self._book.fail(number, ref, error, self._now()))

    async def _attempt(self, number: int) -> AttemptRef | None:
        if ref := self._book.attempt(number):
            return ref
        # It was away for longer than its lease, or says it twice.
        try:
            job = await self._fleet.workers.numbered(number)
        except Unavailable:
            raise
        except MediafleetError as error:
            if not self._is_confused:
                _log.warning("a worker speaks of a task that nobody knows", worker=self.worker, reason=error.message)
            # Told once a connection: it may be said as fast as a worker can.
            self._is_confused = True
            return None
        return await self._fleet.workers.attempt_at(task_id(job, NAME), self.node)

    async def _store(self, ref: AttemptRef, frame: JobResults) -> None:
        waiter = self._stored.setdefault(ref.grant, asyncio.get_running_loop().create_future())
        self._say(frame)
        try:
            async with asyncio.timeout(STORED_WITHIN_S):
                await asyncio.shield(waiter)
        except TimeoutError:
            raise Unavailable("The result could not be stored yet; please send it again.") from None

    # --- between the two ---

    def _do(self, acts: Sequence[Act]) -> bool:
        for act in acts:
            if isinstance(act, Call):
                if not self._caller.send(act.target, *act.arguments):
                    self._is_open = False
                    return False
            else:
                self._say(act)
        return True

    def _say(self, frame: NodeFrame) -> None:
        self._frames.append(frame)
        self._news.set()

    async def _room(self) -> None:
        while len(self._frames) >= MOST_WAITING_FRAMES:
            self._drained.clear()
            await self._drained.wait()

    def _note_stored(self, attempts: Iterable[AttemptRef]) -> None:
        self._book.settle(attempts)
        for ref in attempts:
            waiter = self._stored.pop(ref.grant, None)
            if waiter and not waiter.done():
                waiter.set_result(None)

    async def _carry(self) -> None:
        """Bring frames to the fleet, one after another, and a heartbeat in time."""
        due_s = self._now()
        while True:
            while self._frames:
                await self._receive(self._frames.pop(0))
                self._drained.set()
            if self._is_ending:
                return
            if self._now() >= due_s:
                due_s = self._now() + self._heartbeat_s
                self._do(self._book.look(self._now()))
                self._forget_old_word()
                await self._receive(Heartbeat(self._book.running))
                continue
            self._news.clear()
            try:
                async with asyncio.timeout(due_s - self._now()):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _forget_old_word(self) -> None:
        """Take one that was away on an earlier connection, and says nothing on this, for one that wants work."""
        if self._recalled_s is not None and self._now() - self._recalled_s >= self._resume_s:
            self._recalled_s = None
            if self._is_away():
                self._take(Said(slots=self._said.slots, has_gpu=self._said.has_gpu))

    async def _recall(self) -> Said:
        try:
            return recall((await self._fleet.node(self.node)).facts)
        except NotFound:
            return Said()

    def _is_away(self) -> bool:
        return self._said.state is State.AWAY or (self._said.state is State.BUSY and not self._book.is_busy)

    async def _receive(self, frame: NodeFrame) -> None:
        try:
            await self._fleet.receive(self, frame)
        except MediafleetError as error:
            _log.warning("what a worker says was refused", worker=self.worker, reason=error.message)

    def _executors(self) -> tuple[Executor, ...]:
        capabilities = (*OFFERED, GPU) if self._said.has_gpu else OFFERED
        return (Executor(EXECUTOR, min(self._said.slots, MAX_SLOTS), capabilities),)

    def _facts(self) -> dict[str, Any]:
        return {"worker": msgspec.to_builtins(describe(self.worker, self._endpoint, self._said))}

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
