"""How fast work of a sort goes: written with results, faded, never many, and gone after a while."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests_support.store_driver import StoreDriver

from mediafleet.domain.pace import Did, Paces
from mediafleet.store import Store, records
from mediafleet.store.paces import read_paces

NODE = "n0-a-1"


async def finish(driver: StoreDriver, did: Did | None, *, node: str = NODE) -> records.PlacedTask:
    """Let one task be done by a node that did so much."""
    if node not in driver.epochs:
        await driver.join(node)
    await driver.submit_one("a")
    (placed,) = await driver.place_all(1)
    await driver.ack(placed)
    reply = await driver.store.finish([records.ResultRecord(placed.task, placed.grant, "{}", [], did)])
    assert reply.verdicts == ["accepted"]
    return placed


async def paces_of(store: Store) -> Paces:
    return await read_paces(store.redis, store.keys, [("p", NODE), ("q", NODE), ("p", "n0-b-1")])


async def test_a_result_tells_how_fast_its_node_is(store: Store) -> None:
    driver = StoreDriver(store)
    await finish(driver, Did("p", 4.0, 1_000))
    paces = await paces_of(store)
    assert paces.on_node("p", 8, NODE) == 2_000
    assert paces.on_node("p", 8, "n0-b-1") == 2_000, "nothing is known of the other node but what all did"
    assert paces.on_node("q", 8, NODE) is None


async def test_what_is_older_counts_less(store: Store) -> None:
    driver = StoreDriver(store)
    await finish(driver, Did("p", 1.0, 1_000))
    for _ in range(20):
        await finish(driver, Did("p", 1.0, 3_000))
    assert (await paces_of(store)).on_node("p", 1, NODE) == pytest.approx(3_000, rel=0.02)


async def test_a_result_that_comes_twice_counts_once(store: Store) -> None:
    driver = StoreDriver(store)
    placed = await finish(driver, Did("p", 1.0, 1_000))
    again = records.ResultRecord(placed.task, placed.grant, "{}", [], Did("p", 1.0, 9_000))
    assert (await store.finish([again])).verdicts == ["duplicate"]
    assert (await paces_of(store)).on_node("p", 1, NODE) == 1_000


async def test_work_without_a_pace_leaves_nothing(store: Store) -> None:
    await finish(StoreDriver(store), None)
    assert not await store.redis.exists(store.keys.paces)


async def test_a_task_that_took_no_time_does_not_make_a_node_infinitely_fast(store: Store) -> None:
    await finish(StoreDriver(store), Did("p", 1.0, 0))
    assert (await paces_of(store)).on_node("p", 1, NODE) == 1


async def test_there_are_never_many_and_an_old_one_makes_room(store: Store) -> None:
    redis = cast("Any", store.redis)
    await redis.hset(store.keys.paces, mapping={f"old:{n}|": "1|1|1|1" for n in range(4_000)})
    await finish(StoreDriver(store), Did("p", 1.0, 1_000))
    assert await redis.hlen(store.keys.paces) == 4_000
    assert (await paces_of(store)).on_node("p", 1, NODE) == 1_000
    assert 0 < await redis.pttl(store.keys.paces) <= 30 * 24 * 3600 * 1000
