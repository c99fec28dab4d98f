"""Slots of a chain's tasks that others stand for by now come back when their node says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain_fleet import HEARS, PARAMS, SPEAKS, TRANSLATES, WHOLE, Fleet
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.speech_kind import KIND
from tests_support.store_driver import LEASE_MS
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.limits import LimitWish
from mediafleet.scheduler.tasks import job_record
from mediafleet.store import Store, records

EAR = "n0-ear-1"


@pytest.fixture
async def stopping(
    store: Store, virtual_time: VirtualTime, tmp_path: Path
) -> tuple[Fleet, Clockwork, records.PlacedTask]:
    """A chain that was decided anew while the node that had its first task was still stopping it."""
    fleet = Fleet(store, tmp_path)
    clock = Clockwork(store, virtual_time)
    await fleet.driver.reap()
    # Past the grace that follows an outage, which is what the first tick takes the time before it for.
    await clock.pass_ms(LEASE_MS + TICK_MS)
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    limits = LimitWish(total_ms=1000)
    job = Job("j0-slow", "0", "default", "ann", "speech", 1, "", (), PARAMS, PriorityClass.BATCH, 1000, limits=limits)
    record, queues = job_record(job, KIND.plan(job, ()), KIND, key="", waits=[], retention_ms=60_000)
    await store.submit([record], queues)
    await fleet.plan()
    (placed,) = await fleet.place()
    await clock.pass_ms(1500)
    await fleet.join("whole", *WHOLE)
    assert await fleet.look()
    assert await fleet.tasks(job.id) == {"chain_1": TaskState.NEW}
    assert await fleet.driver.used(f"{EAR}/cpu") == 1, "the node may still be at it"
    return fleet, clock, placed


async def test_slots_come_back_when_the_node_confirms(stopping: tuple[Fleet, Clockwork, records.PlacedTask]) -> None:
    fleet, _, placed = stopping
    assert await fleet.driver.fail(placed, how="stopped") == "released"
    assert await fleet.driver.used(f"{EAR}/cpu") == 0
    assert await fleet.driver.finish(placed) == ["stale"]


async def test_slots_come_back_though_the_node_never_confirms(
    stopping: tuple[Fleet, Clockwork, records.PlacedTask],
) -> None:
    fleet, clock, placed = stopping
    for _ in range(6):
        report = records.NodeReport(EAR, fleet.driver.epochs[EAR], "{}", ())
        await fleet.store.renew([report], lease_ms=LEASE_MS)
        await clock.pass_ms(LEASE_MS // 3)
    assert await fleet.driver.used(f"{EAR}/cpu") == 0
    assert await fleet.store.redis.pttl(fleet.store.keys.task(placed.task)) > 0, (
        "what is left of the task goes by itself"
    )
