"""Nodes that warm up, run short of room, say that they are unwell, and come back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support.store_driver import LEASE_MS, RETENTION_MS, StoreDriver
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.capability import Signature
from mediafleet.domain.event import EventType
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.node import NODE_TRANSITIONS, Executor, NodeEvent, NodeState
from mediafleet.store import Store, records

NODE, OTHER = "n0-a-1", "n0-b-2"


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


async def state(driver: StoreDriver, node: str = NODE) -> NodeState:
    view = await driver.store.read.node(node)
    assert view
    return view.state


async def beat(
    driver: StoreDriver, pressed: str = "", *, eased: bool = True, running: tuple[AttemptRef, ...] = ()
) -> records.Renewed:
    """Report from the node, with what the scheduler makes of its load."""
    report = records.NodeReport(NODE, driver.epochs[NODE], "{}", running, pressed, eased and not pressed)
    return await driver.store.renew([report], lease_ms=LEASE_MS)


async def test_a_node_over_a_limit_gets_no_new_work_and_goes_on_with_what_it_runs(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    await driver.submit_one("a", "b")
    (running, *_) = (await driver.place_all(limit=1),)
    await driver.ack(*running)
    await beat(driver, "disk 99 % in use", running=(AttemptRef(running[0].task, running[0].grant),))
    assert await state(driver) is NodeState.DEGRADED
    assert await driver.place_all() == []
    assert await driver.finish(running[0]) == ["accepted"]
    assert await driver.place_all() == [], "a slot that becomes free there is no reason to use it"


async def test_a_node_comes_back_only_when_it_is_well_below_its_limits(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("a")
    await beat(driver, "memory 91 % in use")
    await beat(driver, eased=False)
    assert (await state(driver), await driver.place_all()) == (NodeState.DEGRADED, []), "between the two it stays"
    renewed = await beat(driver)
    assert await state(driver) is NodeState.READY
    assert len(renewed.freed.pools) == 1, "those who wait for it are told"
    await beat(driver, eased=False)
    assert await state(driver) is NodeState.READY, "between the two it stays"
    assert len(await driver.place_all()) == 1


async def test_a_node_that_stays_over_its_limit_changes_once(driver: StoreDriver) -> None:
    await driver.join(NODE)
    for _ in range(3):
        await beat(driver, "cpu 99 % in use")
    events = [event.type for event in await driver.store.read.past_events("0-0")]
    assert events.count(EventType.NODE_CHANGED) == 1


async def test_the_reason_follows_the_load(driver: StoreDriver) -> None:
    await driver.join(NODE)
    for reason in ("cpu 99 % in use", "disk 98 % in use"):
        await beat(driver, reason)
    view = await driver.store.read.node(NODE)
    assert view
    assert "disk 98 %" in view.reason
    assert "cpu" not in view.reason


async def test_a_node_that_joins_over_its_limit_gets_nothing_from_the_start(driver: StoreDriver) -> None:
    await driver.submit_one("a")
    await driver.join(NODE, pressed="memory 99 % in use")
    assert (await state(driver), await driver.place_all()) == (NodeState.DEGRADED, [])


async def test_a_node_that_warms_up_takes_no_work_until_it_is_ready(driver: StoreDriver) -> None:
    await driver.submit_one("a")
    await driver.join(NODE, warming=True, capabilities=())
    assert (await state(driver), await driver.place_all()) == (NodeState.WARMUP, [])
    await beat(driver, eased=True)
    assert await state(driver) is NodeState.WARMUP, "a heartbeat is no end of it"
    changed = await driver.change(NODE, ("kind:noop",), state="ready")
    assert (changed.current, changed.state) == (True, NodeState.READY)
    assert len(await driver.place_all()) == 1


async def test_a_node_that_is_short_of_room_when_it_is_warm_is_degraded(driver: StoreDriver) -> None:
    await driver.join(NODE, warming=True)
    await beat(driver, "disk 99 % in use")
    assert await state(driver) is NodeState.WARMUP
    assert (await driver.change(NODE, state="ready")).state == NodeState.DEGRADED


async def test_a_node_may_say_itself_that_it_is_unwell(driver: StoreDriver) -> None:
    await driver.join(NODE)
    assert (await driver.change(NODE, state="degraded", reason="a fan stands still")).state == NodeState.DEGRADED
    await beat(driver)
    view = await driver.store.read.node(NODE)
    assert view
    assert (view.state, "a fan stands still" in view.reason) == (NodeState.DEGRADED, True)
    assert (await driver.change(NODE, state="ready")).state == NodeState.READY


async def test_a_drain_goes_before_the_load_and_leaves_the_node_as_it_is_by_then(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.drain(NODE, draining=True)
    await beat(driver, "disk 99 % in use")
    assert await state(driver) is NodeState.DRAINING
    await driver.store.drain(NODE, draining=False)
    assert await state(driver) is NodeState.DEGRADED
    await beat(driver)
    assert await state(driver) is NodeState.READY


async def test_what_an_older_link_says_changes_nothing(driver: StoreDriver) -> None:
    await driver.join(NODE)
    old = driver.epochs[NODE]
    await driver.join(NODE)
    assert not (await driver.change(NODE, ("kind:other",), epoch=old, state="degraded")).current
    assert await state(driver) is NodeState.READY
    (pool,) = await driver.store.read.pools()
    assert pool.capabilities == ("kind:noop",)


async def test_a_node_that_is_gone_is_not_called_back_by_a_late_word(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=True, retention_ms=RETENTION_MS)
    assert not (await driver.change(NODE, state="ready")).current
    assert (await beat(driver)).unknown == [NODE]
    assert await state(driver) is NodeState.OFFLINE


@pytest.mark.parametrize("standing", [{}, {"warming": True}, {"pressed": "disk"}, {"ailing": "a fan"}])
async def test_every_state_may_go_offline(
    driver: StoreDriver, virtual_time: VirtualTime, standing: dict[str, Any]
) -> None:
    await driver.reap()
    await driver.join(NODE, **standing)
    for _ in range(LEASE_MS // 2_000 + 1):
        virtual_time.advance(2_000)
        await driver.reap()
    assert await state(driver) is NodeState.OFFLINE


async def test_a_node_with_the_same_id_and_a_new_incarnation_voids_its_old_leases(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    driver.incarnations[NODE] = "another"
    assert (await driver.join(NODE)).lost == 1
    assert await driver.used(f"{NODE}/cpu") == 0
    assert await driver.finish(placed) == ["stale"], "its grant was revoked"
    view = await driver.store.read.job(job)
    assert view
    assert view.tasks[0].state is TaskState.NEW


async def test_a_node_that_comes_back_with_its_work_running_keeps_it_in_any_state(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    attempt = AttemptRef(placed.task, placed.grant)
    admitted = await driver.join(NODE, announced=(attempt,), pressed="disk 99 % in use")
    assert (admitted.keep, admitted.lost, await state(driver)) == ((attempt,), 0, NodeState.DEGRADED)
    assert await driver.finish(placed) == ["accepted"]


async def test_executors_change_without_a_reconnect_and_running_work_stays(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.change(NODE, ("kind:noop", "kind:other"), slots=3)
    (pool,) = await driver.store.read.pools()
    assert (pool.capabilities, pool.slots, pool.free) == (("kind:noop", "kind:other"), 3, 2)
    assert await driver.used(f"{NODE}/cpu") == 1
    assert await driver.finish(placed) == ["accepted"]
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_an_executor_that_is_left_out_finishes_and_takes_nothing_new(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("a", "b")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    gpu = Executor("gpu0", 1, ("kind:other",))
    pools = {gpu.signature.pool: '{"capabilities":["kind:other"],"slots":1,"live_reserve":0,"priority":0}'}
    await driver.change(NODE, executors=[gpu], pools=pools)
    await driver.store.drain(NODE, draining=True)
    await driver.store.drain(NODE, draining=False)
    assert await driver.finish(placed) == ["accepted"]
    assert await driver.place_all() == []
    assert [pool.capabilities for pool in await driver.store.read.pools()] == [("kind:other",)]
    await driver.change(NODE, executors=[gpu], pools=pools)
    view = await driver.store.read.node(NODE)
    assert view
    assert [one.name for one in view.executors] == ["gpu0"], "with nothing left to do it is gone"


@given(
    st.lists(st.tuples(st.sampled_from(["press", "ease", "drain", "undrain", "warm", "unlink", "join"])), max_size=12)
)
def test_the_table_knows_every_way_that_the_words_of_a_node_can_lead(steps: list[tuple[str]]) -> None:
    """The state follows from facts; whatever their order, the table must not stand in the way."""
    facts = {"drained": False, "warming": True, "pressed": False}
    now = NodeState.WARMUP
    changes = {
        "press": ("pressed", True),
        "ease": ("pressed", False),
        "drain": ("drained", True),
        "undrain": ("drained", False),
        "warm": ("warming", False),
    }

    def follows() -> NodeState:
        if facts["drained"]:
            return NodeState.DRAINING
        if facts["warming"]:
            return NodeState.WARMUP
        return NodeState.DEGRADED if facts["pressed"] else NodeState.READY

    for (step,) in steps:
        if step in changes:
            name, value = changes[step]
            facts[name] = value
            target, event = follows(), NodeEvent.CHANGE
            if now is NodeState.UNLINKED or target is now:
                continue
        elif step == "unlink":
            if now is NodeState.UNLINKED:
                continue
            target, event = NodeState.UNLINKED, NodeEvent.UNLINK
        else:
            target, event = follows(), NodeEvent.REGISTER
        assert target in NODE_TRANSITIONS[now, event]
        now = target


def test_signatures_of_pools_have_names_that_scripts_can_make() -> None:
    name = Signature(("kind:noop",), 2, 1, -3).pool
    assert len(name) == 16
    assert name == Signature(("kind:noop",), 2, 1, -3).pool != Signature(("kind:noop",), 2, 1, 3).pool
