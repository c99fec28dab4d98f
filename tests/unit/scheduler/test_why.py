"""Explanations of snapshots, in data and in words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mediafleet.domain.capability import Requirement, Signature
from mediafleet.domain.explanation import (
    Absence,
    AbsentExecutor,
    Ask,
    FleetSnapshot,
    Line,
    PoolMembers,
    TaskSnapshot,
    Verdict,
    Waiting,
)
from mediafleet.domain.health import Cause, Standing, Withheld
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.placement import Policy
from mediafleet.domain.rules import FleetRules, TenantShare
from mediafleet.scheduler.why import SHOWN_EXECUTORS, SHOWN_LACKS, explain
from mediafleet.scheduler.why_words import task_sentence

NOOP = Requirement(("kind:noop",))
ASK = Ask(NOOP)


def pool(
    name: str = "p", *, slots: int = 2, capabilities: tuple[str, ...] = ("kind:noop",), **used: int
) -> PoolMembers:
    """Return a pool whose executors, one a node, use so many slots."""
    return PoolMembers(name, Signature(capabilities, slots), {f"n0-{node}/cpu": count for node, count in used.items()})


def fleet(*pools: PoolMembers, **changes: Any) -> FleetSnapshot:
    return FleetSnapshot(1_000, pools, **changes)


def waiting(**changes: Any) -> TaskSnapshot:
    return TaskSnapshot("j0-a.run", TaskState.NEW, ASK, **changes)


def verdicts(found: Any) -> dict[str, Verdict]:
    return {one.executor: one.verdict for one in found.executors}


def test_what_the_policy_takes_is_named_first_and_all_others_after_it() -> None:
    found = explain(fleet(pool(a=1, b=0, c=2)), ASK)
    assert found.would_take == "n0-b/cpu"
    assert list(verdicts(found).items()) == [
        ("n0-b/cpu", Verdict.TAKEN),
        ("n0-a/cpu", Verdict.CANDIDATE),
        ("n0-c/cpu", Verdict.FULL),
    ]
    assert (found.waits_for, found.starts_ms) == (Waiting.NOTHING, 1_000)
    assert "1 of 1 pool can do it, with 3 executors: 2 with room, 1 full." in found.words
    assert "but n0-b/cpu goes before it" in found.executors[1].reason


@pytest.mark.parametrize(
    ("policy", "taken"),
    [
        (Policy.LEAST_LOADED, "n0-idle/cpu"),
        (Policy.SPREAD, "n0-idle/cpu"),
        (Policy.PACK, "n0-busy/cpu"),
        (Policy.RANDOM, ""),
    ],
)
def test_each_policy_has_its_own_choice(policy: Policy, taken: str) -> None:
    found = explain(fleet(pool(slots=4, idle=0, busy=3)), Ask(NOOP, policy=policy))
    assert found.would_take == taken
    assert any("draws one of those" in sentence for sentence in found.words) == (policy is Policy.RANDOM)
    assert found.waits_for is Waiting.NOTHING


def test_the_pool_that_lacks_least_is_named_first_with_what_it_lacks() -> None:
    ask = Ask(Requirement(("encoder:x", "kind:noop"), 4))
    far, near = pool("far", capabilities=("lang:en",)), pool("near", slots=4, a=0)
    found = explain(fleet(far, near), ask)
    assert [(lack.pool, lack.missing, lack.slots_short) for lack in found.lacking] == [
        ("near", ("encoder:x",), 0),
        ("far", ("encoder:x", "kind:noop"), 2),
    ]
    assert found.waits_for is Waiting.POOL
    assert found.words[0] == "No pool can do it; the nearest, near, lacks encoder:x."
    assert (found.executors, found.starts_ms) == ((), None)


def test_an_empty_fleet_is_said_to_be_empty() -> None:
    assert explain(fleet(), ASK).words[0] == "The fleet has no executors now."
    assert "have left" in explain(fleet(pool()), ASK).words[0]


def test_batch_is_told_that_free_slots_are_kept_for_live_work() -> None:
    reserved = PoolMembers("p", Signature(("kind:noop",), 2, 1), {"n0-a/cpu": 1}, {"n0-a/cpu": 2})
    found = explain(fleet(reserved), ASK)
    assert (verdicts(found), found.waits_for) == ({"n0-a/cpu": Verdict.LIVE_RESERVE}, Waiting.ROOM)
    assert (found.executors[0].used, found.executors[0].slots) == (1, 2)
    assert explain(fleet(reserved), Ask(NOOP, PriorityClass.LIVE)).would_take == "n0-a/cpu"


def test_a_node_where_the_task_failed_is_taken_only_if_no_other_has_room() -> None:
    ask = Ask(NOOP, excluded=frozenset({"n0-a"}))
    found = explain(fleet(pool(a=0, b=1)), ask)
    assert verdicts(found) == {"n0-b/cpu": Verdict.TAKEN, "n0-a/cpu": Verdict.EXCLUDED}
    assert explain(fleet(pool(a=0, b=2)), ask).would_take == "n0-a/cpu"


def test_a_node_that_has_the_input_wins_a_tie() -> None:
    assert explain(fleet(pool(a=0, b=0)), Ask(NOOP, near=frozenset({"n0-b"}))).would_take == "n0-b/cpu"


@pytest.mark.parametrize("absence", [Absence.DRAINING, Absence.UNLINKED, Absence.OFFLINE])
def test_an_executor_that_takes_no_work_is_shown_with_the_reason(absence: Absence) -> None:
    away = AbsentExecutor("n0-b/cpu", Signature(("kind:noop",), 2), absence)
    other = AbsentExecutor("n0-c/cpu", Signature(("lang:en",), 2), absence)
    found = explain(fleet(pool(a=2), absent=(away, other)), ASK)
    assert verdicts(found) == {"n0-a/cpu": Verdict.FULL, "n0-b/cpu": Verdict(absence)}
    assert found.waits_for is Waiting.ROOM
    assert f"1 {'without a link' if absence is Absence.UNLINKED else absence}" in found.words[1]


def test_executors_whose_pools_have_faded_are_not_counted_by_pools() -> None:
    away = AbsentExecutor("n0-b/cpu", Signature(("kind:noop",), 2), Absence.DEGRADED)
    assert explain(fleet(absent=(away,)), ASK).words[:2] == (
        "No executor that can do it takes it now.",
        "Of 1 executor that can do it, none takes work now: 1 short of room on their machines.",
    )


def test_an_executor_is_held_for_one_queue_and_from_all_others() -> None:
    held = AbsentExecutor("n0-a/cpu", Signature(("kind:noop",), 2), Absence.HELD, used=1, held_for="q")
    ask = Ask(Requirement(("kind:noop",), 2), line=Line("q", tenants={"default": 0.0}))
    mine = explain(fleet(pool(), absent=(held,)), ask)
    assert mine.waits_for is Waiting.ROOM
    assert "tasks like this one" in mine.executors[0].reason
    freed = explain(fleet(pool(), absent=(msgspec.structs.replace(held, used=0),)), ask)
    assert (freed.would_take, freed.waits_for) == ("n0-a/cpu", Waiting.NOTHING)
    other = explain(fleet(pool(), absent=(held,)), ASK)
    assert (verdicts(other), other.waits_for) == ({"n0-a/cpu": Verdict.HELD}, Waiting.ROOM)


def test_a_tenant_at_its_cap_waits_whatever_room_there_is() -> None:
    rules = FleetRules(tenants={"default": TenantShare(cap=2)})
    found = explain(fleet(pool(a=0), running={"default": 2}, rules=rules), ASK)
    assert found.waits_for is Waiting.TENANT_CAP
    assert found.words[0] == "Its tenant 'default' uses 2 of the 2 slots that it may use at once."
    wide = explain(fleet(pool(slots=4, a=0), rules=rules), Ask(Requirement(("kind:noop",), 3)))
    assert "it never starts" in wide.words[0]


def test_its_turn_is_counted_among_its_own_and_among_tenants_below_their_caps() -> None:
    line = Line("q", 1, {"default": 5.0, "a": 1.0, "b": 2.0, "c": 9.0})
    rules = FleetRules(tenants={"b": TenantShare(cap=1)})
    found = explain(fleet(pool(a=0), running={"b": 1}, rules=rules), Ask(NOOP, line=line))
    assert found.turn
    assert (found.turn.own, found.turn.tenant, found.waits_for) == (2, 2, Waiting.TURN)
    assert "number 2 of the tasks of its tenant 'default', and the tenant is number 2 in turn" in found.words[-2]
    assert found.words[-1] == "It should start any moment now, with about 1 task before it."


def test_more_urgent_work_for_the_same_pools_goes_first() -> None:
    line = Line("q", 0, {"default": 0.0})
    urgent = ((PriorityClass.LIVE, NOOP), (PriorityClass.LIVE, Requirement(("lang:en",))), (PriorityClass.BATCH, NOOP))
    found = explain(fleet(pool(a=0), waiting=urgent), Ask(NOOP, line=line))
    assert found.turn
    assert (found.turn.urgent_queues, found.waits_for) == (1, Waiting.TURN)


@pytest.mark.parametrize(
    ("task", "waits_for", "words"),
    [
        (waiting(parents=("j0-a.first",)), Waiting.TASK, "It waits for j0-a.first to be done."),
        (waiting(uploads=("a0-x",)), Waiting.UPLOAD, "It waits for the upload of a0-x."),
        (
            waiting(held_until_ms=61_000),
            Waiting.BACK_OFF,
            "It waits until 1970-01-01 00:01:01 UTC before it may begin.",
        ),
        (
            waiting(held_until_ms=61_000, refusals=1, refused="no slot"),
            Waiting.BACK_OFF,
            "It waits until 1970-01-01 00:01:01 UTC before it is tried again. Nodes refused it 1 time in a row, and no try was spent: no slot.",
        ),
        (
            waiting(held_until_ms=61_000, error="It broke."),
            Waiting.BACK_OFF,
            "It waits until 1970-01-01 00:01:01 UTC before it is tried again. It failed before: It broke.",
        ),
    ],
)
def test_what_a_task_waits_for_before_an_executor_is_said_first(
    task: TaskSnapshot, waits_for: Waiting, words: str
) -> None:
    found = explain(fleet(pool(a=0)), ASK, task)
    assert (found.waits_for, found.words[0]) == (waits_for, words)
    assert found.starts_ms == task.held_until_ms


def test_a_large_fleet_is_shown_in_part_and_the_rest_is_counted() -> None:
    many = PoolMembers("p", Signature(("kind:noop",), 1), {f"n0-{i}/cpu": 1 for i in range(SHOWN_EXECUTORS + 7)})
    others = [pool(f"x{i}", capabilities=("lang:en",)) for i in range(SHOWN_LACKS + 3)]
    found = explain(fleet(many, *others), ASK)
    assert (len(found.executors), found.executors_left_out) == (SHOWN_EXECUTORS, 7)
    assert (len(found.lacking), found.lacking_left_out) == (SHOWN_LACKS, 3)
    assert f"with {SHOWN_EXECUTORS + 7} executors: 0 with room, {SHOWN_EXECUTORS + 7} full" in found.words[1]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (TaskState.DONE, "It is done."),
        (TaskState.FAILED, "It failed: It broke."),
        (TaskState.CANCELLED, "It was cancelled."),
        (TaskState.ACKED, "It runs on n0-a/cpu, attempt 2."),
        (TaskState.DISPATCHED, "It was given to n0-a/cpu, which has not confirmed it yet; attempt 2."),
    ],
)
def test_a_task_that_does_not_wait_has_one_sentence(state: TaskState, words: str) -> None:
    task = waiting(executor="n0-a/cpu", attempt=2, error="It broke.")
    assert task_sentence(msgspec.structs.replace(task, state=state)) == words


def test_an_executor_that_does_without_what_the_task_needs_says_what_and_why() -> None:
    lacks = Withheld("kind:noop", Standing.OUT, Cause.FAILURES, 3_600_000)
    other = Withheld("lang:en", Standing.OUT, Cause.MISSING, 1)
    absent = AbsentExecutor(
        "n0-a/cpu", Signature(("kind:noop", "lang:en"), 2), Absence.WITHHELD, withheld=(lacks, other)
    )
    found = explain(fleet(pool(capabilities=()), absent=(absent,)), ASK)
    (executor,) = found.executors
    assert (found.waits_for, executor.verdict) == (Waiting.ROOM, Verdict.WITHHELD)
    assert executor.reason == lacks.sentence
    assert any("1 without what it needs for a while" in sentence for sentence in found.words)


def test_an_executor_that_does_without_something_else_is_looked_at_in_its_pool() -> None:
    other = Withheld("lang:en", Standing.OUT, Cause.MISSING, 1)
    absent = AbsentExecutor("n0-a/cpu", Signature(("kind:noop", "lang:en"), 2), Absence.WITHHELD, withheld=(other,))
    found = explain(fleet(pool(a=0), absent=(absent,)), ASK)
    assert verdicts(found) == {"n0-a/cpu": Verdict.TAKEN}


@pytest.mark.parametrize(
    ("absence", "reason", "words"),
    [
        (Absence.DEGRADED, "Too little of it is free or well: disk 99% in use.", "disk 99% in use"),
        (Absence.DEGRADED, "", "Too little"),
        (Absence.WARMUP, "", "finding out"),
        (Absence.WITHHELD, "", "for a while"),
    ],
)
def test_an_executor_whose_node_is_not_well_says_why(absence: Absence, reason: str, words: str) -> None:
    absent = AbsentExecutor("n0-a/cpu", Signature(("kind:noop",), 2), absence, reason=reason)
    (executor,) = explain(fleet(absent=(absent,)), ASK).executors
    assert executor.verdict == Verdict(absence.value)
    assert words in executor.reason


@pytest.mark.parametrize("policy", list(Policy))
def test_the_policy_is_named_whether_or_not_there_is_room(policy: Policy) -> None:
    for used, word in ((0, "draws" if policy is Policy.RANDOM else "takes it"), (2, "chooses")):
        found = explain(fleet(pool(a=used)), Ask(NOOP, policy=policy))
        assert found.policy is policy
        assert any(f"policy {policy} {word}" in sentence for sentence in found.words)
