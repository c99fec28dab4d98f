"""Waiting tasks reach a node that can run them, in the tick in which that becomes possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_parts import NODE, Parts, assigned, is_asked
from tests_support.store_driver import DEFAULT_QUEUE
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.capability import Requirement, Signature
from mediafleet.domain.frames import JobAssign
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.scheduler.placer import MAX_POOLS, matching_pools
from mediafleet.store import Store
from mediafleet.store.records import PoolShare, QueueSpec


def spec(*capabilities: str, slots: int = 1) -> QueueSpec:
    return QueueSpec(Requirement(capabilities, slots), PriorityClass.BATCH)


def test_a_queue_is_matched_to_the_pools_that_can_run_its_tasks() -> None:
    pools = {
        "small": Signature(("kind:a",), 1),
        "large": Signature(("encoder:x", "kind:a"), 8),
        "other": Signature(("kind:b",), 8),
    }
    assert matching_pools(spec("kind:a"), pools, turn=0) == [PoolShare("small", 1), PoolShare("large", 8)]
    assert matching_pools(spec("kind:a", slots=2), pools, turn=0) == [PoolShare("large", 8)]
    assert matching_pools(spec("kind:a", "encoder:x"), pools, turn=5) == [PoolShare("large", 8)]
    assert matching_pools(spec("kind:none"), pools, turn=0) == []


@given(st.integers(1, 4 * MAX_POOLS), st.integers(0, 1_000))
def test_each_of_many_pools_is_looked_at_before_any_is_looked_at_twice_in_a_call(count: int, turn: int) -> None:
    pools = {f"p{number}": Signature(("kind:a",), 1) for number in range(count)}
    calls = -(-count // MAX_POOLS)
    looks = [matching_pools(spec("kind:a"), pools, turn=turn + call) for call in range(calls)]
    assert all(len(set(look)) == len(look) == min(count, MAX_POOLS) for look in looks)
    if turn == 0:
        assert {share.id for look in looks for share in look} == set(pools)


async def test_a_submitted_task_is_sent_to_a_node_that_has_room(parts: Parts) -> None:
    link = await parts.link()
    job = await parts.driver.submit_one("only")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    (given,) = assigned(link)
    assert (given.task, given.executor, given.attempt, given.job) == (f"{job}.only", "cpu", 1, job)
    assert parts.counted("tasks_placed") == 1


async def test_nothing_is_placed_until_somebody_asks(parts: Parts) -> None:
    assert not is_asked(parts.placer)
    parts.placer.ask([])
    parts.placer.note_capacity()
    assert not is_asked(parts.placer)


async def test_a_queue_that_nobody_knows_is_passed_over(parts: Parts) -> None:
    link = await parts.link()
    await parts.driver.submit_one("only")
    parts.placer.ask(["0123456789abcdef", DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert len(assigned(link)) == 1


async def test_more_tasks_than_one_call_takes_are_placed_in_one_step(store: Store, tmp_path: Path) -> None:
    parts = Parts(store, tmp_path, batch=2)
    link = await parts.link(slots=10)
    await parts.driver.submit_one("a", "b", "c", "d", "e")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert [len(frame.assignments) for frame in link.of_type(JobAssign)] == [2, 2, 1]
    assert parts.counted("tasks_placed") == 5


async def test_no_node_is_given_more_than_its_slots(parts: Parts) -> None:
    link = await parts.link(slots=2)
    await parts.driver.submit_one("a", "b", "c")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert len(assigned(link)) == 2


async def test_a_task_that_waits_is_placed_when_a_node_joins(parts: Parts) -> None:
    await parts.driver.submit_one("only")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    link = await parts.link()
    parts.placer.note_capacity()
    await parts.placer.step()
    assert len(assigned(link)) == 1


async def test_free_slots_wake_nobody_where_no_task_waits(parts: Parts) -> None:
    await parts.link()
    await parts.driver.submit_one("only")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    parts.placer.note_capacity()
    assert not is_asked(parts.placer)


async def test_tasks_that_another_instance_accepted_are_found_by_the_sweep(parts: Parts) -> None:
    link = await parts.link()
    await parts.driver.submit_one("only")
    await parts.placer.sweep()
    await parts.placer.step()
    assert len(assigned(link)) == 1


async def test_a_sweep_that_finds_nothing_wakes_nobody(parts: Parts) -> None:
    await parts.driver.submit_one()
    await parts.placer.sweep()
    assert not is_asked(parts.placer)


async def test_a_pool_that_is_new_is_used_in_the_step_that_notices_it(parts: Parts) -> None:
    await parts.link(slots=1)
    await parts.driver.submit_one("a", "b", "c")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    wider = await parts.link("n0-b-1", slots=2)
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert len(assigned(wider)) == 2


async def test_a_task_for_a_node_without_a_link_goes_elsewhere_and_spends_no_try(
    parts: Parts, virtual_time: VirtualTime
) -> None:
    await parts.driver.join(NODE)
    job = await parts.driver.submit_one("only")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert parts.counted("attempts_lost", reason="not-delivered") == 1
    link = await parts.link("n0-b-1")
    virtual_time.advance(200)
    parts.placer.ask((await parts.driver.reap()).queues)
    await parts.placer.step()
    (summary,) = (await parts.job(job)).tasks
    assert (summary.attempt, summary.tries, len(assigned(link))) == (2, 0, 1)


async def test_a_task_that_could_not_be_delivered_is_not_placed_again_at_once(parts: Parts) -> None:
    await parts.driver.join(NODE)
    job = await parts.driver.submit_one("only")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert await parts.store.read.nonempty_queues([DEFAULT_QUEUE.id]) == []
    assert (await parts.job(job)).tasks[0].state is TaskState.NEW
    assert await parts.driver.used(f"{NODE}/cpu") == 0


async def test_what_was_asked_for_is_asked_for_again_after_a_fault(parts: Parts) -> None:
    link = await parts.link()
    await parts.driver.submit_one("only")
    redis: Any = parts.store.redis
    key = parts.store.keys.queue_tenants(DEFAULT_QUEUE.id)
    await redis.rename(key, f"{key}:aside")
    await redis.set(key, "no sorted set")
    parts.placer.ask([DEFAULT_QUEUE.id])
    with pytest.raises(Exception, match="WRONGTYPE"):
        await parts.placer.step()
    await redis.rename(f"{key}:aside", key)
    await parts.placer.step()
    assert len(assigned(link)) == 1
