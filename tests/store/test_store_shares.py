"""Who goes first: classes, tenants by their shares, caps, kept slots, and tasks that need many slots."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from tests_support.store_driver import PLACE_RULES, StoreDriver, spec
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.store import Store, records

NODE, OTHER = "n0-a-1", "n0-b-2"
LIVE, INTERACTIVE, BATCH = (spec(priority=priority) for priority in PriorityClass)
WIDE = spec(slots=2)
HOLD_AFTER_MS, HOLD_MS = PLACE_RULES.hold_after_ms, PLACE_RULES.hold_ms


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


def rules(**tenants: records.TenantShare) -> records.PlaceRules:
    return msgspec.structs.replace(PLACE_RULES, tenants=tenants)


def names(placed: records.Placed) -> list[str]:
    """Return the names of the tasks that were placed, in order."""
    return [task.task.partition(".")[2] for task in placed.assignments]


async def order(driver: StoreDriver, *specs: records.QueueSpec, rules: records.PlaceRules = PLACE_RULES) -> list[str]:
    """Place and finish one task after the other; return their names."""
    order: list[str] = []
    while placed := (await driver.place(*specs, limit=1, rules=rules)).assignments:
        order += [placed[0].task.partition(".")[2]]
        await driver.finish(placed[0])
    return order


async def submit(driver: StoreDriver, count: int, name: str, **changes: object) -> None:
    for _ in range(count):
        await driver.submit_one(name, **changes)


async def test_live_goes_before_interactive_and_that_before_batch(driver: StoreDriver) -> None:
    await driver.join(NODE)
    for queue in (BATCH, INTERACTIVE, LIVE):
        await submit(driver, 2, queue.priority, spec=queue)
    expected = ["live", "live", "interactive", "interactive", "batch", "batch"]
    assert await order(driver, BATCH, LIVE, INTERACTIVE) == expected


async def test_one_of_every_so_many_placements_is_batchs_while_it_waits(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await submit(driver, 2, "batch", spec=BATCH)
    await submit(driver, 9, "live", spec=LIVE)
    seldom = msgspec.structs.replace(PLACE_RULES, batch_every=4)
    assert await order(driver, LIVE, BATCH, rules=seldom) == [*(["live"] * 3 + ["batch"]) * 2, *["live"] * 3]


async def test_live_work_saves_up_no_turns_for_batch_that_did_not_wait(driver: StoreDriver) -> None:
    await driver.join(NODE)
    seldom = msgspec.structs.replace(PLACE_RULES, batch_every=4)
    await submit(driver, 9, "live", spec=LIVE)
    assert await order(driver, LIVE, BATCH, rules=seldom) == ["live"] * 9
    await submit(driver, 1, "batch", spec=BATCH)
    await submit(driver, 2, "live", spec=LIVE)
    assert await order(driver, LIVE, BATCH, rules=seldom) == ["live", "live", "batch"]


@pytest.mark.parametrize("one_call", [True, False])
async def test_tenants_get_slots_by_their_weights(driver: StoreDriver, *, one_call: bool) -> None:
    await driver.join(NODE, slots=12)
    for tenant in ("heavy", "light"):
        await submit(driver, 12, tenant, tenant=tenant)
    shares = rules(heavy=records.TenantShare(3.0), light=records.TenantShare(1.0))
    placed: Counter[str] = Counter()
    for limit in [12] if one_call else [1] * 12:
        placed.update(names(await driver.place(BATCH, limit=limit, rules=shares)))
    assert placed == {"heavy": 9, "light": 3}


async def test_a_tenant_gains_nothing_by_spreading_its_tasks_over_queues(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=8, capabilities=("kind:noop", "label:a", "label:b"))
    queues = [BATCH, spec("kind:noop", "label:a"), spec("kind:noop", "label:b")]
    for queue in queues:
        await submit(driver, 8, "sly", tenant="sly", spec=queue)
    await submit(driver, 8, "plain", tenant="plain")
    assert Counter(names(await driver.place(*queues))) == {"sly": 4, "plain": 4}


async def test_a_tenant_that_was_away_saves_up_no_turns(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await submit(driver, 6, "busy", tenant="busy")
    assert await order(driver, BATCH) == ["busy"] * 6
    for tenant in ("busy", "late"):
        await submit(driver, 3, tenant, tenant=tenant)
    assert Counter((await order(driver, BATCH))[:4]) == {"busy": 2, "late": 2}


async def test_wide_tasks_count_by_their_slots(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=8)
    await submit(driver, 4, "wide", tenant="wide", spec=WIDE)
    await submit(driver, 8, "narrow", tenant="narrow")
    placed = [name for _ in range(6) for name in names(await driver.place(BATCH, WIDE, limit=1))]
    assert Counter(placed) == {"wide": 2, "narrow": 4}


async def test_a_tenant_at_its_cap_waits_until_it_gives_slots_back_and_holds_nobody_up(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=8)
    await submit(driver, 4, "capped", tenant="capped")
    await submit(driver, 2, "free", tenant="free")
    capped = rules(capped=records.TenantShare(1.0, 2))
    placed = await driver.place(BATCH, rules=capped)
    assert Counter(names(placed)) == {"capped": 2, "free": 2}
    assert placed.waiting == []
    assert await driver.store.read.count_queued([BATCH.id]) == 2, "it waits all the same"
    assert (await driver.place(BATCH, rules=capped)).assignments == []
    mine = next(task for task in placed.assignments if task.task.endswith(".capped"))
    finished = await driver.store.finish([records.ResultRecord(mine.task, mine.grant, "{}", [])])
    assert finished.queues == [BATCH.id], "its queue is to be placed again"
    assert names(await driver.place(BATCH, rules=capped)) == ["capped"]


async def test_a_cap_counts_what_a_tenant_uses_in_all_queues(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=8)
    for queue in (LIVE, BATCH):
        await submit(driver, 3, "capped", tenant="capped", spec=queue)
    assert len(names(await driver.place(LIVE, BATCH, rules=rules(capped=records.TenantShare(1.0, 2))))) == 2


async def test_batch_leaves_free_what_is_kept_for_live_work(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=4, live_reserve=2)
    for queue in (BATCH, LIVE):
        await submit(driver, 4, queue.priority, spec=queue)
    assert names(await driver.place(BATCH)) == ["batch", "batch"]
    assert names(await driver.place(LIVE, BATCH)) == ["live", "live"]
    assert await driver.used(f"{NODE}/cpu") == 4


async def test_live_work_uses_what_is_kept_for_it_last_of_all_for_batch(driver: StoreDriver) -> None:
    """Live work in the kept slots leaves batch the others; in more than those it takes from batch."""
    await driver.join(NODE, slots=4, live_reserve=2)
    await submit(driver, 4, "batch", spec=BATCH)
    await submit(driver, 3, "live", spec=LIVE)
    assert len(names(await driver.place(LIVE))) == 3
    assert names(await driver.place(BATCH)) == ["batch"]


async def busy(driver: StoreDriver, *nodes: str, slots: int = 2) -> list[records.PlacedTask]:
    """Fill nodes with small tasks, and let a wide one and more small ones wait."""
    for node in nodes:
        await driver.join(node, slots=slots)
    await submit(driver, slots * len(nodes), "small")
    placed = await driver.place_all()
    await submit(driver, 1, "wide", spec=WIDE)
    await submit(driver, 8, "small")
    return placed


async def test_a_task_of_many_slots_gets_them_though_small_ones_never_end(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    running = await busy(driver, NODE, OTHER)
    order: list[str] = []
    for _ in range(8):
        placed = await driver.place(BATCH, WIDE)
        order += names(placed)
        running += placed.assignments
        if "wide" in order:
            break
        virtual_time.advance(HOLD_AFTER_MS // 2)
        await driver.finish(running.pop(0))
    assert "wide" in order
    (held,) = [task for task in running if task.task.endswith(".wide")]
    await driver.finish(held)
    assert len(names(await driver.place(BATCH, WIDE))) >= 2, "the executor is there for all again"


async def test_a_hold_ends_in_time_if_its_slots_do_not_become_free(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    await driver.reap()
    running = await busy(driver, NODE)
    for _ in range(2):
        assert names(await driver.place(BATCH, WIDE)) == []
        virtual_time.advance(HOLD_AFTER_MS)
    await driver.finish(running[0])
    assert names(await driver.place(BATCH, WIDE)) == [], "one slot is free, and held"
    virtual_time.advance(HOLD_MS)
    for _ in range(2):
        await driver.reap()
    await driver.ack(*running)
    assert names(await driver.place(BATCH)) != []


async def test_a_hold_ends_with_its_node(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await busy(driver, NODE)
    for _ in range(2):
        await driver.place(BATCH, WIDE)
        virtual_time.advance(HOLD_AFTER_MS)
    await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=True, retention_ms=1_000)
    await driver.join(OTHER, slots=2)
    assert await driver.redis.exists(f"{driver.store.keys.tag}holds") == 0
    assert len(names(await driver.place(WIDE))) == 1


async def test_no_executor_is_held_for_batch_where_too_few_slots_are_left_to_it(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    await driver.join(NODE, slots=2, live_reserve=1)
    await submit(driver, 1, "wide", spec=WIDE)
    for _ in range(3):
        await driver.place(WIDE)
        virtual_time.advance(HOLD_AFTER_MS)
    await submit(driver, 1, "small")
    assert names(await driver.place(WIDE, BATCH)) == ["small"]


async def test_what_is_placed_on_a_node_of_another_instance_is_left_in_its_inbox(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("only")
    elsewhere = msgspec.structs.replace(PLACE_RULES, instance="i-2")
    placed = await driver.place(BATCH, rules=elsewhere)
    assert (placed.assignments, placed.sent) == ([], 1)
    ((_, message),) = await driver.redis.xrange(f"{driver.store.keys.tag}inbox:i-1")
    found = msgspec.json.decode(message[b"assign"], type=records.PlacedTask)
    assert (found.job, found.executor, found.attempt) == (job, f"{NODE}/cpu", 1)
    assert await driver.ack(found) == []
