"""Follows many jobs over one stream of events, and ends the caller's own when it is interrupted."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from mediafleet.domain.errors import MediafleetError, Unavailable
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.ids import new_token
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, JobStatus
from mediafleet.scheduler.review_words import how_to_answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from mediafleet.cli._output import Output
    from mediafleet.client import FleetClient

BACKSTOP_S = 5.0
"""How long a job may be silent before it is asked for: a lost event costs no more than this."""
_CANCEL_S = 10.0
"""Longest time spent on cancelling after Ctrl-C."""
_FIELDS = ("progress", "stage", "speed", "eta_ms")
_MOVES = frozenset({EventType.JOB_STARTED, EventType.JOB_PROGRESSED})
"""Events that say how far a job is."""
_Queue: TypeAlias = "asyncio.Queue[Event | MediafleetError]"


class JobWatch:
    """One stream of the fleet's events, shared by all jobs that are followed."""

    def __init__(self, client: FleetClient, *, patience_s: float, note: Callable[[str], None] = lambda _: None) -> None:
        """Prepare the watch.

        Args:
            note: Told in a sentence, once for each review, that a job waits for a person.
        """
        self._client = client
        self._patience_s = patience_s
        self._note = note
        self._told: set[tuple[str, str]] = set()
        """Jobs and reviews that were told of."""
        self._queues: dict[str, _Queue] = {}
        self._asked: dict[str, float] = {}
        """When each job was asked for last."""

    async def run(self) -> None:
        """Hand out events until cancelled; a scheduler that stays away ends every follower."""
        try:
            async for event in self._client.feed().follow(patience_s=self._patience_s):
                if isinstance(event, Event) and (queue := self._queues.get(event.job)):
                    queue.put_nowait(event)
        except MediafleetError as error:
            # Followers wait at their queues and nowhere else, so the end of the stream has to reach them there.
            for queue in self._queues.values():
                queue.put_nowait(error)
            raise

    async def follow(self, job_id: str, on_change: Callable[[JobView], None]) -> JobView:
        """Call on each change of a job until it is final, and return it then.

        Raises:
            SchedulerUnavailable: The scheduler was away for longer than patience lasts.
            NotFound: The job is gone.
        """
        queue = self._queues[job_id] = asyncio.Queue()
        try:
            # Asked for only now that its events are kept: none falls between.
            view = await self._ask(job_id, queue)
            while True:
                on_change(view)
                self._tell_of_reviews(view)
                if view.status in FINAL_JOB_STATUSES:
                    return view
                view = await self._next(queue, view)
        finally:
            del self._queues[job_id]
            self._asked.pop(job_id, None)

    def _tell_of_reviews(self, view: JobView) -> None:
        # Nothing moves until somebody types something: who watches this command could wait for ever.
        for review in view.reviews if view.status is JobStatus.REVIEW else ():
            if (view.id, review) not in self._told:
                self._told.add((view.id, review))
                self._note(f"{view.id} ({view.name}) waits for a person: {how_to_answer(view.id, review)}.")

    async def _next(self, queue: _Queue, view: JobView) -> JobView:
        try:
            # Not `wait_for`: in Python 3.11 it swallows a cancellation that comes together with an event.
            async with asyncio.timeout(BACKSTOP_S):
                event = await queue.get()
        except TimeoutError:
            return await self._ask_again(view, queue)
        if isinstance(event, MediafleetError):
            raise event
        now = moved(view, event)
        if now is None or self._knows_more(view.id, event):
            return await self._ask_again(now or view, queue)
        return now

    def _knows_more(self, job_id: str, event: Event) -> bool:
        """Tell whether the scheduler may know when a job ends, which an event of one of many tasks does not say."""
        told = event.type is not EventType.JOB_PROGRESSED or event.data.get("eta_ms") is not None
        return not told and time.monotonic() - self._asked[job_id] >= BACKSTOP_S

    async def _ask_again(self, view: JobView, queue: _Queue) -> JobView:
        try:
            return await self._ask(view.id, queue)
        except Unavailable:
            # The event stream decides when patience is over.
            return view

    async def _ask(self, job_id: str, queue: _Queue) -> JobView:
        older = queue.qsize()
        self._asked[job_id] = time.monotonic()
        view = await self._client.job(job_id)
        # What had arrived when the question was sent is in the answer; told after it, the job would seem to go back.
        for _ in range(older):
            if isinstance(event := queue.get_nowait(), MediafleetError):
                queue.put_nowait(event)
        return view


@asynccontextmanager
async def watching(watch: JobWatch, own: OwnJobs, output: Output) -> AsyncGenerator[JobWatch]:
    """Run the watch for the block; an interruption of the block cancels the caller's own jobs and says so."""
    running = asyncio.create_task(watch.run(), name="watch jobs")
    try:
        yield watch
    except asyncio.CancelledError:
        for job_id in await own.cancel_all():
            output.note(f"cancelled {job_id}")
        for job_id in sorted(own.open):
            output.note(f"could not cancel {job_id}; it may still run")
        raise
    finally:
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            # Its error reached the followers; read here so that the loop does not complain that nobody did.
            running.exception()


def moved(view: JobView, event: Event) -> JobView | None:
    """Return the view as an event changes it; None where only the job itself can tell what is so now.

    Events and views reach us on two ways, so that an event may be older than the view. One that is leaves the view as
    it is, and one that may be is never taken at its word.
    """
    # The view is the answer to a question about an accepted job.
    if event.type is EventType.JOB_ACCEPTED:
        return view
    # The events of an end carry neither results nor warnings, and those of a new try not where the job stands.
    if event.type not in _MOVES:
        return None
    has_started = view.started_ms is not None
    if event.type is EventType.JOB_STARTED and has_started:
        return view
    changed = _changed(view, event)
    # What has not started yet cannot have gone any further than an event of its start or its progress says.
    return changed if not has_started or _goes_on(view, changed) else None


def _goes_on(view: JobView, changed: JobView) -> bool:
    is_same = (view.status, view.stage, view.progress) == (changed.status, changed.stage, changed.progress)
    return is_same or changed.progress > view.progress


def _changed(view: JobView, event: Event) -> JobView:
    changes = {name: event.data[name] for name in _FIELDS if name in event.data}
    # Of a job of many tasks an event does not say it, and what the view said is little older. Another stage begins anew.
    if changes.get("eta_ms") is None and changes.get("stage", view.stage) == view.stage:
        changes["eta_ms"] = view.eta_ms
    status = event.data.get("status") or ("processing" if event.type is EventType.JOB_STARTED else view.status)
    started_ms = event.at_ms if view.started_ms is None else view.started_ms
    # Another version may send what this one cannot read. The view stays, and the job is asked for again soon enough.
    try:
        changes |= {"status": status, "started_ms": started_ms}
        return msgspec.convert(msgspec.to_builtins(view) | changes, JobView)
    except msgspec.ValidationError:
        return view


class OwnJobs:
    """The jobs that this command handed in and that are not final yet."""

    def __init__(self, client: FleetClient) -> None:
        self.client = client
        self.open: set[str] = set()
        """Their ids."""

    async def submit(self, submission: Submission, *, on_accepted: Callable[[JobView], None] | None = None) -> JobView:
        """Hand in a job and remember it; an interruption waits for the answer, so that no job goes unknown.

        Args:
            on_accepted: Called with the job as soon as it is known, also while an interruption is on its way.
        """

        def accept(view: JobView) -> JobView:
            self.note(view)
            if on_accepted:
                on_accepted(view)
            return view

        # With a key the client may send it again after a lost answer; without one, that could make a second job.
        keyed = msgspec.structs.replace(submission, idempotency_key=submission.idempotency_key or new_token())
        request = asyncio.ensure_future(self.client.submit(keyed))
        try:
            return accept(await asyncio.shield(request))
        except asyncio.CancelledError:
            # Half of the time that an interruption has: the other half is for cancelling what this answer names.
            done, _ = await asyncio.wait({request}, timeout=_CANCEL_S / 2)
            if done and not request.exception():
                accept(request.result())
            request.cancel()
            raise

    def note(self, view: JobView) -> None:
        """Remember a job, or forget it if it is final."""
        if view.status in FINAL_JOB_STATUSES:
            self.open.discard(view.id)
        else:
            self.open.add(view.id)

    async def cancel_all(self) -> list[str]:
        """Cancel what is not final; return the ids that the fleet confirmed, within a few seconds."""
        ids = sorted(self.open)
        tasks = [asyncio.ensure_future(self._cancel(job_id)) for job_id in ids]
        if not tasks:
            return []
        done, late = await asyncio.wait(tasks, timeout=_CANCEL_S)
        for task in late:
            task.cancel()
        return [job_id for job_id, task in zip(ids, tasks, strict=True) if task in done and task.result()]

    async def _cancel(self, job_id: str) -> bool:
        try:
            await self.client.cancel(job_id)
        except MediafleetError:
            return False
        self.open.discard(job_id)
        return True
