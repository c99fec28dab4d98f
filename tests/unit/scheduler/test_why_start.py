"""When a task should start: from what runs, what goes first, and how long such tasks took."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediafleet.domain.capability import Requirement, Signature
from mediafleet.domain.explanation import Ask, FleetSnapshot, Line, PoolMembers, QueuedWork, RunningWork, Waiting
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.rules import FleetRules, TenantShare
from mediafleet.scheduler.why import explain
from mediafleet.scheduler.why_start import STEPS, estimate_start

LIVE, INTERACTIVE, BATCH = PriorityClass.LIVE, PriorityClass.INTERACTIVE, PriorityClass.BATCH
NOOP = Requirement(("kind:noop",))
NOW = 1_000_000
MEANS = {"noop": 10_000.0}


def running(executor: str = "n0-a/cpu", *, slots: int = 1, took_ms: int | None = 0, **changes: Any) -> RunningWork:
    given: dict[str, Any] = {"priority": BATCH, "kind": "noop"} | changes
    return RunningWork(executor, slots, since_ms=None if took_ms is None else NOW - took_ms, **given)


def fleet_of(*work: RunningWork, slots: int = 1, reserve: int = 0, **changes: Any) -> FleetSnapshot:
    """Return a fleet of the executors that this work runs on, and of `n0-a/cpu`."""
    used = dict.fromkeys(["n0-a/cpu", *(one.executor for one in work)], 0)
    for one in work:
        used[one.executor] += one.slots
    pool = PoolMembers("p", Signature(("kind:noop", "kind:other"), slots, reserve), used)
    given: dict[str, Any] = {"means_ms": MEANS} | changes
    return FleetSnapshot(NOW, (pool,), running_work=work, **given)


def line(before: int = 0, **tenants: float) -> Line:
    return Line("b-1", before, {"default": 5.0, **tenants})


def wait_ms(fleet: FleetSnapshot, **ask: Any) -> int | None:
    """Return how long a task waits until it starts."""
    given: dict[str, Any] = {"requirement": NOOP, "line": line()} | ask
    estimate = estimate_start(fleet, Ask(**given), fleet.pools)
    return None if estimate.starts_ms is None else estimate.starts_ms - NOW


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        pytest.param(running(took_ms=4_000), 6_000, id="what is left of the average"),
        pytest.param(running(took_ms=90_000), 0, id="it takes longer than usual: any moment"),
        pytest.param(running(took_ms=None), 10_000, id="not begun"),
        pytest.param(running(took_ms=3_000, fraction=0.75), 1_000, id="at the pace of its progress"),
        pytest.param(running(took_ms=3_000, fraction=0.75, eta_ms=70), 70, id="as it says itself"),
        pytest.param(running(took_ms=3_000, fraction=0.001), 7_000, id="hardly any progress says nothing"),
        pytest.param(running(kind="other", took_ms=3_000, fraction=0.5), 3_000, id="progress needs no average"),
    ],
)
def test_a_slot_is_free_when_what_runs_in_it_ends(work: RunningWork, expected: int) -> None:
    assert wait_ms(fleet_of(work)) == expected


def test_tasks_before_it_take_the_places_that_are_free_first() -> None:
    fleet = fleet_of(running(took_ms=4_000), running("n0-b/cpu", took_ms=1_000))
    assert [wait_ms(fleet, line=line(before)) for before in range(4)] == [6_000, 9_000, 16_000, 19_000]


def test_nothing_is_made_up_of_kinds_that_nobody_knows() -> None:
    fleet = fleet_of(running(kind="other"))
    estimate = estimate_start(fleet, Ask(NOOP, line=line()), fleet.pools)
    assert (estimate.starts_ms, estimate.reason) == (None, "no task of the kind other has ended lately")
    words = explain(fleet, Ask(NOOP, line=line())).words[-1]
    assert words == "When it starts cannot be said, with none before it: no task of the kind other has ended lately."
    assert wait_ms(fleet_of(running(kind="other"), running("n0-b/cpu"))) == 10_000, "another is free at a known time"


def test_work_that_was_given_up_and_has_not_stopped_ends_at_no_known_time() -> None:
    fleet = fleet_of(running(kind="", took_ms=None))
    estimate = estimate_start(fleet, Ask(NOOP, line=line()), fleet.pools)
    assert (estimate.starts_ms, estimate.reason) == (None, "what runs there is not known")


def test_where_no_executor_takes_work_that_is_the_reason() -> None:
    assert estimate_start(fleet_of(), Ask(NOOP), ()).reason == "no executor that can do it takes work now"


def test_only_executors_that_were_looked_at_count_and_stand_for_the_others() -> None:
    seen = fleet_of(running(), running("n0-b/cpu"))
    fleet = msgspec.structs.replace(seen, running_work=seen.running_work[:1])
    assert wait_ms(fleet, line=line(4)) == wait_ms(fleet_of(running()), line=line(2))
    unseen = msgspec.structs.replace(seen, running_work=())
    assert estimate_start(unseen, Ask(NOOP), unseen.pools).reason == "what runs there is not known"


def test_more_urgent_work_goes_first_and_less_urgent_work_does_not() -> None:
    queued = tuple(QueuedWork(f"{one[0]}-1", one, NOOP, {"a": 2}) for one in PriorityClass)
    fleet = fleet_of(running(), queued=queued)
    waits = [wait_ms(fleet, priority=one, line=Line(f"{one[0]}-1", 0, {"default": 1.0})) for one in PriorityClass]
    # Of its own class one task of the other tenant goes first.
    assert waits == [20_000, 40_000, 60_000]


@pytest.mark.parametrize(("its_time", "its_weight", "first"), [(1.0, 1, 3), (9.0, 1, 2), (9.0, 3, 6), (1.0, 100, 50)])
def test_other_tenants_go_first_as_their_shares_allow(its_time: float, its_weight: int, first: int) -> None:
    queued = (QueuedWork("b-1", BATCH, NOOP, {"default": 3, "a": 50}),)
    rules = FleetRules(tenants={"a": TenantShare(weight=its_weight)})
    fleet = fleet_of(running(), queued=queued, rules=rules)
    estimate = estimate_start(fleet, Ask(NOOP, line=line(2, a=its_time)), fleet.pools)
    assert estimate.ahead == 2 + first


def test_what_waits_in_several_queues_has_one_share_of_its_tenant() -> None:
    queued = tuple(QueuedWork(f"b-{number}", BATCH, NOOP, {"a": 50}) for number in range(1, 4))
    fleet = fleet_of(running(), queued=queued)
    assert estimate_start(fleet, Ask(NOOP, line=line(4)), fleet.pools).ahead == 4 + 5


def test_a_simulated_task_comes_after_all_of_its_tenant() -> None:
    queued = (QueuedWork("b-1", BATCH, NOOP, {"default": 3}),)
    found = explain(fleet_of(running(), queued=queued), Ask(NOOP))
    assert (found.waits_for, found.starts_ms) == (Waiting.ROOM, NOW + 40_000)
    assert found.words[-1] == (
        "It should start at about 00:17:20 UTC, in 40 seconds, with about 3 tasks before it, "
        "if tasks take as long as they did lately."
    )


def test_a_task_of_several_slots_waits_for_as_many_on_one_executor() -> None:
    work = (running(took_ms=1_000), running(took_ms=2_000), running("n0-b/cpu", slots=2, took_ms=3_000))
    assert wait_ms(fleet_of(*work, slots=2), requirement=Requirement(("kind:noop",), 2)) == 7_000
    assert wait_ms(fleet_of(*work[:2], slots=2), requirement=Requirement(("kind:noop",), 2)) == 9_000
    too_wide = estimate_start(fleet_of(*work, slots=2), Ask(Requirement(("kind:noop",), 3)), ())
    assert too_wide.starts_ms is None


def test_slots_that_are_kept_for_live_work_are_not_counted_for_batch() -> None:
    live = fleet_of(running(priority=LIVE, took_ms=9_000), running(took_ms=1_000), slots=3, reserve=1)
    assert wait_ms(live) == 0, "the live task is in the slot that is kept"
    kept = fleet_of(running(took_ms=1_000), running(took_ms=5_000), slots=3, reserve=1)
    assert (wait_ms(kept), wait_ms(kept, priority=LIVE, line=None)) == (5_000, 0)


def test_very_many_tasks_are_laid_out_without_counting_them_one_by_one() -> None:
    fleet = fleet_of(running(), running("n0-b/cpu"))
    found = wait_ms(fleet, line=line(STEPS * 1_000))
    assert found is not None
    assert found == pytest.approx(STEPS * 1_000 * 10_000 / 2, rel=0.01)


_classes = st.sampled_from(list(PriorityClass))
_works = st.builds(
    running,
    st.sampled_from(["n0-a/cpu", "n0-b/cpu", "n0-c/cpu"]),
    slots=st.integers(1, 2),
    took_ms=st.none() | st.integers(-5_000, 60_000),
    priority=_classes,
    kind=st.sampled_from(["noop", "other", ""]),
    fraction=st.floats(0, 1),
    eta_ms=st.none() | st.integers(-100, 60_000),
)
_queued = st.builds(
    QueuedWork,
    st.sampled_from(["b-1", "b-2", "l-1"]),
    _classes,
    st.builds(Requirement, st.sampled_from([("kind:noop",), ("kind:other",)]), st.integers(1, 3)),
    st.dictionaries(st.sampled_from(["default", "a", "b"]), st.integers(0, 40)),
)


def weighing(weight: int) -> FleetRules:
    return FleetRules(tenants={"a": TenantShare(weight=weight)})


@st.composite
def fleets(draw: st.DrawFn) -> FleetSnapshot:
    """Return a fleet of up to three executors with any work on them, and anything that waits."""
    return fleet_of(
        *draw(st.lists(_works, max_size=6)),
        slots=draw(st.integers(2, 6)),
        reserve=draw(st.integers(0, 2)),
        queued=tuple(draw(st.lists(_queued, max_size=4))),
        means_ms=draw(st.dictionaries(st.sampled_from(["noop", "other"]), st.floats(0, 60_000))),
        rules=weighing(draw(st.integers(1, 5))),
    )


_asks = st.builds(
    Ask,
    st.builds(Requirement, st.just(("kind:noop",)), st.integers(1, 3)),
    _classes,
    line=st.none() | st.builds(line, st.integers(0, 60), a=st.floats(0, 10)),
)


def or_never(wait: int | None) -> float:
    return float("inf") if wait is None else wait


@settings(max_examples=300, deadline=None)
@given(fleet=fleets(), ask=_asks)
def test_no_start_is_in_the_past(fleet: FleetSnapshot, ask: Ask) -> None:
    estimate = estimate_start(fleet, ask, fleet.pools)
    assert estimate.ahead >= 0
    assert estimate.starts_ms is None or estimate.starts_ms >= NOW
    assert bool(estimate.reason) is (estimate.starts_ms is None)


@settings(max_examples=300, deadline=None)
@given(fleet=fleets(), ask=_asks)
def test_no_start_is_earlier_for_more_tasks_before_it(fleet: FleetSnapshot, ask: Ask) -> None:
    def start(before: int) -> float:
        there = Line("b-1", before, ask.line.tenants if ask.line else {"default": 1.0})
        return or_never(estimate_start(fleet, msgspec.structs.replace(ask, line=there), fleet.pools).starts_ms)

    starts = [start(before) for before in (0, 1, 2, 5, 30, 999, 1_000, 1_001, 1_002, 5_000)]
    assert all(one <= other for one, other in itertools.pairwise(starts))


@settings(max_examples=300, deadline=None)
@given(fleet=fleets(), ask=_asks, more=_queued)
def test_no_start_is_earlier_where_more_waits(fleet: FleetSnapshot, ask: Ask, more: QueuedWork) -> None:
    crowded = msgspec.structs.replace(fleet, queued=(*fleet.queued, more))
    assert or_never(estimate_start(crowded, ask, fleet.pools).starts_ms) >= or_never(
        estimate_start(fleet, ask, fleet.pools).starts_ms
    )
