"""Answers that wait for a job's end, so that a client needs neither to ask again and again nor to follow events."""

from __future__ import annotations

import asyncio
from typing import Annotated

from litestar.params import QueryParameter

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.job import JobView
from mediafleet.doors.http.sse import StreamEnd
from mediafleet.scheduler.facade import Fleet

LONGEST_WAIT_S = 60.0
"""Proxies give up what is silent for longer."""

WaitS = Annotated[
    float, QueryParameter(description="Answer when the job is final, or after so many seconds, at most 60")
]


def check_wait(wait_s: float) -> float:
    """Return the seconds. Raises InvalidRequest."""
    if not 0 <= wait_s <= LONGEST_WAIT_S:
        raise InvalidRequest(f"wait_s must be 0 to {LONGEST_WAIT_S:g} seconds, not {wait_s:g}; ask again after that.")
    return wait_s


async def wait_for_job(fleet: Fleet, end: StreamEnd, job_id: str, wait_s: float) -> JobView:
    """Return the job when it is final, when the time is over or when the server stops, as it is then."""
    if not wait_s:
        return await fleet.job(job_id)
    final = asyncio.create_task(fleet.wait(job_id), name="wait-for-job")
    stopping = asyncio.create_task(end.stopping.wait(), name="wait-stopping")
    try:
        await asyncio.wait({final, stopping}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        return final.result() if final.done() else await fleet.job(job_id)
    finally:
        final.cancel()
        stopping.cancel()
        await asyncio.gather(final, stopping, return_exceptions=True)
