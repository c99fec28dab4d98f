"""Whose turn it is: classes, fair share between tenants, caps, what is kept for live work, holds."""

from __future__ import annotations

from collections import Counter

import pytest
from tests_support.store_driver import DEFAULT_QUEUE, StoreDriver
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.capability import Requirement
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.store import Store, records

LIVE, INTERACTIVE, BATCH = PriorityClass


def queue_of(priority: PriorityClass = BATCH, *, cost: int = 1, extra: str = "") -> records.QueueSpec:
    capabilities = ("kind:noop", f"label:{extra}") if extra else ("kind:noop",)
    return records.QueueSpec(Requirement(capabilities, cost), priority)


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    return StoreDriver(store)


async def tenants_of(driver: StoreDriver, placed: list[records.PlacedTask]) -> list[str]:
    rules = [await driver.redis.hget(driver.store.keys.task(task.task), "rule") for task in placed]
    return [rule.decode().split("|")[1] for rule in rules]


async def place_all(driver: StoreDriver, limit: int = 64, **rules: object) -> list[records.PlacedTask]:
    return (await driver.place_waiting(limit, **rules)).assignments


async def place_and_finish(driver: StoreDriver, times: int, **rules: object) -> list[str]:
    """Let one slot work for so many rounds; return whose tasks it did."""
    order: list[str] = []
    for _ in range(times):
        placed = await place_all(driver, limit=1, **rules)
        order += await tenants_of(driver, placed)
        for task in placed:
            await driver.finish(task)
    return order


# --- tenants -----------------------------------------------------------------------------------


async def test_three_tasks_behind_ten_thousand_of_another_tenant_are_among_the_first_ten(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=10)
    await driver.submit_many(10_000, tenant="crowd")
    await driver.submit_many(3, tenant="small")
    assert (await tenants_of(driver, await place_all(driver, limit=10))).count("small") == 3


async def test_tenants_share_by_weight(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    for tenant in ("heavy", "light"):
        await driver.submit_many(40, tenant=tenant)
    order = await place_and_finish(driver, 30, tenants={"heavy": records.TenantShare(weight=2)})
    assert Counter(order) == {"heavy": 20, "light": 10}


async def test_a_tenant_does_not_gain_by_spreading_its_tasks_over_queues(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", capabilities=("kind:noop", "label:x", "label:y", "label:z"))
    for extra in ("x", "y", "z"):
        await driver.submit_many(20, queue_of(extra=extra), "clever")
    await driver.submit_many(20, tenant="plain")
    order = await place_and_finish(driver, 20)
    assert abs(order.count("clever") - order.count("plain")) <= 1, order


async def test_a_tenant_does_not_save_up_turns_while_it_is_idle(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    await driver.submit_many(60, tenant="steady")
    await place_and_finish(driver, 20)
    await driver.submit_many(20, tenant="late")
    order = await place_and_finish(driver, 20)
    assert abs(order.count("late") - order.count("steady")) <= 2, order


async def test_more_tenants_than_one_call_reads_are_all_served_once_before_any_twice(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    tenants = [f"t{number:02}" for number in range(12)]
    for tenant in tenants:
        await driver.submit_many(2, tenant=tenant)
        await driver.submit_many(2, queue_of(INTERACTIVE), tenant)
    assert sorted(await place_and_finish(driver, 12)) == tenants


async def test_a_tenant_at_its_cap_waits_until_it_gives_slots_back(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=8)
    await driver.submit_many(5, tenant="capped")
    capped = {"capped": records.TenantShare(cap=2)}
    first = await place_all(driver, tenants=capped)
    assert len(first) == 2
    assert (await driver.place_waiting(tenants=capped)).waiting == []
    await driver.finish(first[0])
    assert len(await place_all(driver, tenants=capped)) == 1


async def test_a_tenant_at_its_cap_keeps_nobody_else_waiting(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=8)
    await driver.submit_many(5, tenant="capped")
    await driver.submit_many(2, tenant="free")
    placed = await place_all(driver, tenants={"capped": records.TenantShare(cap=2)})
    assert Counter(await tenants_of(driver, placed)) == {"capped": 2, "free": 2}


async def test_what_tenants_use_is_back_to_nothing_at_rest(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=4)
    await driver.submit_many(4, tenant="one")
    first, second, third, fourth = await place_all(driver)
    await driver.finish(first)
    await driver.fail(second, retryable=False)
    await driver.fail(third, how="lost")
    assert await driver.redis.hget(driver.store.keys.running, "one") == b"1"
    await driver.finish(fourth)
    assert not await driver.redis.exists(driver.store.keys.running)


# --- classes -----------------------------------------------------------------------------------


async def test_live_goes_before_interactive_before_batch(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    for priority in (BATCH, INTERACTIVE, LIVE):
        await driver.submit_many(2, queue_of(priority), priority.value)
    assert await place_and_finish(driver, 6) == ["live"] * 2 + ["interactive"] * 2 + ["batch"] * 2


async def test_batch_keeps_its_share_under_a_flood(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    await driver.submit_many(40, queue_of(LIVE), "flood")
    await driver.submit_many(5, tenant="batch")
    order = await place_and_finish(driver, 20, batch_every=5)
    assert [position for position, tenant in enumerate(order) if tenant == "batch"] == [4, 9, 14, 19]


async def test_a_share_that_batch_cannot_use_is_given_to_others(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=2, live_reserve=2)
    await driver.submit_many(10, queue_of(LIVE), "live")
    await driver.submit_many(2, tenant="batch")
    assert await place_and_finish(driver, 10, batch_every=2) == ["live"] * 10


async def test_batch_leaves_the_slots_that_are_kept_for_live_work(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=4, live_reserve=2)
    await driver.submit_many(4, tenant="batch")
    batch = await place_all(driver)
    assert len(batch) == 2
    await driver.submit_many(4, queue_of(LIVE), "live")
    live = await place_all(driver)
    assert len(live) == 2
    await driver.finish(batch[0])
    assert await tenants_of(driver, await place_all(driver)) == ["live"], "live work may take any slot"


# --- tasks that need many slots ----------------------------------------------------------------


@pytest.fixture
def timed(store: Store, virtual_time: VirtualTime) -> StoreDriver:
    """A driver on a store whose clock a test moves."""
    timed = Store(store.redis, store.keys, now=virtual_time)
    return StoreDriver(timed)


async def test_a_task_that_needs_all_slots_gets_them_among_a_stream_of_small_ones(
    timed: StoreDriver, virtual_time: VirtualTime
) -> None:
    await timed.join("n0-a-1", slots=3)
    await timed.submit_many(30)
    running = await place_all(timed)
    await timed.submit_many(1, queue_of(cost=3), "big")
    for _ in range(20):
        virtual_time.advance(1_000)
        await timed.finish(running.pop(0))
        placed = await place_all(timed, hold_after_ms=3_000, hold_ms=60_000)
        if "big" in await tenants_of(timed, placed):
            break
        running += placed
    else:
        pytest.fail("the task that needs all slots never got them")
    assert await timed.used("n0-a-1/cpu") == 3
    assert await timed.redis.hlen(timed.store.keys.holds) == 0


async def test_a_hold_that_comes_to_nothing_ends(timed: StoreDriver, virtual_time: VirtualTime) -> None:
    await timed.reap()
    await timed.join("n0-a-1", slots=2)
    await timed.submit_many(4)
    first, _ = await place_all(timed)
    await timed.submit_many(1, queue_of(cost=2), "big")
    for _ in range(2):
        await place_all(timed, hold_after_ms=0, hold_ms=2_000)
    assert await timed.redis.hlen(timed.store.keys.holds) == 1
    await timed.finish(first)
    assert await place_all(timed, hold_after_ms=60_000) == []
    for _ in range(5):
        virtual_time.advance(500)
        await timed.reap()
    assert len(await place_all(timed, hold_after_ms=60_000)) == 1


async def test_a_hold_ends_when_nobody_waits_for_it_any_more(timed: StoreDriver, virtual_time: VirtualTime) -> None:
    """The task is cancelled: its executor must not stay out of its pool for the rest of the time."""
    await timed.reap()
    await timed.join("n0-a-1", slots=2)
    await timed.submit_many(2)
    first, _ = await place_all(timed)
    big = await timed.submit_one("big", spec=queue_of(cost=2))
    for _ in range(2):
        await place_all(timed, hold_after_ms=0)
    await timed.store.cancel(big, cursor=0, sweep=False)
    await timed.reap()
    assert await timed.redis.hlen(timed.store.keys.holds) == 0
    await timed.submit_many(1)
    await timed.finish(first)
    assert len(await place_all(timed, hold_after_ms=60_000)) == 1


@pytest.mark.parametrize("ends", ["placed", "cancelled"])
async def test_each_wait_for_many_slots_begins_anew(timed: StoreDriver, virtual_time: VirtualTime, ends: str) -> None:
    """Having waited once, long ago, must not make the next task of the queue take an executor at once."""
    await timed.reap()
    await timed.join("n0-a-1", slots=2)
    await timed.submit_many(1)
    (small,) = await place_all(timed)
    big = await timed.submit_one("big", spec=queue_of(cost=2))
    await place_all(timed)
    if ends == "placed":
        await timed.finish(small)
        (placed,) = await place_all(timed)
        await timed.finish(placed)
        await timed.submit_many(1)
        await place_all(timed)
    else:
        await timed.store.cancel(big, cursor=0, sweep=False)
    virtual_time.advance(600_000)
    await timed.submit_one("next", spec=queue_of(cost=2))
    await place_all(timed)
    assert await timed.redis.hlen(timed.store.keys.holds) == 0


async def test_a_hold_does_not_bring_a_drained_node_back(timed: StoreDriver, virtual_time: VirtualTime) -> None:
    await timed.reap()
    await timed.join("n0-a-1", slots=2)
    await timed.submit_many(4)
    await place_all(timed)
    await timed.submit_many(1, queue_of(cost=2), "big")
    for _ in range(2):
        await place_all(timed, hold_after_ms=0, hold_ms=2_000)
    await timed.store.drain("n0-a-1", draining=True)
    for _ in range(5):
        virtual_time.advance(500)
        await timed.reap()
    assert await timed.store.read.pools() == []


# --- several instances -------------------------------------------------------------------------


async def test_the_default_queue_is_one_of_batch() -> None:
    assert DEFAULT_QUEUE.id.startswith("b-")
