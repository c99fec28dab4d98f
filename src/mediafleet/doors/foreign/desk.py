"""Turns orders into jobs, follows them, and puts the results where they are wanted, whether the master is there or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

import structlog
from msgspec.structs import replace

from mediafleet.domain.errors import (
    InputError,
    MediafleetError,
    NotFound,
    QueueFull,
    SchedulerUnavailable,
    StoreUnavailable,
    TaskFailed,
    Unavailable,
)
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, RETRYABLE_JOB_STATUSES, JobStatus
from mediafleet.domain.node import LINKED_STATES, NodeState
from mediafleet.doors.foreign.book import Entry, Stage
from mediafleet.doors.foreign.orders import (
    Order,
    TaskId,
    cut_error,
    failure_of,
    params_of,
    progress_of,
    wanted_files,
)
from mediafleet.doors.foreign.places import address_of, place_files, seen_here, upload

if TYPE_CHECKING:
    from mediafleet.client import FleetClient
    from mediafleet.domain.clock import Clock
    from mediafleet.domain.job import JobView
    from mediafleet.doors.foreign.book import Book
    from mediafleet.doors.foreign.places import Places

T = TypeVar("T")
PROGRESS_S = 1.0
"""How often progress is told."""
_LONGEST_PAUSE_S = 30.0
_LOOK_S = 2.0
"""Longest wait for what is only told beside something else."""
_MOST_FAULTS = 8
"""Attempts at putting results in their places while the disk is full or the folder away, about two minutes; then the master is told."""
_WORKING = LINKED_STATES - {NodeState.WARMUP}
MOST_FAILED = 200
"""Failures that wait for their masters: with so many, orders of which nothing can be made are not kept."""
STOPPED = "The master stopped it."

_log = structlog.get_logger(__name__)


class Desk:
    """The tasks of all masters on one scheduler; `resume` begins, `close` ends."""

    def __init__(self, client: FleetClient, book: Book, places: Places, clock: Clock, *, spoken: str = "auto") -> None:
        """Take what it works with; `spoken` is the language of films, or `auto`."""
        self._client, self._book, self._places, self._clock = client, book, places, clock
        self._spoken = spoken
        self._errands: dict[str, asyncio.Task[None]] = {}
        self._unwanted: set[str] = set()
        """Tasks that are being ended for good, and not only until the next start."""
        self._cancels: dict[str, asyncio.Task[None]] = {}
        """Of jobs that nobody wants any more while the scheduler is away."""
        self._has_gpu = False
        self.was_ready = False
        """Whether a node of the fleet has worked since this process began."""
        self.changed = asyncio.Event()
        """Set when a task begins or ends; whoever follows it clears it."""
        self.progress: dict[str, tuple[int, str]] = {}
        """Of what runs, by key: 0 to 10,000, and a word."""

    @property
    def running(self) -> int:
        """How many tasks are not finished."""
        return len(self._errands)

    async def resume(self) -> None:
        """Go on with what the book holds."""
        for entry in await asyncio.to_thread(self._book.load):
            if entry.stage is not Stage.FINISHED:
                self._begin(entry)

    async def close(self) -> None:
        """Let go of all tasks; their jobs go on, and so does this at the next start."""
        errands = [*self._errands.values(), *self._cancels.values()]
        for errand in errands:
            errand.cancel()
        await asyncio.gather(*errands, return_exceptions=True)

    async def start(self, master: str, order: Order) -> bool:
        """Take an order. Safe to repeat.

        Returns:
            Whether it is a new one; one that runs goes on, one that is finished is only to be told of again.
        """
        entry = Entry(master, order)
        if self._book.get(entry.key) is not None:
            self.changed.set()
            return False
        for outdated in self._book.find(master, order.task):
            # The master has begun to count anew: what it would be told of the old task it would take for the new one.
            _log.warning("a master gives an id a second time; the first task is dropped", task=order.task)
            await self._drop(outdated)
        await self._book.put(entry)
        self._begin(entry)
        return True

    async def refuse(self, master: str, order: Order, error: str) -> None:
        """Take an order only to tell the master that nothing can be made of it."""
        waiting = sum(one.stage is Stage.FINISHED and bool(one.error) for one in self._book.entries)
        if waiting >= MOST_FAILED:
            _log.warning("too many failures wait for the master; it is not told of this one", task=order.task)
            return
        entry = Entry(master, order, Stage.FINISHED, error=cut_error(error), finished_ms=self._clock.now_ms())
        await self._book.put(entry)
        self.changed.set()

    async def stop(self, master: str, task: TaskId) -> None:
        """End a task that runs; nothing happens to one that is finished or not known."""
        for entry in self._book.find(master, task):
            if entry.stage is Stage.FINISHED:
                continue
            await self._end(entry)
            latest = self._book.get(entry.key) or entry
            # It may have come to its end in the same moment.
            if latest.stage is not Stage.FINISHED:
                await self._finish(replace(latest, is_stopped=True), STOPPED)

    async def _drop(self, entry: Entry) -> None:
        if entry.stage is not Stage.FINISHED:
            await self._end(entry)
        await self._book.remove(entry.key)

    async def _end(self, entry: Entry) -> None:
        if errand := self._errands.get(entry.key):
            self._unwanted.add(entry.key)
            errand.cancel()
            await asyncio.gather(errand, return_exceptions=True)
            self._unwanted.discard(entry.key)
        latest = self._book.get(entry.key) or entry
        if latest.job and latest.stage is not Stage.FINISHED:
            await self._cancel(latest.job)

    async def _cancel(self, job: str) -> None:
        try:
            await self._client.cancel(job)
        except Unavailable:
            self._cancels[job] = asyncio.create_task(self._cancel_later(job), name=f"foreign-cancel-{job}")
        except MediafleetError as error:
            # It has ended by itself.
            _log.info("the job of a stopped task was not cancelled", job=job, reason=error.message)

    async def _cancel_later(self, job: str) -> None:
        try:
            await self._patiently(partial(self._client.cancel, job))
        except MediafleetError as error:
            _log.info("the job of a stopped task was not cancelled", job=job, reason=error.message)
        finally:
            self._cancels.pop(job, None)

    def _begin(self, entry: Entry) -> None:
        errand = asyncio.create_task(self._carry_out(entry), name=f"foreign-{entry.key}")
        self._errands[entry.key] = errand
        errand.add_done_callback(lambda _: self._note_end(entry.key))
        self.changed.set()

    def _note_end(self, key: str) -> None:
        self._errands.pop(key, None)
        self.progress.pop(key, None)
        self.changed.set()

    async def _carry_out(self, entry: Entry) -> None:
        log = _log.bind(task=entry.order.task)
        try:
            await self._work(entry)
        except MediafleetError as error:
            log.warning("a task of the master failed", reason=error.message)
            await self._finish(self._book.get(entry.key) or entry, error.message)
        except Exception as error:
            log.exception("a task of the master failed by a fault of ours")
            await self._finish(self._book.get(entry.key) or entry, f"The worker failed: {type(error).__name__}.")
        else:
            log.info("a task of the master is done")
            await self._finish(self._book.get(entry.key) or entry, "")

    async def _finish(self, entry: Entry, error: str) -> None:
        end = replace(entry, stage=Stage.FINISHED, error=cut_error(error), finished_ms=self._clock.now_ms())
        await self._book.put(end)
        self.changed.set()

    async def _work(self, entry: Entry) -> None:
        view = await self._job_of(entry)
        while view.status not in FINAL_JOB_STATUSES:
            self.progress[entry.key] = progress_of(view)
            view = await self._patiently(partial(self._client.job, view.id, wait_s=PROGRESS_S))
        if view.status is not JobStatus.COMPLETED:
            raise TaskFailed(failure_of(view))
        files = wanted_files(entry.order, view)
        await self._patiently(partial(place_files, self._client, files, self._places), most_faults=_MOST_FAULTS)

    async def _job_of(self, entry: Entry) -> JobView:
        if entry.job:
            try:
                return await self._patiently(partial(self._client.job, entry.job))
            except NotFound:
                _log.warning("the job of a task is gone; it begins anew", task=entry.order.task, job=entry.job)
        await self.wait_ready()
        view = await self._patiently(partial(self._hand_in, entry))
        if cancel := self._cancels.pop(view.id, None):
            cancel.cancel()
            await asyncio.gather(cancel, return_exceptions=True)
            # It may have come through a moment ago.
            view = await self._patiently(partial(self._client.job, view.id))
        if view.status in RETRYABLE_JOB_STATUSES:
            # The master gives a task again that failed, or that it stopped. Noted after that only: with the old end of
            # its job in the book a node that dies here would tell the master of that.
            view = await self._patiently(partial(self._client.retry, view.id))
        await self._book.put(replace(entry, stage=Stage.RUNNING, job=view.id))
        return view

    async def _hand_in(self, entry: Entry) -> JobView:
        video, proof = await seen_here(self._places, entry.order.video)
        draft = Submission(
            kind="subtitle",
            params=params_of(entry.order, spoken=self._spoken),
            # The same film for the same order is the same job, also after this entry was forgotten.
            idempotency_key=f"signalr-{entry.key}-{proof.sample_sha256[:16]}",
        )
        try:
            return await self._submit(entry.key, replace(draft, input=address_of(video, proof)))
        except InputError as error:
            # The general code: the fleet does not see the file. The special ones are about something else.
            if error.code != InputError.code:
                raise
        return await self._submit(entry.key, replace(draft, input=await upload(self._client, video)))

    async def _submit(self, key: str, submission: Submission) -> JobView:
        asking = asyncio.create_task(self._client.submit(submission), name=f"foreign-submit-{key}")
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if key in self._unwanted:
                # It may be accepted in this moment, and would run for nobody.
                await self._undo(asking)
            asking.cancel()
            raise

    async def _undo(self, asking: asyncio.Task[JobView]) -> None:
        try:
            view = await asking
        except MediafleetError:
            return
        await self._cancel(view.id)

    async def wait_ready(self) -> None:
        """Return once a node of the fleet has worked since this process began: before that nobody knows what the fleet can do."""
        while not self.was_ready:
            self.was_ready = await self._patiently(self._has_node)
            if not self.was_ready:
                await asyncio.sleep(PROGRESS_S)

    async def has_gpu(self) -> bool:
        """Tell whether a node of the fleet offers a graphics card, or did when the fleet could last be asked."""
        try:
            async with asyncio.timeout(_LOOK_S):
                nodes = await self._client.nodes()
        except (MediafleetError, TimeoutError):
            return self._has_gpu
        offered = [name for node in nodes for one in node.executors for name in one.capabilities]
        self._has_gpu = any(name.startswith("hw:") for name in offered)
        return self._has_gpu

    async def _has_node(self) -> bool:
        return any(node.state in _WORKING for node in await self._client.nodes())

    async def _patiently(self, work: Callable[[], Awaitable[T]], *, most_faults: float = inf) -> T:
        """Return what work gives, tried again as long as the scheduler is away.

        Args:
            most_faults: How often what fails for another passing reason, such as a full disk, is tried again.
        """
        faults, pause_s = 0, PROGRESS_S
        while True:
            try:
                return await work()
            except Unavailable as error:
                faults += not isinstance(error, SchedulerUnavailable | StoreUnavailable | QueueFull)
                if faults > most_faults:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
