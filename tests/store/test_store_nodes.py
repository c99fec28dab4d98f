"""Nodes that join, leave, drain and come back."""

from __future__ import annotations

import pytest
from tests_support.store_driver import StoreDriver, announce

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.node import NodeState
from mediafleet.store import Store, records

NODE, OTHER = "n0-a-1", "n0-b-2"


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


async def state(driver: StoreDriver, node: str = NODE) -> NodeState:
    view = await driver.store.read.node(node)
    assert view is not None
    return view.state


async def unlink(driver: StoreDriver, *, goodbye: bool = False) -> int:
    done = await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=goodbye, retention_ms=1000)
    assert done.current
    return done.lost


async def run_one(driver: StoreDriver) -> tuple[str, AttemptRef]:
    """Put one task to work on the node; return its job and attempt."""
    job = await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    return job, AttemptRef(placed.task, placed.grant)


async def first_task(driver: StoreDriver, job: str) -> tuple[TaskState, int]:
    view = await driver.store.read.job(job)
    assert view is not None
    return view.tasks[0].state, view.tasks[0].attempt


async def test_a_node_that_reconnects_keeps_what_it_still_runs(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job, attempt = await run_one(driver)
    await unlink(driver)
    assert await state(driver) is NodeState.UNLINKED
    admitted = await driver.join(NODE, announced=(attempt,))
    assert (admitted.keep, admitted.drop, admitted.lost) == ((attempt,), (), 0)
    assert await first_task(driver, job) == (TaskState.ACKED, 1)
    assert await driver.used(f"{NODE}/cpu") == 1


async def test_a_node_that_forgot_its_work_loses_it_at_once(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job, attempt = await run_one(driver)
    admitted = await driver.join(NODE)
    assert admitted.lost == 1
    assert await first_task(driver, job) == (TaskState.NEW, 1)
    again = await driver.join(NODE, announced=(attempt,))
    assert again.drop == (attempt,), "a revoked attempt does not come back"


async def test_a_node_that_comes_back_late_takes_its_work_up_again(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job, attempt = await run_one(driver)
    await unlink(driver, goodbye=True)
    assert await first_task(driver, job) == (TaskState.NEW, 1)
    assert (await driver.join(NODE, announced=(attempt,))).keep == (attempt,)
    assert await first_task(driver, job) == (TaskState.ACKED, 1)
    assert await driver.place_all() == []
    assert await driver.used(f"{NODE}/cpu") == 1


async def test_an_assignment_whose_confirmation_was_lost_is_confirmed_by_the_announcement(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    attempt = AttemptRef(placed.task, placed.grant)
    assert (await driver.join(NODE, announced=(attempt,))).keep == (attempt,)
    assert await first_task(driver, job) == (TaskState.ACKED, 1)
    view = await driver.store.read.job(job)
    assert view is not None
    assert view.status is JobStatus.PROCESSING


async def test_what_was_sent_but_not_confirmed_goes_elsewhere_when_the_link_closes(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("noop")
    await driver.place_all()
    assert await unlink(driver) == 1
    await driver.join(OTHER)
    (placed,) = await driver.place_all()
    assert placed.executor == f"{OTHER}/cpu"


async def test_an_older_link_changes_nothing(driver: StoreDriver) -> None:
    await driver.join(NODE)
    old = driver.epochs[NODE]
    await driver.join(NODE)
    assert not (await driver.store.unlink(NODE, old, goodbye=False, retention_ms=1000)).current
    assert await state(driver) is NodeState.READY


async def test_an_operators_drain_survives_a_reconnect(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.drain(NODE, draining=True)
    await driver.submit_one("noop")
    assert await driver.place_all() == []
    assert (await driver.join(NODE)).draining
    assert await driver.place_all() == []
    await driver.store.drain(NODE, draining=False)
    assert len(await driver.place_all()) == 1


async def test_a_nodes_own_drain_ends_with_its_process(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.drain(NODE, draining=True, lasting=False)
    assert await state(driver) is NodeState.DRAINING
    await unlink(driver, goodbye=True)
    assert not (await driver.join(NODE)).draining
    assert await state(driver) is NodeState.READY


async def test_an_unknown_node_cannot_be_drained(driver: StoreDriver) -> None:
    assert not (await driver.store.drain("n0-nobody", draining=True)).found


async def test_a_pool_counts_its_usable_executors(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    await driver.join(OTHER, slots=2)
    (pool,) = await driver.store.read.pools()
    assert (pool.executors, pool.free) == (2, 4)
    before, _ = await driver.store.read.pool_set()
    await unlink(driver)
    await driver.store.drain(OTHER, draining=True)
    assert await driver.store.read.pools() == []
    assert (await driver.store.read.pool_set())[0] == before


async def test_nothing_is_left_of_an_executor_that_its_node_has_no_more(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    again = records.NodeRecord(
        NODE, "i-1", "later", "{}", draining=False, lease_ms=1000, executors=[], pools={}, announced=()
    )
    assert (await driver.store.register(again)).lost == 1
    found = await driver.store.redis.exists(driver.store.keys.executor(f"{NODE}/cpu"))
    assert found == 0


async def test_a_node_may_come_back_with_other_capabilities(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("noop")
    await driver.join(NODE, slots=3, capabilities=("kind:other",))
    pools = {pool.capabilities: pool.free for pool in await driver.store.read.pools()}
    assert pools == {("kind:other",): 3}


async def test_nodes_of_a_dead_instance_are_found(driver: StoreDriver) -> None:
    await driver.join(NODE)
    assert await driver.store.read.nodes_without_instance() == [(NODE, driver.epochs[NODE])]
    await announce(driver.store, "i-1")
    assert await driver.store.read.nodes_without_instance() == []
    await driver.store.retire("i-1")
    assert len(await driver.store.read.nodes_without_instance()) == 1
