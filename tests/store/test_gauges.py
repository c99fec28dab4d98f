"""What waits, how long, nodes by state and dead letters: read in a bounded look, whatever there is."""

from __future__ import annotations

from time import time
from typing import Any

import msgspec
import pytest
from tests_support.store_driver import PLACE_RULES, StoreDriver, spec
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.insight import QueueDepth
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import NodeState
from mediafleet.domain.rules import TenantShare
from mediafleet.store import Store, gauges
from mediafleet.store.gauges import read_gauges

LIVE, BATCH = PriorityClass.LIVE, PriorityClass.BATCH


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    return StoreDriver(store)


def asking(store: Store) -> Any:
    """Return the client of a store."""
    return store.redis


async def tasks_of(store: Store) -> dict[PriorityClass, int]:
    return {priority: depth.tasks for priority, depth in (await store.read.gauges()).queues.items()}


async def test_tasks_are_counted_by_their_class_whatever_queue_and_tenant_they_are_of(
    store: Store, driver: StoreDriver
) -> None:
    await driver.submit_one("a", "b", spec=spec(priority=LIVE))
    await driver.submit_one("c", spec=spec("kind:other", priority=BATCH), tenant="one")
    await driver.submit_one("d", spec=spec("kind:other", priority=BATCH), tenant="two")
    assert await tasks_of(store) == {LIVE: 2, PriorityClass.INTERACTIVE: 0, BATCH: 2}


async def test_what_runs_or_waits_for_another_task_is_in_no_queue(store: Store, driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=1)
    await driver.submit(driver.job_record({"a": (), "b": ("a",)}))
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    assert sum((await tasks_of(store)).values()) == 0
    await driver.finish(placed)
    assert sum((await tasks_of(store)).values()) == 1


async def test_a_tenant_at_its_cap_waits_all_the_same(store: Store, driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=4)
    capped = spec("kind:noop", priority=LIVE)
    await driver.submit_one("a", "b", "c", tenant="capped", spec=capped)
    rules = msgspec.structs.replace(PLACE_RULES, tenants={"capped": TenantShare(1.0, 1)})
    await driver.place(capped, rules=rules)
    assert (await tasks_of(store))[LIVE] == 2


async def test_the_age_is_that_of_the_oldest_job(store: Store, driver: StoreDriver) -> None:
    seconds = int(time())
    for age_s in (5, 90, 30):
        (task,) = driver.job_record({"a": ()}).tasks
        aged = msgspec.structs.replace(task, score=(seconds - age_s) * 1000)
        await driver.submit(msgspec.structs.replace(driver.job_record({"a": ()}), tasks=[aged]))
    depth = next(depth for depth in (await store.read.gauges()).queues.values() if depth.tasks)
    assert depth.tasks == 3
    assert 89_000 <= depth.oldest_ms < 120_000


async def test_an_empty_class_has_no_age(store: Store) -> None:
    assert (await store.read.gauges()).queues == dict.fromkeys(PriorityClass, QueueDepth())


async def test_a_job_from_a_clock_that_is_ahead_has_no_negative_age(store: Store, driver: StoreDriver) -> None:
    (task,) = driver.job_record({"a": ()}).tasks
    ahead = msgspec.structs.replace(task, score=2**45)
    await driver.submit(msgspec.structs.replace(driver.job_record({"a": ()}), tasks=[ahead]))
    assert {depth.oldest_ms for depth in (await store.read.gauges()).queues.values()} == {0}


async def test_more_lines_than_one_look_reads_are_cut_and_said_to_be(store: Store, driver: StoreDriver) -> None:
    for number in range(5):
        await driver.submit_one("a", tenant=f"t{number}")
    found = await read_gauges(asking(store), store.keys, most=3)
    assert sum(depth.tasks for depth in found.queues.values()) == 3
    assert all(depth.is_cut for depth in found.queues.values())
    whole = await read_gauges(asking(store), store.keys, most=5)
    assert not any(depth.is_cut for depth in whole.queues.values())


async def test_a_look_goes_in_pieces(store: Store, driver: StoreDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "PIECE", 2)
    for number in range(5):
        await driver.submit_one("a", tenant=f"t{number}")
    assert sum((await tasks_of(store)).values()) == 5


async def test_a_queue_of_a_class_of_a_newer_version_is_passed_over(store: Store, driver: StoreDriver) -> None:
    await driver.submit_one("a")
    await asking(store).zadd(store.keys.waiting, {"z-1": 1})
    await asking(store).zadd(store.keys.queue_tenants("z-1"), {"default": 1})
    await asking(store).zadd(store.keys.queue_tenant("z-1", "default"), {"t": 1})
    assert sum((await tasks_of(store)).values()) == 1


async def test_nodes_are_counted_by_state(store: Store, driver: StoreDriver) -> None:
    for name in ("n0-a-1", "n0-b-1", "n0-c-1"):
        await driver.join(name)
    await store.drain("n0-c-1", draining=True)
    await asking(store).hset(store.keys.node("n0-b-1"), "state", "of a newer version")
    found = (await store.read.gauges()).nodes
    assert (found[NodeState.READY], found[NodeState.DRAINING], found[NodeState.OFFLINE]) == (1, 1, 0)


async def test_dead_letters_are_counted_until_they_are_dropped(store: Store, driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.fail(placed, retryable=False)
    assert (await store.read.gauges()).dead_letters == 1
    await store.drop_dead_letter(f"{job}.a")
    assert (await store.read.gauges()).dead_letters == 0


async def test_log_levels_are_kept_until_they_are_undone(store: Store, virtual_time: VirtualTime) -> None:
    await store.set_log_level("mediafleet.scheduler", "debug")
    await store.set_log_level("websockets", "info")
    assert await store.read.log_levels() == {"mediafleet.scheduler": "debug", "websockets": "info"}
    await store.set_log_level("mediafleet.scheduler", "")
    await store.set_log_level("never set", "")
    assert await store.read.log_levels() == {"websockets": "info"}
