"""Everybody who watches sees every event once and in order, whenever they came and however fast they are."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from scheduler_parts import DEADLINE_S, Parts

from mediafleet.domain.event import Event, EventType
from mediafleet.scheduler import events
from mediafleet.scheduler.events import FINAL_EVENTS, EventHub
from mediafleet.store.event_entries import read_events

pytestmark = pytest.mark.usefixtures("short_reads")


async def emit(parts: Parts, count: int, *, job: str = "j0-x", kind: EventType = EventType.JOB_PROGRESSED) -> list[str]:
    """Let events happen, and return their ids."""
    line = {"e": f"{kind}\tjob\t{job}\t{{}}"}
    entries = [await parts.driver.redis.xadd(parts.store.keys.events, line) for _ in range(count)]
    return [read_events((entry, {b"e": line["e"].encode()}))[0].id for entry in entries]


async def collect(hub: EventHub, count: int, *, after: str = "", job: str = "") -> list[str]:
    """Return the ids of the next events."""
    found: list[str] = []
    stream: Any = hub.follow(after=after, job=job)
    async with asyncio.timeout(DEADLINE_S), aclosing(stream):
        while len(found) < count:
            found.append((await anext(stream)).id)
    return found


async def drain(stream: AsyncIterator[Any]) -> list[str]:
    """Return the ids of all events until the stream ends by itself."""
    async with asyncio.timeout(DEADLINE_S):
        return [event.id async for event in stream]


async def test_who_was_away_gets_what_happened_meanwhile(parts: Parts, hub: EventHub) -> None:
    ids = await emit(parts, 5)
    assert await collect(hub, 3, after=ids[1]) == ids[2:]


async def test_who_comes_now_gets_nothing_of_the_past(parts: Parts, hub: EventHub) -> None:
    past = await emit(parts, 5)
    watching = asyncio.create_task(collect(hub, 1))
    new: list[str] = []
    while not watching.done():
        new += await emit(parts, 1)
    (first,) = await watching
    assert first in new
    assert first not in past


async def test_who_comes_after_others_have_left_gets_nothing_of_the_time_between(parts: Parts, hub: EventHub) -> None:
    await emit(parts, 1)
    await collect(hub, 1, after="0-0")
    between = await emit(parts, 3)
    watching = asyncio.create_task(collect(hub, 2))
    while not watching.done():
        await emit(parts, 1)
    assert not set(await watching) & set(between)


async def test_nothing_is_lost_or_repeated_between_what_is_stored_and_what_is_new(parts: Parts, hub: EventHub) -> None:
    ids = await emit(parts, 50)
    watching = [asyncio.create_task(collect(hub, 150, after="0-0")) for _ in range(5)]
    for _ in range(100):
        ids += await emit(parts, 1)
    assert await asyncio.gather(*watching) == [ids] * 5


async def test_more_events_than_one_read_takes_are_all_caught_up_with(parts: Parts, hub: EventHub) -> None:
    ids = await emit(parts, 1_010)
    assert await collect(hub, 1_010, after="0-0") == ids


async def test_a_watcher_that_leaves_takes_nothing_from_the_others(parts: Parts, hub: EventHub) -> None:
    staying = asyncio.create_task(collect(hub, 6, after="0-0"))
    ids = await emit(parts, 3)
    assert await collect(hub, 3, after="0-0") == ids
    ids += await emit(parts, 3)
    assert await staying == ids
    assert hub._watchers == set()


async def test_who_follows_a_job_gets_nothing_of_other_jobs(parts: Parts, hub: EventHub) -> None:
    mine: list[str] = []
    for _ in range(3):
        mine += await emit(parts, 1, job="j0-mine")
        await emit(parts, 2, job="j0-other")
    assert await collect(hub, 3, after="0-0", job="j0-mine") == mine


@pytest.mark.parametrize("final", sorted(FINAL_EVENTS))
async def test_the_events_of_a_job_end_with_its_final_one(parts: Parts, hub: EventHub, final: EventType) -> None:
    ids = await emit(parts, 2, job="j0-mine")
    await emit(parts, 1, job="j0-other", kind=final)
    ids += await emit(parts, 1, job="j0-mine", kind=final)
    await emit(parts, 1, job="j0-mine")
    assert await drain(hub.follow(after="0-0", job="j0-mine")) == ids


async def test_the_events_of_the_fleet_go_on_after_a_job_has_ended(parts: Parts, hub: EventHub) -> None:
    ids = await emit(parts, 1, kind=EventType.JOB_COMPLETED) + await emit(parts, 1)
    assert await collect(hub, 2, after="0-0") == ids


async def test_a_fault_of_the_store_costs_watchers_no_event(parts: Parts) -> None:
    hub = EventHub(parts.store)
    watching = asyncio.create_task(collect(hub, 3, after="0-0"))
    await asyncio.sleep(0)
    ids = await emit(parts, 1)
    await hub.step()
    redis, key = parts.driver.redis, parts.store.keys.events
    await redis.rename(key, f"{key}:aside")
    await redis.set(key, "no stream")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await hub.step()
    await redis.rename(f"{key}:aside", key)
    ids += await emit(parts, 2)
    await hub.step()
    assert await watching == ids


async def read_late(parts: Parts, count: int) -> list[str]:
    """Return what a watcher still gets that reads nothing before all events have been handed out."""
    hub = EventHub(parts.store)
    with hub._watch() as watcher:
        for number in range(count):
            hub._hand_out(Event(f"{number}-1", EventType.JOB_PROGRESSED, number))
        return await drain(hub._from("0-0", watcher)) if not hub._watchers else [f"{watcher.queue.qsize()} wait"]


async def test_a_watcher_that_falls_too_far_behind_is_cut_off(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "QUEUE_LIMIT", 4)
    assert await read_late(parts, 4) == ["4 wait"]
    assert await read_late(parts, 5) == ["0-1", "1-1", "2-1", "3-1"], "without a hole, so that it may resume there"
    assert await read_late(parts, 50) == ["0-1", "1-1", "2-1", "3-1"]


async def test_a_watcher_that_was_cut_off_resumes_by_its_last_event(parts: Parts, hub: EventHub) -> None:
    ids = await emit(parts, 4)
    for before, here in itertools.pairwise(ids):
        assert await collect(hub, 1, after=before) == [here]


async def test_position_of_several_cells_begins_at_the_first_one(parts: Parts, hub: EventHub) -> None:
    """A client may come back from a fleet that had more of them."""
    await parts.submit(number=1)
    (first,) = await parts.store.read.past_events("0-0")
    await parts.submit(number=2)
    hub_step = asyncio.create_task(hub.step())
    stream: Any = hub.follow(after=f"{first.id}_9-9")
    assert (await asyncio.wait_for(anext(stream), DEADLINE_S)).id > first.id
    await stream.aclose()
    hub_step.cancel()
    await asyncio.gather(hub_step, return_exceptions=True)


async def emit_unknown(parts: Parts, count: int) -> None:
    """Write events of a type that a newer version knows."""
    client: Any = parts.store.redis
    for _ in range(count):
        await client.xadd(parts.store.keys.events, {"e": "task.teleported\tjob\tj0-x\t{}"})


async def test_events_that_only_a_newer_version_knows_are_passed_over_and_counted(parts: Parts) -> None:
    """Old and new instances run side by side while a fleet is updated."""
    unknown: list[None] = []
    hub = EventHub(parts.store, on_unknown=lambda: unknown.append(None))
    with hub._watch() as watcher:
        first = asyncio.create_task(hub.step())
        await hub._reading.wait()
        await emit_unknown(parts, 2)
        ids = await emit(parts, 1)
        await emit_unknown(parts, 1)
        await first
        while len(unknown) < 3:
            await hub.step()
        assert [watcher.queue.get_nowait().id for _ in range(watcher.queue.qsize())] == ids
    # Its position is behind the last of them, so that they are not read again and again.
    assert hub._position == await parts.store.read.last_event_id()


async def test_past_events_go_on_behind_those_that_are_unknown(parts: Parts) -> None:
    hub = EventHub(parts.store)
    before = await emit(parts, 1)
    await emit_unknown(parts, 1_001)
    after = await emit(parts, 1, kind=EventType.JOB_COMPLETED)
    step = asyncio.create_task(hub.step())
    found = [event.id async for event in hub.follow(after="0-1", job="j0-x")]
    step.cancel()
    await asyncio.wait([step])
    assert found == before + after
