"""Events arrive once each and in order, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.client import FleetClient
from mediafleet.domain.errors import NotFound, SchedulerUnavailable
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.lifecycle import JobStatus

DEADLINE_S = 20
NOOP = Submission("noop", name="one")


async def take(feed: AsyncIterator[Event | JobView], count: int) -> list[Event | JobView]:
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(feed) for _ in range(count)]


def types(items: list[Event | JobView]) -> list[str]:
    return ["snapshot" if isinstance(item, JobView) else item.type.value for item in items]


async def test_a_jobs_events_begin_with_its_view_and_end_with_its_final_one(
    scheduler: FakeScheduler, client: FleetClient
) -> None:
    scheduler.holding = True
    view = await client.submit(NOOP)
    seen: list[Event | JobView] = []
    async with asyncio.timeout(DEADLINE_S):
        async for item in client.events(view.id):
            seen.append(item)
            if isinstance(item, JobView):
                await asyncio.to_thread(scheduler.progress, view.id, 0.5, "working")
            elif item.type is EventType.JOB_PROGRESSED:
                await asyncio.to_thread(scheduler.finish, view.id)
    assert types(seen) == ["snapshot", "job.progressed", "job.completed"]


async def test_a_job_that_is_over_ends_the_feed_with_its_view(scheduler: FakeScheduler, client: FleetClient) -> None:
    view = await client.submit(NOOP)
    await asyncio.to_thread(scheduler.wait_until, lambda: scheduler.jobs[view.id].status is JobStatus.COMPLETED)
    async with asyncio.timeout(DEADLINE_S):
        seen = [item async for item in client.events(view.id)]
    assert types(seen) == ["snapshot"]


async def test_a_broken_stream_is_taken_up_after_the_last_event(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.holding = True
    async with aclosing(client.events()) as feed:
        first = asyncio.ensure_future(anext(feed))
        await asyncio.to_thread(scheduler.wait_until, lambda: scheduler.streams == 1)
        await client.submit(NOOP)
        event = await asyncio.wait_for(first, DEADLINE_S)
        assert isinstance(event, Event)
        second = asyncio.ensure_future(anext(feed))
        await asyncio.to_thread(scheduler.drop_streams)
        await client.submit(NOOP)  # behind the end of the old stream, so only the new one can bring it
        again = await asyncio.wait_for(second, DEADLINE_S)
    assert isinstance(again, Event)
    assert [event.id, again.id] == ["1-0", "2-0"]
    assert scheduler.resumed_from == ["", "1-0"]


async def test_a_feed_can_begin_after_a_position(scheduler: FakeScheduler, client: FleetClient) -> None:
    scheduler.holding = True
    await client.submit_many([NOOP, NOOP, NOOP])
    async with aclosing(client.events(after="1-0")) as feed:
        assert [item.id for item in await take(feed, 2)] == ["2-0", "3-0"]


async def test_a_scheduler_that_stays_away_ends_the_feed_with_a_sentence(
    scheduler: FakeScheduler, client: FleetClient
) -> None:
    feed = client.events(patience_s=0.5)
    waiting = asyncio.ensure_future(anext(feed))
    await asyncio.to_thread(scheduler.wait_until, lambda: scheduler.streams == 1)
    await asyncio.to_thread(scheduler.stop)
    with pytest.raises(SchedulerUnavailable, match="mediafleet up"):
        await asyncio.wait_for(waiting, DEADLINE_S)


async def test_following_an_unknown_job_fails_at_once(client: FleetClient) -> None:
    with pytest.raises(NotFound):
        await anext(client.events("j0-nothing"))


async def test_a_held_feed_counts_as_a_client_until_it_is_closed(scheduler: FakeScheduler, client: FleetClient) -> None:
    opened = asyncio.Event()

    async def hold() -> None:
        async for _ in client.feed(hold=True).follow(patience_s=5, on_open=opened.set):
            pass

    task = asyncio.create_task(hold())
    await asyncio.wait_for(opened.wait(), DEADLINE_S)
    await asyncio.to_thread(scheduler.wait_until, lambda: scheduler.holders == 1)
    task.cancel()
    await asyncio.wait({task})
    await asyncio.to_thread(scheduler.wait_until, lambda: scheduler.holders == 0)
