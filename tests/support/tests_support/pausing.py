"""Pauses a job of a store the way a scheduler does, and looks at what became of it."""

from __future__ import annotations

from itertools import count

from mediafleet.domain.event import EventType
from mediafleet.domain.job import JobView
from mediafleet.store import records
from tests_support.store_driver import StoreDriver


async def pause(driver: StoreDriver, job: str, *, now: bool = False) -> list[records.Stop]:
    """Pause a job wholly; return what is to be stopped."""
    cursor, stops = 0, list[records.Stop]()
    for _ in count():
        piece = await driver.store.pause(job, cursor=cursor, now=now)
        stops += piece.stops
        cursor = piece.cursor
        if not cursor:
            break
    return stops


async def resume(driver: StoreDriver, job: str) -> list[str]:
    """Let a job go on wholly; return the queues that got tasks."""
    piece = await driver.store.resume(job, first=True)
    queues = set(piece.queues)
    while piece.left:
        piece = await driver.store.resume(job, first=False)
        queues |= set(piece.queues)
    return sorted(queues)


async def view(driver: StoreDriver, job: str) -> JobView:
    """Return a job that is there."""
    found = await driver.store.read.job(job)
    assert found is not None
    return found


async def held(driver: StoreDriver, job: str) -> list[str]:
    """Return the names of the tasks that a pause keeps, first the one that goes first."""
    found = await driver.redis.zrange(driver.store.keys.job_held(job), 0, -1)
    return [name.decode().partition(".")[2] for name in found]


async def events(driver: StoreDriver) -> list[EventType]:
    """Return the types of all events so far that tell of pauses."""
    return [e.type for e in await driver.store.read.past_events("0-0") if e.type.endswith(("paused", "resumed"))]
