"""What a link promises, whatever carries it: each test runs over a WebSocket and over push."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from link_parts import LinkedFleet, LostAcks, link_kinds, linked_fleet, until
from redis.asyncio import Redis

from mediafleet.node import Farewell, duty
from mediafleet.store import Store
from mediafleet.store.keys import Keys

pytestmark = pytest.mark.timeout(120)
_prefixes = itertools.count()


@pytest.fixture
async def real_store(redis: Redis) -> AsyncIterator[Store]:
    """An empty store on the server's own clock."""
    store = Store(redis, Keys(f"links{next(_prefixes)}", "0"))
    await store.check_schema()
    yield store
    client: Any = redis
    if keys := [key async for key in client.scan_iter(match=f"{store.keys.prefix}:*")]:
        await client.delete(*keys)


@pytest.fixture(params=link_kinds())
def kind(request: pytest.FixtureRequest) -> str:
    """What carries the link."""
    return request.param


@pytest.fixture
async def fleet(kind: str, real_store: Store, tmp_path: Path) -> AsyncIterator[LinkedFleet]:
    async with linked_fleet(kind, real_store, tmp_path) as fleet:
        yield fleet


async def test_work_is_assigned_acknowledged_and_its_result_recorded(fleet: LinkedFleet, kind: str) -> None:
    view = await fleet.node()
    assert (view.link, view.instance) == (kind, "i-1")
    jobs = [await fleet.submit() for _ in range(20)]
    for job in jobs:
        ended = await fleet.ended(job)
        assert (ended.status, ended.tasks[0].attempt) == ("completed", 1), ended.error
    await fleet.idle()


async def test_a_cancelled_task_is_stopped_and_its_slots_are_free(fleet: LinkedFleet) -> None:
    job = await fleet.submit("wait")
    await fleet.started()
    assert fleet.probe.at_once == 1
    await fleet.scheduler.cancel(job)
    await fleet.idle()
    assert fleet.probe.at_once == 0
    assert (await fleet.scheduler.job(job)).status == "cancelled"


async def test_a_drained_node_finishes_what_it_runs_and_takes_work_again_when_told(fleet: LinkedFleet) -> None:
    running = await fleet.submit("wait")
    await fleet.started()
    node = (await fleet.node()).id
    await fleet.scheduler.drain(node, draining=True)
    waiting = await fleet.submit()
    fleet.probe.gate.set()
    assert (await fleet.ended(running)).status == "completed"
    assert (await fleet.scheduler.job(waiting)).finished_ms is None
    assert fleet.probe.started == ["wait"]
    await fleet.scheduler.drain(node, draining=False)
    assert (await fleet.ended(waiting)).status == "completed"


async def test_a_node_whose_link_was_cut_keeps_what_it_runs(fleet: LinkedFleet) -> None:
    job = await fleet.submit("wait")
    await fleet.started()
    for _ in range(3):
        before = fleet.proxy.connections
        fleet.proxy.cut()
        await until(_more_than(fleet, before))
        await fleet.in_state("ready")
    fleet.probe.gate.set()
    ended = await fleet.ended(job)
    assert (ended.status, ended.tasks[0].attempt) == ("completed", 1), ended.error
    assert fleet.probe.started == ["wait"]
    await fleet.idle()


def _more_than(fleet: LinkedFleet, connections: int) -> Any:
    async def holds() -> bool:
        return fleet.proxy.connections > connections

    return holds


async def test_a_result_made_without_a_link_is_delivered_when_there_is_one(fleet: LinkedFleet) -> None:
    job = await fleet.submit("wait")
    await fleet.started()
    fleet.proxy.refuse()
    await fleet.in_state("unlinked")
    fleet.probe.gate.set()
    await until(_held(fleet))
    fleet.proxy.refuse(refuses=False)
    ended = await fleet.ended(job)
    assert (ended.status, ended.tasks[0].attempt) == ("completed", 1), ended.error
    await fleet.idle()


def _held(fleet: LinkedFleet) -> Any:
    async def holds() -> bool:
        return bool(list((fleet.data / "outbox").glob("*")))

    return holds


async def test_a_result_whose_confirmation_was_lost_is_sent_again_and_counts_once(
    fleet: LinkedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    acks = LostAcks(left=1)
    acks.install(monkeypatch)
    job = await fleet.submit()
    ended = await fleet.ended(job)
    await until(_lost(acks))
    assert list((fleet.data / "outbox").glob("*")), "not confirmed, so kept"
    fleet.proxy.refuse()
    await fleet.in_state("unlinked")
    fleet.proxy.refuse(refuses=False)
    await fleet.in_state("ready")
    await fleet.idle()
    assert await fleet.scheduler.job(job) == ended, "the second delivery changed nothing"


def _lost(acks: LostAcks) -> Any:
    async def holds() -> bool:
        return len(acks.lost) == 1

    return holds


@pytest.mark.parametrize("mark", [b"job_assign", b"job_ack", b"job_result", b"job_result_ack"])
async def test_a_connection_cut_in_the_middle_of_a_frame_loses_and_doubles_nothing(
    fleet: LinkedFleet, mark: bytes
) -> None:
    fleet.proxy.break_at(mark)
    jobs = [await fleet.submit() for _ in range(4)]
    for job in jobs:
        assert (await fleet.ended(job)).status == "completed"
    await fleet.idle()


async def test_a_node_that_drains_says_goodbye(fleet: LinkedFleet) -> None:
    job = await fleet.submit("wait")
    await fleet.started()
    fleet.agent.drain()
    await fleet.in_state("draining")
    fleet.probe.gate.set()
    async with asyncio.timeout(30):
        assert await fleet.running is Farewell.DRAINED
    assert (await fleet.ended(job)).status == "completed"
    await fleet.in_state("offline")


async def test_log_levels_that_are_set_reach_the_node_now_and_over_a_new_link(
    fleet: LinkedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both ends are one process here, which has one set of levels.
    heard: list[dict[str, str]] = []

    def note(levels: dict[str, str]) -> None:
        heard.append(levels)

    monkeypatch.setattr(duty, "apply_levels", note)
    debug = {"mediafleet.node.agent": "debug"}
    try:
        assert (await fleet.scheduler.insight.set_log_level("node.agent", "debug")).levels == debug
        await until(_holds(lambda: heard == [debug]))
        fleet.proxy.freeze()
        await fleet.in_state("unlinked", "offline")
        fleet.proxy.thaw()
        await until(_holds(lambda: heard == [debug, debug]))
    finally:
        await fleet.scheduler.insight.set_log_level("node.agent", "default")
    await until(_holds(lambda: heard[-1] == {}))
    # What nobody has changed is not said again.
    await fleet.scheduler.insight.follow_levels()
    assert heard[2:] == [{}]


def _holds(claim: Callable[[], bool]) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def ask() -> bool:
        return claim()

    return ask


async def test_a_link_needs_the_token_of_the_fleet_on_both_ends(kind: str, real_store: Store, tmp_path: Path) -> None:
    async with linked_fleet(kind, real_store, tmp_path, token="a" * 20) as fleet:
        assert (await fleet.ended(await fleet.submit())).status == "completed"


async def test_a_pushed_link_that_is_half_open_is_found_before_its_work_is_lost(
    real_store: Store, tmp_path: Path
) -> None:
    """Nobody closes a connection, and nothing goes through: both ends notice by silence, well within the lease."""
    async with linked_fleet("push", real_store, tmp_path) as fleet:
        job = await fleet.submit("wait")
        await fleet.started()
        fleet.proxy.freeze()
        await fleet.in_state("unlinked")
        fleet.probe.gate.set()
        await until(_held(fleet))
        fleet.proxy.thaw()
        ended = await fleet.ended(job)
        assert (ended.status, ended.tasks[0].attempt) == ("completed", 1), ended.error
        assert fleet.probe.started == ["wait"]
        await fleet.idle()
