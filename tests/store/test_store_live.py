"""Live work of a node whose link closed: it waits a moment for its node, and no lease."""

from __future__ import annotations

import msgspec
import pytest
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.store_driver import LEASE_MS, RETENTION_MS, RULES, spec

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.ids import new_token
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.node import NodeState
from mediafleet.store import records

NODE, OTHER = "n0-a-1", "n0-b-2"
GRACE_MS = TICK_MS


async def run_one(clockwork: Clockwork, priority: PriorityClass) -> tuple[str, records.PlacedTask]:
    """Put one task to work on the only node that has room."""
    job = await clockwork.driver.submit_one("noop", spec=spec(priority=priority))
    (placed,) = (await clockwork.driver.place_waiting()).assignments
    await clockwork.driver.ack(placed)
    return job, placed


async def close_link(clockwork: Clockwork, node: str = NODE) -> None:
    done = await clockwork.store.unlink(
        node,
        clockwork.driver.epochs[node],
        goodbye=False,
        retention_ms=RETENTION_MS,
        live_grace_ms=GRACE_MS,
    )
    assert done.current


@pytest.fixture
async def linked(clockwork: Clockwork) -> Clockwork:
    """One node with two slots."""
    await clockwork.driver.join(NODE, slots=2)
    # The gap before the first tick counts as an outage, after which no lease ends.
    await clockwork.pass_ms(LEASE_MS + 2 * TICK_MS)
    await clockwork.driver.join(NODE, slots=2)
    return clockwork


async def test_live_work_goes_elsewhere_after_a_moment_and_other_work_waits_for_the_lease(linked: Clockwork) -> None:
    live, first = await run_one(linked, PriorityClass.LIVE)
    others = [(await run_one(linked, PriorityClass.BATCH))[0]]
    await close_link(linked)
    ticks = await linked.pass_ms(GRACE_MS)
    assert [tick.expired for tick in ticks] == [{"live": 1}]
    assert await linked.state(live) == (TaskState.NEW, 1, 0)
    assert [(await linked.state(job))[0] for job in others] == [TaskState.ACKED]
    await linked.driver.join(OTHER)
    (second,) = (await linked.driver.place_waiting()).assignments
    assert (second.task, second.executor, second.attempt) == (first.task, f"{OTHER}/cpu", 2)
    view = await linked.store.read.node(NODE)
    assert view is not None
    assert view.state is NodeState.UNLINKED


@pytest.mark.parametrize("priority", [PriorityClass.INTERACTIVE, PriorityClass.BATCH])
async def test_work_that_is_not_live_is_its_nodes_until_the_lease_ends(
    linked: Clockwork, priority: PriorityClass
) -> None:
    job, _ = await run_one(linked, priority)
    await close_link(linked)
    await linked.pass_ms(LEASE_MS - 2 * TICK_MS)
    assert await linked.state(job) == (TaskState.ACKED, 1, 0)
    await linked.pass_ms(4 * TICK_MS)
    assert (await linked.state(job))[0] is TaskState.NEW


async def test_a_node_that_is_back_in_a_moment_keeps_its_live_work(linked: Clockwork) -> None:
    job, placed = await run_one(linked, PriorityClass.LIVE)
    await close_link(linked)
    attempt = AttemptRef(placed.task, placed.grant)
    assert (await linked.driver.join(NODE, slots=2, announced=(attempt,))).keep == (attempt,)
    assert not any(tick.expired for tick in await linked.pass_ms(GRACE_MS + TICK_MS))
    assert await linked.state(job) == (TaskState.ACKED, 1, 0)


async def test_a_node_that_comes_later_keeps_what_nobody_else_took(linked: Clockwork) -> None:
    job, placed = await run_one(linked, PriorityClass.LIVE)
    await close_link(linked)
    await linked.pass_ms(GRACE_MS)
    attempt = AttemptRef(placed.task, placed.grant)
    assert (await linked.driver.join(NODE, slots=2, announced=(attempt,))).keep == (attempt,)
    assert await linked.state(job) == (TaskState.ACKED, 1, 0)
    assert await linked.driver.used(f"{NODE}/cpu") == 1
    # It was no kill after all: another such loss is the first.
    await close_link(linked)
    await linked.pass_ms(GRACE_MS)
    assert (await linked.state(job))[0] is TaskState.NEW


async def test_the_first_result_counts_whoever_has_it(linked: Clockwork) -> None:
    job, first = await run_one(linked, PriorityClass.LIVE)
    await close_link(linked)
    await linked.pass_ms(GRACE_MS)
    await linked.driver.join(OTHER)
    (second,) = (await linked.driver.place_waiting()).assignments
    await linked.driver.ack(second)
    assert await linked.driver.finish(first) == ["accepted"]
    view = await linked.store.read.job(job)
    assert view is not None
    assert view.status is JobStatus.COMPLETED


async def lose_twice(clockwork: Clockwork) -> tuple[str, records.PlacedTask, records.PlacedTask]:
    """Start live work, and again elsewhere when its link has closed, and close that link too."""
    job, first = await run_one(clockwork, PriorityClass.LIVE)
    await close_link(clockwork)
    await clockwork.pass_ms(GRACE_MS)
    await clockwork.driver.join(OTHER)
    (second,) = (await clockwork.driver.place_waiting()).assignments
    await clockwork.driver.ack(second)
    await close_link(clockwork, OTHER)
    await clockwork.pass_ms(GRACE_MS)
    return job, first, second


async def error_of(clockwork: Clockwork, job: str) -> str:
    view = await clockwork.store.read.job(job)
    assert view is not None
    return view.error.code if view.error else ""


async def test_live_work_that_may_have_ended_two_nodes_gets_no_third_before_that_is_known(linked: Clockwork) -> None:
    job, *_ = await lose_twice(linked)
    await linked.driver.join("n0-c-3")
    assert await linked.state(job) == (TaskState.ACKED, 2, 0)
    await linked.pass_ms(LEASE_MS + TICK_MS)
    assert (await linked.state(job))[0] is TaskState.FAILED
    assert await error_of(linked, job) == "poison"
    ((letter,), _) = await linked.store.read.dead_letters(offset=0, limit=5)
    assert [(end.node, end.how) for end in letter.ends] == [(NODE, "unlinked"), (OTHER, "lease-ended")]


async def test_links_that_only_closed_are_no_deaths(linked: Clockwork) -> None:
    job, first, second = await lose_twice(linked)
    # Both come back before their leases end: one has forgotten the work, the other goes on with it.
    await linked.driver.join(NODE, slots=2)
    attempt = AttemptRef(second.task, second.grant)
    assert (await linked.driver.join(OTHER, announced=(attempt,))).keep == (attempt,)
    assert await linked.store.redis.exists(linked.store.keys.node_unsure(NODE)) == 0
    # So the next closed link is the first one, and the work moves at once.
    await close_link(linked, OTHER)
    await linked.pass_ms(GRACE_MS)
    assert await linked.state(job) == (TaskState.NEW, 2, 0)
    assert await linked.driver.finish(first) == ["accepted"]


async def test_a_node_that_had_died_when_its_link_closed_counts(linked: Clockwork) -> None:
    job, *_ = await lose_twice(linked)
    for node in (NODE, OTHER):
        assert await error_of(linked, job) == ""
        linked.driver.incarnations[node] = new_token()
        await linked.driver.join(node)
    assert await error_of(linked, job) == "poison"


async def test_work_that_waits_ends_when_a_doubt_is_settled(linked: Clockwork) -> None:
    job, *_ = await lose_twice(linked)
    linked.driver.incarnations[OTHER] = new_token()
    await linked.driver.join(OTHER, warming=True)
    assert (await linked.state(job))[0] is TaskState.NEW, "one is known to have died, of the other nobody knows"
    linked.driver.incarnations[NODE] = new_token()
    await linked.driver.join(NODE)
    assert (await linked.state(job))[0] is TaskState.FAILED


async def test_a_doubt_about_a_job_that_is_gone_brings_nothing_back(linked: Clockwork) -> None:
    job, *_ = await lose_twice(linked)
    await linked.store.cancel(job, cursor=0, sweep=False)
    await linked.store.forget(job, inputs=[])
    before = await linked.driver.key_names()
    linked.driver.incarnations[NODE] = new_token()
    await linked.driver.join(NODE)
    assert {name for name in await linked.driver.key_names() - before if ":task:" in name or ":job:" in name} == set()


async def test_without_a_limit_live_work_goes_on_elsewhere_each_time(linked: Clockwork) -> None:
    rules = msgspec.structs.replace(RULES, max_kills=0)
    job, _ = await run_one(linked, PriorityClass.LIVE)
    for node in (NODE, OTHER, NODE):
        await close_link(linked, node)
        linked.time.advance(GRACE_MS)
        await linked.store.reap(rules)
        assert (await linked.state(job))[0] is TaskState.NEW
        other = OTHER if node == NODE else NODE
        await linked.driver.join(other)
        await linked.driver.ack(*(await linked.driver.place_waiting()).assignments)


async def test_time_in_which_nobody_could_come_back_does_not_count(linked: Clockwork) -> None:
    job, _ = await run_one(linked, PriorityClass.LIVE)
    await close_link(linked)
    # The store, or all instances, stood still.
    linked.time.advance(RULES.gap_ms + GRACE_MS)
    assert not (await linked.driver.reap()).expired
    assert await linked.state(job) == (TaskState.ACKED, 1, 0)


async def test_a_node_without_live_work_loses_nothing_and_counts_nothing(linked: Clockwork) -> None:
    await close_link(linked)
    assert not any(tick.expired for tick in await linked.pass_ms(GRACE_MS + TICK_MS))
    assert await linked.store.redis.zscore(linked.store.keys.due, f"live|{NODE}") is None
