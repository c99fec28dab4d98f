"""Waiting tasks reach a node that can run them, in the tick in which that becomes possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recording_link import RecordingLink
from scheduler_parts import NODE, Parts, assigned, is_asked, refs
from tests_support.store_driver import DEFAULT_QUEUE, RESERVE_MS, spec
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.errors import StoreUnavailable
from mediafleet.domain.frames import JobAssign
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.scheduler import placer
from mediafleet.scheduler.placer import MAX_QUEUES, Placer
from mediafleet.store import Store
from mediafleet.store.records import Finished, Freed, Placed, PlaceRequest, PlaceRules, ResultRecord


async def pool(parts: Parts) -> str:
    """Return the name of the only pool."""
    ((name, _),) = (await parts.store.read.pool_set())[1].items()
    return name


async def waiting_version(parts: Parts) -> int:
    return (await parts.store.read.waiting_queues())[0]


async def finish(parts: Parts, link: RecordingLink) -> Finished:
    """Deliver a result of all that a node was given."""
    return await parts.store.finish([ResultRecord(ref.task, ref.grant, "{}", []) for ref in refs(link)])


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
    parts.placer.note_freed(Freed(["p"], parts.placer._waiting_version))
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
    # Three calls, and one frame for what they placed.
    assert [len(frame.assignments) for frame in link.of_type(JobAssign)] == [5]
    assert parts.counted("tasks_placed") == 5


async def test_what_is_placed_does_not_wait_for_many_calls(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placer, "MOST_GATHERED", 3)
    parts = Parts(store, tmp_path, batch=2)
    link = await parts.link(slots=10)
    await parts.driver.submit_one("a", "b", "c", "d", "e")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert [len(frame.assignments) for frame in link.of_type(JobAssign)] == [4, 1]


async def test_what_was_placed_is_sent_even_if_the_store_goes_away_in_the_same_turn(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(store, tmp_path, batch=2)
    link = await parts.link(slots=10)
    await parts.driver.submit_one("a", "b", "c")
    place = Store.place
    calls: list[PlaceRequest] = []

    async def break_off(self: Store, request: PlaceRequest, rules: PlaceRules) -> Placed:
        calls.append(request)
        # The first learns what pools there are, the second places.
        if len(calls) == 3:
            raise StoreUnavailable("Away.")
        return await place(self, request, rules)

    monkeypatch.setattr(Store, "place", break_off)
    parts.placer.ask([DEFAULT_QUEUE.id])
    with pytest.raises(StoreUnavailable):
        await parts.placer.step()
    assert len(assigned(link)) == 2
    assert is_asked(parts.placer)


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
    parts.placer.note_executors()
    await parts.placer.step()
    assert len(assigned(link)) == 1


async def test_free_slots_wake_nobody_where_no_task_waits(parts: Parts) -> None:
    link = await parts.link()
    await parts.driver.submit_one("only")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    parts.placer.note_freed((await finish(parts, link)).freed)
    await parts.placer.step()
    parts.placer.note_freed(Freed([await pool(parts)], await waiting_version(parts)))
    assert not is_asked(parts.placer)


async def test_free_slots_wake_those_queues_that_can_use_them(parts: Parts) -> None:
    other = spec("kind:other")
    await parts.link()
    await parts.driver.submit_one("a", "b")
    await parts.driver.submit_one("c", spec=other)
    await parts.placer.sweep()
    await parts.placer.step()
    version = await waiting_version(parts)
    parts.placer.note_freed(Freed(["no such pool"], version))
    assert not is_asked(parts.placer)
    parts.placer.note_freed(Freed([await pool(parts)], version))
    assert parts.placer._asked == {DEFAULT_QUEUE.id}


async def test_slots_that_became_free_here_go_to_a_task_that_another_instance_accepted(parts: Parts) -> None:
    link = await parts.link()
    await parts.driver.submit_one("only")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    job = await parts.driver.submit_one("elsewhere")
    parts.placer.note_freed((await finish(parts, link)).freed)
    await parts.placer.step()
    assert [given.job for given in assigned(link)][1:] == [job]


async def test_a_change_that_was_noticed_is_not_forgotten_over_an_older_word(parts: Parts) -> None:
    """Replies of two scripts may be taken in another order than they were written."""
    link = await parts.link()
    await parts.placer.sweep()
    before = await waiting_version(parts)
    await parts.driver.submit_one("only")
    parts.placer.note_freed(Freed([], await waiting_version(parts)))
    parts.placer.note_freed(Freed([], before))
    await parts.placer.step()
    assert len(assigned(link)) == 1


async def test_live_work_goes_before_interactive_and_that_before_batch(parts: Parts) -> None:
    queues = [spec(priority=priority) for priority in reversed(PriorityClass)]
    jobs = [await parts.driver.submit_one("only", spec=queue) for queue in queues]
    link = await parts.link(slots=2)
    parts.placer.ask([queue.id for queue in queues])
    await parts.placer.step()
    assert [given.job for given in assigned(link)] == jobs[:0:-1]


async def test_more_queues_than_one_call_takes_are_placed_in_one_step(parts: Parts) -> None:
    words = [f"label:w{number}" for number in range(MAX_QUEUES + 1)]
    queues = [spec("kind:noop", word) for word in words]
    link = await parts.link(slots=MAX_QUEUES + 1, capabilities=("kind:noop", *words))
    for queue in queues:
        await parts.driver.submit_one("only", spec=queue)
    parts.placer.ask([queue.id for queue in queues])
    await parts.placer.step()
    assert len(assigned(link)) == MAX_QUEUES + 1


async def test_what_is_placed_on_a_node_of_another_instance_is_counted_and_not_sent_here(parts: Parts) -> None:
    await parts.driver.join(NODE)
    await parts.driver.submit_one("only")
    elsewhere = Placer(parts.store, parts.links, parts.metrics, batch=64, rules=PlaceRules("i-2", RESERVE_MS))
    elsewhere.ask([DEFAULT_QUEUE.id])
    await elsewhere.step()
    assert parts.counted("tasks_placed") == 1
    assert parts.counted("attempts_lost", reason="not-delivered") == 0
    assert await parts.driver.used(f"{NODE}/cpu") == 1


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
    assert (await parts.store.read.waiting_queues())[1] == []
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


# --- what is counted -----------------------------------------------------------------------


def labelled(parts: Parts, name: str, **labels: str) -> float:
    return parts.metrics.registry.get_sample_value(f"mediafleet_{name}", labels) or 0.0


async def test_a_queue_that_no_pool_can_serve_is_told_from_one_whose_pools_are_full(parts: Parts) -> None:
    await parts.link(slots=1)
    await parts.driver.submit_one("a", "b")
    await parts.driver.submit_one("c", spec=spec("kind:other"))
    parts.placer.ask([DEFAULT_QUEUE.id, spec("kind:other").id])
    await parts.placer.step()
    assert labelled(parts, "placing_blocked_total", reason="no-room") == 1
    assert labelled(parts, "placing_blocked_total", reason="pool-empty") == 1


async def test_pools_that_changed_under_a_call_are_a_conflict_but_for_the_first_look(parts: Parts) -> None:
    await parts.link(slots=1)
    await parts.driver.submit_one("a")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert labelled(parts, "reserve_conflicts_total", reason="pools-changed") == 0
    await parts.link("n0-b-1", slots=3)
    await parts.driver.submit_one("b")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert labelled(parts, "reserve_conflicts_total", reason="pools-changed") == 1
    assert parts.counted("tasks_placed") == 2


async def test_dispatch_is_measured_once_a_batch_and_only_where_something_was_placed(parts: Parts) -> None:
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert labelled(parts, "dispatch_latency_seconds_count") == 0
    await parts.link(slots=3)
    await parts.driver.submit_one("a", "b", "c")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.step()
    assert labelled(parts, "dispatch_latency_seconds_count") == 1
    assert labelled(parts, "section_seconds_count", section="place") >= 1
    assert labelled(parts, "lock_wait_seconds_count", section="place") == 2


async def test_what_only_the_backstop_found_is_counted_and_what_was_told_of_is_not(parts: Parts) -> None:
    await parts.link(slots=4)
    await parts.driver.submit_one("told")
    parts.placer.ask([DEFAULT_QUEUE.id])
    await parts.placer.sweep()
    await parts.placer.step()
    assert parts.counted("backstop_placements") == 0
    while is_asked(parts.placer):
        await parts.placer.step()
    await parts.driver.submit_one("forgotten")
    await parts.placer.sweep()
    await parts.placer.step()
    assert (parts.counted("backstop_placements"), parts.counted("tasks_placed")) == (1, 2)
