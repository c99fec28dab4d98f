"""Follows many jobs over one stream of events, and ends the caller's own when it is interrupted."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from mediafleet.client.events import FINAL_EVENTS
from mediafleet.domain.errors import MediafleetError, Unavailable
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.ids import new_token
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from mediafleet.cli._output import Output
    from mediafleet.client import FleetClient

BACKSTOP_S = 5.0
"""How long a job may be silent before it is asked for: a lost event costs no more than this."""
_CANCEL_S = 10.0
"""Longest time spent on cancelling after Ctrl-C."""
_FIELDS = ("progress", "stage", "speed", "eta_ms")


class JobWatch:
    """One stream of the fleet's events, shared by all jobs that are followed."""

    def __init__(self, client: FleetClient, *, patience_s: float) -> None:
        self._client = client
        self._patience_s = patience_s
        self._queues: dict[str, asyncio.Queue[Event | MediafleetError]] = {}

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
            view = await self._client.job(job_id)
            on_change(view)
            while view.status not in FINAL_JOB_STATUSES:
                view = await self._next(queue, view)
                on_change(view)
            return view
        finally:
            del self._queues[job_id]

    async def _next(self, queue: asyncio.Queue[Event | MediafleetError], view: JobView) -> JobView:
        try:
            # Not `wait_for`: in Python 3.11 it swallows a cancellation that comes together with an event.
            async with asyncio.timeout(BACKSTOP_S):
                event = await queue.get()
        except TimeoutError:
            return await self._ask_again(view)
        if isinstance(event, MediafleetError):
            raise event
        # The event of an end carries neither results nor warnings; the job itself has them.
        return await self._ask_again(view) if event.type in FINAL_EVENTS else moved(view, event)

    async def _ask_again(self, view: JobView) -> JobView:
        try:
            return await self._client.job(view.id)
        except Unavailable:
            # The event stream decides when patience is over.
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


def moved(view: JobView, event: Event) -> JobView:
    """Return the view as a progress event changes it."""
    changes = {name: event.data[name] for name in _FIELDS if name in event.data}
    status = event.data.get("status") or ("processing" if event.type is EventType.JOB_STARTED else view.status)
    # Another version may send what this one cannot read. The view stays, and the job is asked for again soon enough.
    try:
        return msgspec.convert(msgspec.to_builtins(view) | changes | {"status": status}, JobView)
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
