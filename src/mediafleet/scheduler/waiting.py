"""Waits for a job's end, however long that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES

if TYPE_CHECKING:
    from mediafleet.domain.job import JobView
    from mediafleet.scheduler.events import EventHub

LOOK_AGAIN_S = 15.0
"""An end may have been cut off the stream while its store was away."""


async def wait_final(hub: EventHub, job_id: str, view: Callable[[str], Awaitable[JobView]]) -> JobView:
    """Return the job once it is final. Raises what `view` raises; safe to cancel."""
    async with hub.end_of(job_id) as ended:
        while True:
            # Before the job is read, so that an end that comes between the two is noted.
            ended.clear()
            current = await view(job_id)
            if current.status in FINAL_JOB_STATUSES:
                return current
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await ended.wait()
