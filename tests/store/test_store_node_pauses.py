"""Pauses of nodes and of the fleet."""

from __future__ import annotations

import pytest
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.pausing import events, held, pause, view
from tests_support.store_driver import DEFAULT_QUEUE, LEASE_MS, RETENTION_MS, StoreDriver, spec

from mediafleet.domain.event import EventType
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.node import NodeState
from mediafleet.domain.pause import NOT_PAUSED
from mediafleet.store import Store

NODE, OTHER = "n0-a-1", "n0-b-1"


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


# --- a node --------------------------------------------------------------------------------


async def state_of(driver: StoreDriver, node: str = NODE) -> tuple[NodeState, str]:
    found = await driver.store.read.node(node)
    assert found is not None
    return found.state, found.reason


async def test_a_paused_node_stays_and_takes_nothing_new(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    await driver.submit_one("a")
    (placed,) = await driver.place_all()
    found = await driver.store.pause_node(NODE, paused=True, now=False)
    assert (found.found, found.stops) == (True, [])
    assert await state_of(driver) == (NodeState.PAUSED, "An operator paused it.")
    await driver.submit_one("b")
    assert await driver.place_all() == []
    assert await driver.finish(placed) == ["accepted"]
    assert await driver.place_all() == []
    await driver.store.pause_node(NODE, paused=False, now=False)
    assert (await state_of(driver))[0] is NodeState.READY
    assert len(await driver.place_all()) == 1
    assert await events(driver) == [EventType.NODE_PAUSED, EventType.NODE_RESUMED]


async def test_a_node_is_paused_still_when_it_comes_back(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.pause_node(NODE, paused=True, now=False)
    await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=True, retention_ms=RETENTION_MS)
    driver.incarnations.clear()
    await driver.join(NODE)
    await driver.submit_one("a")
    assert (await state_of(driver))[0] is NodeState.PAUSED
    assert await driver.place_all() == []


async def test_work_that_is_stopped_on_a_node_goes_elsewhere(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.join(OTHER)
    found = await driver.store.pause_node(NODE, paused=True, now=True)
    assert [stop.grant for stop in found.stops] == [placed.grant]
    assert found.queues == [DEFAULT_QUEUE.id]
    (again,) = await driver.place_all()
    assert (again.executor, again.job) == (f"{OTHER}/cpu", job)
    (task,) = (await view(driver, job)).tasks
    assert task.tries == 0


async def test_a_node_with_very_much_work_is_stopped_in_pieces(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE, slots=300)
    job = await driver.submit_one(*(f"t{number}" for number in range(300)))
    placed = [task for _ in range(5) for task in await driver.place_all()]
    assert len(placed) == 300
    found = await driver.store.pause_node(NODE, paused=True, now=True)
    assert len(found.stops) == 256
    ticks = await clockwork.pass_ms(TICK_MS)
    assert sum(len(tick.halted) for tick in ticks) == 300 - 256
    assert {task.state for task in (await view(driver, job)).tasks} == {TaskState.NEW}


async def test_a_drained_node_that_is_paused_is_paused_when_the_drain_is_undone(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.drain(NODE, draining=True)
    await driver.store.pause_node(NODE, paused=True, now=False)
    assert (await state_of(driver))[0] is NodeState.DRAINING
    await driver.store.drain(NODE, draining=False)
    assert (await state_of(driver))[0] is NodeState.PAUSED


async def test_a_node_that_nobody_knows_cannot_be_paused(driver: StoreDriver) -> None:
    assert not (await driver.store.pause_node("n0-none-1", paused=True, now=True)).found


# --- the fleet -----------------------------------------------------------------------------


async def test_in_a_paused_fleet_nothing_begins_whatever_comes(driver: StoreDriver) -> None:
    await driver.store.pause_fleet(paused=True, now=False)
    await driver.join(NODE, slots=4)
    await driver.submit_one("a", "b")
    placed = await driver.place(DEFAULT_QUEUE)
    assert (placed.assignments, placed.waiting) == ([], [DEFAULT_QUEUE.id])
    await driver.store.pause_fleet(paused=False, now=False)
    assert len(await driver.place_all()) == 2
    assert await events(driver) == [EventType.FLEET_PAUSED, EventType.FLEET_RESUMED]


async def test_what_runs_in_a_fleet_that_is_paused_finishes(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    found = await driver.store.pause_fleet(paused=True, now=False)
    assert (found.paused, found.since_ms is not None, found.now) == (True, True, False)
    assert await driver.store.fleet_pause() == found
    await driver.reap()
    assert await driver.finish(placed) == ["accepted"]
    assert (await view(driver, job)).status is JobStatus.COMPLETED


async def test_a_fleet_that_is_stopped_at_once_stops_all_its_nodes(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    for node in (NODE, OTHER):
        await driver.join(node)
    job = await driver.submit_one("a", "b")
    placed = await driver.place_all()
    assert (await driver.store.pause_fleet(paused=True, now=False)).now is False
    since = (await driver.store.pause_fleet(paused=True, now=True)).since_ms
    ticks = await clockwork.pass_ms(2 * TICK_MS)
    assert {stop.grant for tick in ticks for stop in tick.halted} == {task.grant for task in placed}
    assert {task.state for task in (await view(driver, job)).tasks} == {TaskState.NEW}
    found = await driver.store.fleet_pause()
    assert (found.now, found.since_ms) == (True, since)
    await driver.store.pause_fleet(paused=False, now=False)
    assert await driver.store.fleet_pause() == NOT_PAUSED


async def test_a_fleet_that_goes_on_before_the_reaper_came_is_not_stopped(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.store.pause_fleet(paused=True, now=True)
    await driver.store.pause_fleet(paused=False, now=False)
    ticks = await clockwork.pass_ms(TICK_MS)
    assert [stop for tick in ticks for stop in tick.halted] == []
    assert await driver.finish(placed) == ["accepted"]


async def test_a_node_that_comes_back_may_finish_what_a_soft_pause_left_it(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    job = await driver.submit_one("a", "b")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await pause(driver, job)
    await clockwork.pass_ms(LEASE_MS + TICK_MS)
    assert sorted(await held(driver, job)) == ["a", "b"]
    await driver.join(NODE, announced=(AttemptRef(placed.task, placed.grant),))
    assert len(await held(driver, job)) == 1
    assert await driver.finish(placed) == ["accepted"]


async def test_a_node_that_comes_back_does_not_go_on_with_what_was_stopped(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await clockwork.pass_ms(LEASE_MS + TICK_MS)
    await pause(driver, job, now=True)
    admitted = await driver.join(NODE, announced=(AttemptRef(placed.task, placed.grant),))
    assert [attempt.grant for attempt in admitted.drop] == [placed.grant]
    assert await held(driver, job) == ["a"]


async def test_a_queue_that_is_asked_for_by_nobody_else_is_gone_while_its_job_is_paused(driver: StoreDriver) -> None:
    job = await driver.submit_one("a", spec=spec("kind:rare"))
    await pause(driver, job)
    gauges = await driver.store.read.gauges()
    assert sum(depth.tasks for depth in gauges.queues.values()) == 0
    assert gauges.open.all == 1, "its tasks still count under the bounds"
