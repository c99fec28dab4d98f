"""What a node does with its attempts: stimulus in, instructions out."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.frames import (
    Assignment,
    AttemptRef,
    Drain,
    Heartbeat,
    JobAck,
    JobAssign,
    JobCancel,
    JobReject,
    JobResultAck,
    JobResults,
    Outcome,
    Ping,
    Registered,
    encode_frame,
)
from mediafleet.domain.insight import KindTally
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult, TaskSpec
from mediafleet.node.state import AttemptTable, Forget, Keep, Send, Start, Stop, pack_outcomes

SPEC = TaskSpec("probe", 1, "echo", "a", "default")
DONE = TaskResult(result={"n": 1})
HALF = Fraction(1, 2)
"""Of a node's two slots."""


def table(slots: int = 2, missing: str = "") -> AttemptTable:
    return AttemptTable([Executor("cpu", slots, ("kind:probe",))], find_missing=lambda _: missing)


def ref(grant: str) -> AttemptRef:
    return AttemptRef(f"t-{grant}", grant)


def work(grant: str, *, cost: int = 1, executor: str = "cpu", spec: bytes | None = None) -> Assignment:
    raw = msgspec.Raw(spec if spec is not None else msgspec.json.encode(SPEC))
    return Assignment(f"t-{grant}", grant, 1, executor, cost, "j0-x", raw)


def assign(node: AttemptTable, *assignments: Assignment) -> list[Any]:
    return node.handle(JobAssign(assignments), now_s=0)


def linked(node: AttemptTable, *, drop: tuple[AttemptRef, ...] = (), now_s: float = 0) -> list[Any]:
    return node.handle(Registered("n0-a", 5_000, 15_000, drop=drop), now_s=now_s)


def reject(grant: str, reason: str, missing: str = "") -> Send:
    return Send(JobReject(f"t-{grant}", grant, reason, missing))


def results(*outcomes: Outcome) -> Send:
    return Send(JobResults(outcomes))


def result(grant: str) -> Outcome:
    return Outcome(f"t-{grant}", grant, result=DONE)


def cancelled(grant: str) -> Outcome:
    return Outcome(f"t-{grant}", grant, cancelled=True)


# --- assignments ---------------------------------------------------------------------------


def test_acknowledges_all_of_a_frame_before_it_starts_any() -> None:
    first, second = work("a"), work("b")
    assert assign(table(), first, second) == [
        Send(JobAck((ref("a"), ref("b")))),
        Start(first, SPEC, HALF),
        Start(second, SPEC, HALF),
    ]


def test_an_attempt_gets_the_share_of_the_slots_that_it_costs() -> None:
    assert Start(work("a", cost=3), SPEC, Fraction(3, 4)) in assign(table(slots=4), work("a", cost=3))


def test_refuses_beyond_the_slots_of_the_executor() -> None:
    node = table(slots=3)
    assign(node, work("a", cost=2))
    assert assign(node, work("b", cost=2)) == [reject("b", "no slot")]
    assert assign(node, work("c", cost=1))[0] == Send(JobAck((ref("c"),)))
    assert node.free_slots("cpu") == 0


def test_a_cost_below_one_still_takes_a_slot() -> None:
    node = table(slots=1)
    assign(node, work("a", cost=0))
    assert node.free_slots("cpu") == 0


def test_refuses_an_executor_that_it_does_not_have() -> None:
    assert assign(table(), work("a", executor="gpu0")) == [reject("a", "no executor 'gpu0'")]


def test_refuses_what_it_lacks_by_name() -> None:
    assert assign(table(missing="kind:dance"), work("a")) == [reject("a", "this node lacks kind:dance", "kind:dance")]


def test_refuses_a_task_that_it_cannot_read() -> None:
    (answer,) = assign(table(), work("a", spec=b'{"kind": 7}'))
    assert answer.frame.reason.startswith("unreadable task: ")


def test_a_repeated_assignment_is_acknowledged_and_not_started() -> None:
    node = table()
    assign(node, work("a"))
    assert assign(node, work("a")) == [Send(JobAck((ref("a"),)))]


def test_a_repeated_assignment_of_finished_work_brings_its_outcome() -> None:
    node = table()
    assign(node, work("a"))
    node.finish("a", DONE, now_s=1)
    assert assign(node, work("a")) == [Send(JobAck((ref("a"),))), results(result("a"))]


def test_a_draining_node_refuses_until_told_otherwise() -> None:
    node = table()
    node.handle(Drain(), now_s=0)
    assert assign(node, work("a")) == [reject("a", "draining")]
    node.handle(Drain(draining=False), now_s=0)
    assert Start(work("a"), SPEC, HALF) in assign(node, work("a"))


def test_a_node_that_leaves_stays_draining_whatever_the_scheduler_says() -> None:
    node = table()
    node.leave()
    linked(node)
    node.handle(Drain(draining=False), now_s=0)
    assert node.is_draining


# --- endings -------------------------------------------------------------------------------


def test_an_outcome_is_kept_then_sent() -> None:
    node = table()
    linked(node)
    assign(node, work("a"))
    assert node.finish("a", DONE, now_s=1) == [Keep(result("a")), results(result("a"))]
    assert (node.running, node.holding) == ((), (ref("a"),))


def test_an_error_is_an_outcome_too() -> None:
    node = table()
    linked(node)
    assign(node, work("a"))
    error = ErrorInfo("unreadable-media", "It is no video.")
    assert node.finish("a", error, now_s=1)[0] == Keep(Outcome("t-a", "a", error=error))


def test_a_handler_that_cancels_itself_has_failed_and_is_tried_again() -> None:
    node = table()
    assign(node, work("a"))
    (kept,) = node.finish("a", None, now_s=1)
    assert isinstance(kept, Keep)
    assert kept.outcome.error
    assert kept.outcome.error.retryable


def test_without_a_link_an_outcome_is_only_kept_and_sent_after_registering() -> None:
    node = table()
    linked(node)
    assign(node, work("a"))
    node.lose_link()
    assert node.finish("a", DONE, now_s=1) == [Keep(result("a"))]
    assert linked(node) == [results(result("a"))]


def test_a_confirmed_outcome_is_forgotten() -> None:
    node = table()
    assign(node, work("a"))
    node.finish("a", DONE, now_s=1)
    assert node.handle(JobResultAck((ref("a"), ref("unknown"))), now_s=2) == [Forget("a")]
    assert node.holding == ()


def test_outcomes_of_an_earlier_start_are_delivered_on_registering() -> None:
    node = table()
    node.restore([result("a")])
    assert node.holding == (ref("a"),)
    assert linked(node) == [results(result("a"))]


def test_an_unconfirmed_outcome_is_sent_again_well_before_its_lease_is_over() -> None:
    node = table()
    linked(node, now_s=0)
    assign(node, work("a"))
    node.finish("a", DONE, now_s=10)
    beat = Send(Heartbeat((), {}))
    assert node.beat(now_s=17.4, load={}) == [Send(Heartbeat((), {}, {"probe": KindTally(1, 0, 10_000)}))]
    assert node.beat(now_s=17.5, load={}) == [beat, results(result("a"))]
    assert node.beat(now_s=17.6, load={}) == [beat]


# --- what it tells of itself ---------------------------------------------------------------


def ran(node: AttemptTable) -> dict[str, KindTally]:
    """Return what the node's next heartbeat says of what it ran."""
    (beat, *_) = node.beat(now_s=0, load={})
    assert isinstance(beat, Send)
    assert isinstance(beat.frame, Heartbeat)
    return beat.frame.ran


def test_a_heartbeat_tells_once_what_ran_and_how_long() -> None:
    node = table()
    linked(node)
    assign(node, work("a"), work("b"))
    node.finish("a", DONE, now_s=2.5)
    node.finish("b", ErrorInfo("x", "It broke."), now_s=1.5)
    assert ran(node) == {"probe": KindTally(2, 1, 4000)}
    assert ran(node) == {}


def test_what_ran_without_a_link_is_told_over_the_next_one() -> None:
    node = table()
    linked(node)
    assign(node, work("a"))
    node.lose_link()
    node.finish("a", DONE, now_s=1)
    assert ran(node) == {}
    linked(node)
    assert ran(node) == {"probe": KindTally(1, 0, 1000)}


def test_work_that_was_stopped_says_nothing_of_its_kind() -> None:
    node = table()
    linked(node)
    assign(node, work("a"))
    node.handle(JobCancel((ref("a"),)), now_s=0)
    node.finish("a", None, now_s=1)
    assert ran(node) == {}


# --- cancelling ----------------------------------------------------------------------------


def test_cancelled_work_is_stopped_once_and_confirmed_at_its_end() -> None:
    node = table()
    linked(node)
    assign(node, work("a"))
    assert node.handle(JobCancel((ref("a"),)), now_s=1) == [Stop("a")]
    assert node.handle(JobCancel((ref("a"),)), now_s=1) == []
    assert node.free_slots("cpu") == 1
    assert node.finish("a", None, now_s=2) == [Keep(cancelled("a")), results(cancelled("a"))]
    assert node.free_slots("cpu") == 2


def test_a_result_that_came_after_the_cancel_is_reported_as_cancelled() -> None:
    node = table()
    linked(node)
    assign(node, work("a"))
    node.handle(JobCancel((ref("a"),)), now_s=1)
    assert node.finish("a", DONE, now_s=2)[0] == Keep(cancelled("a"))


def test_cancelling_what_is_not_here_is_confirmed_at_once() -> None:
    assert table().handle(JobCancel((ref("z"),)), now_s=0) == [results(cancelled("z"))]


def test_cancelling_what_has_finished_changes_nothing() -> None:
    node = table()
    node.restore([result("a")])
    assert node.handle(JobCancel((ref("a"),)), now_s=0) == []


def test_dropped_attempts_are_stopped_and_dropped_results_forgotten_unsent() -> None:
    node = table()
    assign(node, work("a"))
    node.restore([result("b"), result("c")])
    assert linked(node, drop=(ref("a"), ref("b"))) == [Stop("a"), Forget("b"), results(result("c"))]


# --- ending the node -----------------------------------------------------------------------


def test_aborted_work_reports_nothing_but_finished_work_is_kept() -> None:
    node = table()
    assign(node, work("a"), work("b"))
    assert node.abort() == [Stop("a"), Stop("b")]
    assert node.finish("a", None, now_s=1) == []
    assert node.finish("b", DONE, now_s=1) == [Keep(result("b"))]
    assert assign(node, work("c")) == [reject("c", "draining")]


def test_a_ping_is_answered_with_what_runs() -> None:
    node = table()
    assign(node, work("a"))
    assert node.handle(Ping(), now_s=0) == [Send(Heartbeat((ref("a"),), {}))]


# --- properties ----------------------------------------------------------------------------

GRANTS = st.sampled_from("abcdef")
STEPS = st.one_of(
    st.tuples(st.just("assign"), GRANTS, st.integers(0, 4)),
    st.tuples(st.sampled_from(["finish", "cancel", "confirm", "drop", "lose"]), GRANTS, st.just(0)),
)


@given(st.lists(STEPS, max_size=40), st.integers(1, 4))
def test_whatever_happens_slots_hold_and_no_attempt_is_lost(steps: list[tuple[str, str, int]], slots: int) -> None:
    """Never more than its slots; every started attempt is running, held, or was confirmed or dropped."""
    node = table(slots)
    started: set[str] = set()
    settled: set[str] = set()
    for verb, grant, cost in steps:
        running = {one.grant for one in node.running}
        match verb:
            case "assign" if grant not in settled:
                answers = assign(node, work(grant, cost=cost))
                fresh = {one.assignment.grant for one in answers if isinstance(one, Start)}
                assert not fresh & started
                started |= fresh
            case "finish" if grant in running:
                node.finish(grant, DONE, now_s=0)
            case "cancel":
                node.handle(JobCancel((ref(grant),)), now_s=0)
            case "confirm":
                settled |= {
                    one.grant for one in node.handle(JobResultAck((ref(grant),)), now_s=0) if isinstance(one, Forget)
                }
            case "drop":
                settled |= {one.grant for one in linked(node, drop=(ref(grant),)) if isinstance(one, Forget)}
            case _:
                node.lose_link()
        assert node.free_slots("cpu") >= 0
        assert {one.grant for one in node.running + node.holding} == started - settled


@given(st.lists(st.integers(0, 400), max_size=30), st.integers(200, 2_000))
def test_packing_keeps_order_and_size(sizes: list[int], limit: int) -> None:
    outcomes = [Outcome("t", f"g{index}", result=TaskResult({"x": "y" * size})) for index, size in enumerate(sizes)]
    frames = pack_outcomes(outcomes, limit_bytes=limit)
    assert [one for frame in frames for one in frame.outcomes] == outcomes
    for frame in frames:
        assert len(frame.outcomes) == 1 or sum(len(encode_frame(one)) for one in frame.outcomes) <= limit
