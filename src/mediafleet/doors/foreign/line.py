"""Keeps the connection to the master: says who we are, hears what it wants, tells how far it is, delivers.

Whatever the master does, it is tried again; what it does wrong is one line in the log for each cause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from mediafleet.domain.errors import InvalidRequest, MediafleetError
from mediafleet.doors.foreign.book import Entry, Stage
from mediafleet.doors.foreign.choice import shown
from mediafleet.doors.foreign.desk import PROGRESS_S
from mediafleet.doors.foreign.orders import ACKNOWLEDGE, PING, START, STOP, Order, key_of, read_order, task_of
from mediafleet.doors.foreign.wire import Call, MasterLost, MasterRefused, MasterWire, connected

if TYPE_CHECKING:
    from mediafleet.domain.clock import Clock
    from mediafleet.doors.foreign.book import Book
    from mediafleet.doors.foreign.choice import MasterChoice
    from mediafleet.doors.foreign.desk import Desk
    from mediafleet.ops.settings import MasterSettings

IDLE, AVAILABLE, BUSY = "idle", "available", "busy"
"""At work on nothing and owing nothing; room for more; no room."""
STATUS_S = 15.0
"""How often the status is told though it is the same: masters take a worker that is silent for a minute for lost."""
AGAIN_S = 60.0
"""Pause before a result that the master refused is told again on the same connection."""
STEADY_S = 60.0
"""A connection that lasted so long was no fault of the master's, and its end is told even if it is the same again."""
_EXPLAIN_S = 1.0

_log = structlog.get_logger(__name__)


class Me(NamedTuple):
    """Who the master is told that we are."""

    worker_id: str
    endpoint: str
    """Address of the node's own API."""


@dataclass(frozen=True)
class Workplace:
    """What a line works with."""

    me: Me
    desk: Desk
    book: Book
    clock: Clock
    settings: MasterSettings

    def status(self, undelivered: int = 0) -> str:
        """Return a word for whether there is room for another task, with so many results that still take up room."""
        # Masters take `idle` for the word of a worker that has lost what it had.
        taken = self.desk.running + undelivered
        return IDLE if not taken else BUSY if taken >= self.settings.tasks else AVAILABLE


def pause_s(failures: int, settings: MasterSettings) -> float:
    """Return how long to wait after so many attempts in a row that failed, seconds."""
    # Bounded, since 2 to the power of a week's failures is no number to multiply with.
    doublings = min(max(failures - settings.retries, 0), 32)
    return float(min(settings.retry_s * 2**doublings, settings.retry_longest_s))


class MasterLine:
    """The one connection of a node to the master of its choice; `run` is its task."""

    def __init__(self, choice: MasterChoice, place: Workplace) -> None:
        self._choice, self._place = choice, place
        self.is_connected = False
        self.trouble = ""
        """Why there is no connection; empty while there is one, or nobody to connect to."""
        self._cause = ""
        """The last that was told."""
        self._since_s = 0.0
        self._is_flapping = False

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            self._choice.changed.clear()
            url, token = self._choice.url, self._choice.token
            keeping = asyncio.create_task(self._keep(url, token), name="master-line")
            changed = asyncio.create_task(self._choice.changed.wait(), name="master-choice")
            try:
                await asyncio.wait({keeping, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (keeping, changed):
                    task.cancel()
                await asyncio.gather(keeping, changed, return_exceptions=True)
                self.is_connected, self.trouble = False, ""

    async def _keep(self, url: str, token: str) -> None:
        if not url:
            await asyncio.Event().wait()
        failures = 0
        while True:
            try:
                if not self._place.desk.was_ready:
                    self.trouble = "No node of the fleet is ready for work yet."
                    await self._place.desk.wait_ready()
                    self.trouble = ""
                async with connected(url, token) as (wire, lost):
                    failures = 0
                    await _Visit(self._place, wire, url).serve(lost, partial(self._note_registered, url))
            except MediafleetError as error:
                self._note_lost(url, error.message)
            except Exception as error:  # noqa: BLE001 - the boundary to the master, which must not end this node
                _log.exception("a fault of ours ended the connection to the master", master=shown(url))
                self._note_lost(url, f"A fault of ours: {type(error).__name__}.")
            failures += 1
            await asyncio.sleep(pause_s(failures, self._place.settings))

    def _note_registered(self, url: str) -> None:
        """There is a connection, and the master has taken us for its worker."""
        self.is_connected, self.trouble = True, ""
        self._since_s = asyncio.get_running_loop().time()
        (_log.debug if self._is_flapping else _log.info)("connected to the master", master=shown(url))

    def _note_lost(self, url: str, cause: str) -> None:
        was_connected = self.is_connected
        was_steady = was_connected and asyncio.get_running_loop().time() - self._since_s >= STEADY_S
        # Once a cause: a master that is away for a night is tried a hundred times, and one may take us and drop us.
        is_new = cause != self._cause or was_steady
        if is_new:
            _log.warning("no connection to the master; it is tried again", master=shown(url), reason=cause)
        self.is_connected, self.trouble, self._cause = False, cause, cause
        self._is_flapping = was_connected and not is_new


class _Visit:
    """One connection's worth of work."""

    def __init__(self, place: Workplace, wire: MasterWire, url: str) -> None:
        self._place, self._wire, self._url = place, wire, url
        self._me, self._desk, self._book = place.me, place.desk, place.book
        self._told: set[str] = set()
        """Results that were told on this connection."""
        self._refused: dict[str, int] = {}
        """Results that the master did not take, with the time from which on they are told again, milliseconds."""
        self._news = asyncio.Event()

    async def serve(self, lost: asyncio.Task[None], on_registered: Callable[[], None]) -> None:
        """Work until the connection is lost. Raises MasterLost."""
        # Nobody else would notice its end while a call waits for its answer.
        await _until_first(lost, self._introduce())
        on_registered()
        await _until_first(lost, self._hear(), self._tell_status(), self._tell_progress(), self._deliver())

    async def _introduce(self) -> None:
        try:
            await self._wire.call("RegisterWorker", self._me.worker_id, self._me.endpoint)
        except MasterRefused as error:
            raise MasterLost(f"It refuses this worker: {error.message}") from error
        await self._say_status()

    # What the master says.

    async def _hear(self) -> None:
        while True:
            call = await self._wire.calls.get()
            try:
                await self._handle(call)
            except InvalidRequest as error:
                _log.warning("a call of the master cannot be carried out", call=call.target[:40], reason=error.message)

    async def _handle(self, call: Call) -> None:
        task = task_of(call.arguments)
        if call.target == START:
            await self._start(call)
        elif call.target == STOP and task is not None:
            await self._desk.stop(self._url, task)
        elif call.target == ACKNOWLEDGE and task is not None:
            await self._acknowledge(task)
        elif call.target == PING:
            await self._say_status()
        else:
            raise InvalidRequest("It is none that this worker knows, or its arguments are wrong.")

    async def _start(self, call: Call) -> None:
        try:
            order = read_order(call.arguments)
        except InvalidRequest as error:
            task = task_of(call.arguments)
            if task is not None:
                # Kept like any other: the master would else wait for it until it times out.
                words = [str(one) if isinstance(one, str) else "" for one in call.arguments[1:5]]
                order = Order(task, *(words + [""] * 4)[:4])
                await self._desk.refuse(self._url, order, error.message)
            raise
        key = key_of(self._url, order)
        known = self._book.get(key)
        if known and known.stage is Stage.FINISHED and known.error and key in self._told:
            # It has heard that this failed, though its answer is still under way, and wants it tried again.
            await self._book.remove(key)
        if await self._desk.start(self._url, order):
            _log.info("a task of the master begins", task=order.task)
        # Given again, it is told again: whatever was told of it may not have arrived.
        self._told.discard(key)
        self._refused.pop(key, None)
        self._news.set()

    async def _acknowledge(self, task: int | str) -> None:
        for entry in self._book.find(self._url, task):
            if entry.stage is Stage.FINISHED and entry.key in self._told:
                await self._remove(entry)

    # What we say.

    @property
    def _status(self) -> str:
        # What the master does not take is its own affair, and keeps no work away for a week.
        owed = [entry for entry in self._finished() if entry.key not in self._refused]
        return self._place.status(len(owed))

    async def _say_status(self) -> None:
        capabilities = {"gpu_available": await self._desk.has_gpu(), "concurrent_tasks": self._place.settings.tasks}
        status = {"status": self._status, "capabilities": capabilities}
        await self._wire.tell("UpdateWorkerStatus", self._me.worker_id, status)

    async def _tell_status(self) -> None:
        while True:
            before = self._status
            deadline = asyncio.get_running_loop().time() + STATUS_S
            while self._status == before and asyncio.get_running_loop().time() < deadline:
                await self._wait_change(deadline - asyncio.get_running_loop().time())
            await self._say_status()

    async def _wait_change(self, patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await self._desk.changed.wait()
        except TimeoutError:
            return
        self._desk.changed.clear()
        self._news.set()

    async def _tell_progress(self) -> None:
        while True:
            for entry in self._book.entries:
                if entry.master == self._url and (reached := self._desk.progress.get(entry.key)):
                    await self._wire.tell("UpdateTaskProgress", entry.order.task, *reached)
            await asyncio.sleep(PROGRESS_S)

    async def _deliver(self) -> None:
        while True:
            self._news.clear()
            await self._drop_old()
            for entry in self._due():
                await self._report(entry)
            try:
                async with asyncio.timeout(PROGRESS_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _finished(self) -> list[Entry]:
        return [entry for entry in self._book.entries if entry.master == self._url and entry.stage is Stage.FINISHED]

    def _due(self) -> list[Entry]:
        now_ms = self._now_ms()
        return [entry for entry in self._finished() if self._refused.get(entry.key, 0) <= now_ms]

    async def _report(self, entry: Entry) -> None:
        self._told.add(entry.key)
        order = entry.order
        try:
            if entry.error:
                await self._wire.call("TaskFailed", order.task, entry.error)
            else:
                await self._wire.call("TaskCompleted", order.task, order.raw, order.translated)
        except MasterRefused as error:
            if not entry.is_stopped:
                _log.warning("the master does not take a result; it is kept", task=order.task, reason=error.message)
                self._refused[entry.key] = self._now_ms() + round(AGAIN_S * 1000)
                self._desk.changed.set()
                return
        # Given again meanwhile, it is told again, or runs again: the master may have lost what it has just taken.
        if entry.key in self._told and self._book.get(entry.key) == entry:
            await self._remove(entry)

    async def _remove(self, entry: Entry) -> None:
        await self._book.remove(entry.key)
        self._refused.pop(entry.key, None)
        # There is room for another.
        self._desk.changed.set()

    async def _drop_old(self) -> None:
        keep_ms = self._place.settings.keep_s * 1000
        for entry in self._book.entries:
            if entry.stage is Stage.FINISHED and self._now_ms() - entry.finished_ms > keep_ms:
                _log.warning("a result is dropped that its master never took", task=entry.order.task)
                await self._book.remove(entry.key)

    def _now_ms(self) -> int:
        return self._place.clock.now_ms()


async def _until_first(lost: asyncio.Task[None], *jobs: Coroutine[Any, Any, None]) -> None:
    """Return when the first of the jobs has ended, and raise what it raised, or why the connection was lost."""
    tasks = [asyncio.create_task(job, name="master-visit") for job in jobs]
    try:
        done, _ = await asyncio.wait({lost, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if any(isinstance(task.exception(), MasterLost) for task in done):
            # Who sends finds only that it is gone; who reads knows why.
            done |= (await asyncio.wait({lost}, timeout=_EXPLAIN_S))[0]
        for task in (lost, *tasks):
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
