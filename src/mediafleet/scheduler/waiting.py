"""Waits for a job's end, however long that takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES

if TYPE_CHECKING:
    from mediafleet.domain.job import JobView
    from mediafleet.scheduler.events import EventHub
    from mediafleet.store import Store


async def wait_final(store: Store, hub: EventHub, job_id: str, view: Callable[[str], Awaitable[JobView]]) -> JobView:
    """Return the job once it is final. Raises what `view` raises, and StoreUnavailable; safe to cancel."""
    # Before the job is read, so that an end that comes between the two is among the events.
    position = await store.read.last_event_id()
    current = await view(job_id)
    # A watcher that fell behind is cut off: then the job is looked at again.
    while current.status not in FINAL_JOB_STATUSES:
        async with aclosing(hub.follow(after=position, job=job_id)) as events:
            async for event in events:
                position = event.id
        current = await view(job_id)
    return current
