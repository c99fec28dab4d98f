"""Who waits for a job's end hears of it, whenever it came and whatever else happens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from scheduler_parts import DEADLINE_S, Parts

from mediafleet.domain.event import EventType
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.scheduler import events, waiting
from mediafleet.scheduler.events import EventHub
from mediafleet.scheduler.loops import end_loops
from mediafleet.scheduler.waiting import wait_final

JOB = "j0-mine"


pytestmark = pytest.mark.usefixtures("short_reads")


@dataclass
class Job:
    """A job as its views say, one after the other; the last one stays."""

    statuses: list[JobStatus]
    looks: int = 0
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def view(self, job_id: str) -> JobView:
        """Look at it."""
        status = self.statuses[min(self.looks, len(self.statuses) - 1)]
        self.looks += 1
        self.looked.set()
        return JobView(job_id, "noop", "noop", status, 0.0, "", PriorityClass.BATCH, "default", 0, 1, (), {})


async def emit(parts: Parts, kind: EventType, job: str = JOB) -> None:
    """Let an event happen."""
    await parts.driver.redis.xadd(parts.store.keys.events, {"e": f"{kind}\tjob\t{job}\t{{}}"})


async def test_a_job_that_has_ended_is_not_waited_for(hub: EventHub) -> None:
    job = Job([JobStatus.CANCELLED])
    async with asyncio.timeout(DEADLINE_S):
        assert (await wait_final(hub, JOB, job.view)).status is JobStatus.CANCELLED
    assert job.looks == 1


@pytest.mark.parametrize("kind", [EventType.JOB_COMPLETED, EventType.JOB_FAILED, EventType.JOB_CANCELLED])
async def test_the_end_of_a_job_ends_the_wait(parts: Parts, hub: EventHub, kind: EventType) -> None:
    job = Job([JobStatus.PROCESSING, JobStatus.COMPLETED])
    waits = asyncio.create_task(wait_final(hub, JOB, job.view))
    async with asyncio.timeout(DEADLINE_S):
        await job.looked.wait()
        # Neither what else happens to the job nor ends of others are looked at.
        await emit(parts, EventType.JOB_PROGRESSED)
        await emit(parts, EventType.JOB_COMPLETED, "j0-other")
        await emit(parts, kind)
        assert (await waits).status is JobStatus.COMPLETED
    assert job.looks == 2


async def test_a_job_that_was_revived_at_once_is_waited_for_again(parts: Parts, hub: EventHub) -> None:
    job = Job([JobStatus.PROCESSING, JobStatus.PENDING, JobStatus.COMPLETED])
    waits = asyncio.create_task(wait_final(hub, JOB, job.view))
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(2):
            await job.looked.wait()
            job.looked.clear()
            await emit(parts, EventType.JOB_FAILED)
        assert (await waits).status is JobStatus.COMPLETED
    assert job.looks == 3


async def test_an_end_that_the_stream_lost_is_found_all_the_same(
    hub: EventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOOK_AGAIN_S", 0.01)
    job = Job([JobStatus.PROCESSING, JobStatus.PROCESSING, JobStatus.COMPLETED])
    async with asyncio.timeout(DEADLINE_S):
        assert (await wait_final(hub, JOB, job.view)).status is JobStatus.COMPLETED


async def test_who_gives_up_leaves_nothing_behind(hub: EventHub) -> None:
    job = Job([JobStatus.PROCESSING])
    both = [asyncio.create_task(wait_final(hub, JOB, job.view)) for _ in range(2)]
    async with asyncio.timeout(DEADLINE_S):
        await job.looked.wait()
    assert hub._is_watched()
    for waits in both:
        waits.cancel()
    await asyncio.gather(*both, return_exceptions=True)
    assert not hub._is_watched()


async def test_the_stream_is_read_on_for_a_moment_when_nobody_waits(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = EventHub(parts.store)
    reads: list[str] = []
    read = parts.store.read.events

    async def note(after: str, *, block_ms: int) -> object:
        reads.append(after)
        return await read(after, block_ms=block_ms)

    monkeypatch.setattr(parts.store.read, "events", note)
    waits = asyncio.create_task(wait_final(hub, JOB, Job([JobStatus.COMPLETED]).view))
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.sleep(0)
        await hub.step()
        await waits
        await hub.step()
        assert len(reads) == 2
        monkeypatch.setattr(events, "LINGER_S", 0.0)
        idle = asyncio.create_task(hub.step())
        await asyncio.sleep(0)
        assert (len(reads), hub._reading.is_set()) == (2, False)
    await end_loops([idle])
