"""The life of a task follows one table, and the page that draws it agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mediafleet.domain.errors import Conflict, IllegalTransition
from mediafleet.domain.lifecycle import (
    FINAL_JOB_STATUSES,
    FINAL_TASK_STATES,
    PLACED_TASK_STATES,
    RETRYABLE_JOB_STATUSES,
    TRANSITIONS,
    JobStatus,
    TaskEvent,
    TaskState,
    next_state,
)

PAGE = Path(__file__).parents[3] / "docs/reference/states.md"


def test_the_way_of_a_task_that_succeeds() -> None:
    state = TaskState.NEW
    for event in (TaskEvent.SELECT, TaskEvent.RESERVE, TaskEvent.DISPATCH, TaskEvent.ACK, TaskEvent.FINISH):
        state = next_state(state, event)
    assert state is TaskState.DONE


MOVES = """
    NEW: select SELECTING, readopt ACKED, finish DONE, fail FAILED, cancel CANCELLED
    SELECTING: reserve RESERVED, cancel CANCELLED
    RESERVED: dispatch DISPATCHED, lose NEW, finish DONE, cancel CANCELLED
    DISPATCHED: ack ACKED, lose NEW, retry NEW, fail FAILED, finish DONE, cancel CANCELLED
    ACKED: lose NEW, retry NEW, fail FAILED, finish DONE, cancel CANCELLED
    DONE:
    FAILED: revive NEW
    CANCELLED: revive NEW
"""
EXPECTED = {
    (TaskState(state.strip()), TaskEvent(event)): TaskState(after)
    for line in MOVES.strip().splitlines()
    for state, _, moves in [line.partition(":")]
    for event, after in [move.split() for move in moves.split(",") if move.strip()]
}


@pytest.mark.parametrize("event", TaskEvent)
@pytest.mark.parametrize("state", TaskState)
def test_each_event_in_each_state_moves_the_task_as_written_down_or_is_refused(
    state: TaskState, event: TaskEvent
) -> None:
    """Written a second time on purpose: a move changed by mistake differs from it."""
    if (state, event) in EXPECTED:
        assert next_state(state, event) is EXPECTED[state, event]
        return
    with pytest.raises(IllegalTransition) as caught:
        next_state(state, event, task="j0-1.encode", history=("NEW", "DONE"))
    error = caught.value
    assert (error.subject, error.state, error.event, error.history) == ("j0-1.encode", state, event, ("NEW", "DONE"))
    assert error.message == f"j0-1.encode is {state}; {event.value!r} is not possible from there (history: NEW → DONE)."


def test_the_error_of_an_illegal_move_is_a_conflict_that_no_retry_cures() -> None:
    with pytest.raises(Conflict) as caught:
        next_state(TaskState.DONE, TaskEvent.CANCEL)
    assert not caught.value.retryable
    assert "history" not in caught.value.message


@pytest.mark.parametrize("state", sorted(FINAL_TASK_STATES))
def test_a_final_state_has_no_way_out_but_an_explicit_retry(state: TaskState) -> None:
    ways_out = {event for (origin, event) in TRANSITIONS if origin is state}
    assert ways_out <= {TaskEvent.REVIVE}


def test_done_stays_done() -> None:
    assert not any(origin is TaskState.DONE for (origin, _) in TRANSITIONS)


@pytest.mark.parametrize("state", sorted(set(TaskState) - FINAL_TASK_STATES))
def test_every_state_that_is_not_final_can_be_cancelled(state: TaskState) -> None:
    assert next_state(state, TaskEvent.CANCEL) is TaskState.CANCELLED


@pytest.mark.parametrize("state", sorted(PLACED_TASK_STATES))
def test_every_placed_attempt_can_be_lost_and_can_finish(state: TaskState) -> None:
    assert next_state(state, TaskEvent.LOSE) is TaskState.NEW
    assert next_state(state, TaskEvent.FINISH) is TaskState.DONE


def test_a_result_that_comes_after_its_lease_ended_is_accepted() -> None:
    lost = next_state(TaskState.ACKED, TaskEvent.LOSE)
    assert next_state(lost, TaskEvent.FINISH) is TaskState.DONE


def test_a_node_that_comes_back_takes_its_attempt_up_again() -> None:
    assert next_state(TaskState.NEW, TaskEvent.READOPT) is TaskState.ACKED


def test_a_task_spends_a_try_only_after_it_was_handed_to_a_node() -> None:
    origins = {origin for (origin, event) in TRANSITIONS if event is TaskEvent.RETRY}
    assert origins == {TaskState.DISPATCHED, TaskState.ACKED}


def test_every_state_can_be_reached() -> None:
    reached = {TaskState.NEW}
    while more := {to for (origin, _), to in TRANSITIONS.items() if origin in reached} - reached:
        reached |= more
    assert reached == set(TaskState)


def test_every_event_is_used() -> None:
    assert {event for (_, event) in TRANSITIONS} == set(TaskEvent)


def test_jobs_that_can_be_retried_are_final_but_not_completed() -> None:
    assert FINAL_JOB_STATUSES - {JobStatus.COMPLETED} == RETRYABLE_JOB_STATUSES


class TaskWalk(RuleBasedStateMachine):
    """Any sequence of events: only legal moves change anything, and what is final stays so."""

    def __init__(self) -> None:
        super().__init__()
        self.state = TaskState.NEW
        self.finished = False

    @rule(event=st.sampled_from(TaskEvent))
    def happen(self, event: TaskEvent) -> None:
        before = self.state
        try:
            self.state = next_state(self.state, event)
        except IllegalTransition:
            assert self.state is before
            return
        assert before not in FINAL_TASK_STATES or event is TaskEvent.REVIVE
        self.finished = self.finished or event is TaskEvent.FINISH

    @precondition(lambda self: self.state not in FINAL_TASK_STATES)
    @rule()
    def finish_or_cancel_from_everywhere(self) -> None:
        after = {TRANSITIONS.get((self.state, event)) for event in (TaskEvent.FINISH, TaskEvent.CANCEL)}
        assert after & FINAL_TASK_STATES

    @invariant()
    def one_result_for_good(self) -> None:
        assert self.finished == (self.state is TaskState.DONE)


TestTaskWalk = TaskWalk.TestCase


def test_the_page_draws_exactly_the_moves_of_the_table() -> None:
    drawn = re.findall(r"^ +(\w+) --> (\w+) ?: (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    moves = {(origin, event, to) for origin, to, events in drawn for event in events.split(", ")}
    assert moves == {(origin.value, event.value, to.value) for (origin, event), to in TRANSITIONS.items()}


@pytest.mark.parametrize("word", [*TaskState, *TaskEvent, *JobStatus])
def test_the_page_explains_every_state_event_and_status(word: str) -> None:
    assert f"| `{word}` |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("state", TaskState)
def test_the_page_knows_as_final_what_is_final(state: TaskState) -> None:
    """It draws an end where no event leads on, and says of each final state who moves it on."""
    (row,) = re.findall(rf"^\| `{state}` \| .* \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert (row in {"nobody", "the user, by a retry of the job"}) == (state in FINAL_TASK_STATES)


@pytest.mark.parametrize("event", TaskEvent)
def test_the_page_says_which_events_spend_a_try(event: TaskEvent) -> None:
    (spends,) = re.findall(rf"^\| `{event}` \| .* \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert spends.strip().startswith("yes") == (event in {TaskEvent.FAIL, TaskEvent.RETRY})


def test_placed_tasks_are_those_that_hold_slots() -> None:
    assert {TaskState.RESERVED, TaskState.DISPATCHED, TaskState.ACKED} == PLACED_TASK_STATES
    assert not PLACED_TASK_STATES & FINAL_TASK_STATES
