"""A plan whose tasks could never all begin is refused before any of them is stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.plan import NewTask
from mediafleet.kinds.noop import KIND
from mediafleet.scheduler.tasks import check_tasks

NAMES = ("a", "b", "c", "d", "e")


def tasks(**after: str) -> list[NewTask]:
    """Return tasks of these names; the letters of each value are the tasks that it waits for."""
    return [NewTask(name, "noop", after=tuple(parents)) for name, parents in after.items()]


def test_tasks_may_be_named_before_those_they_wait_for() -> None:
    check_tasks(tasks(c="ab", a="", b="a"), KIND)


def test_a_task_may_wait_for_one_that_the_job_has_already() -> None:
    check_tasks(tasks(b="a"), KIND, known={"a"})


def test_a_task_may_be_named_again_in_a_later_plan() -> None:
    check_tasks(tasks(a="", b="a"), KIND, known={"a"})


def test_waiting_twice_for_the_same_task_is_waiting_for_it() -> None:
    check_tasks(tasks(a="", b="aa"), KIND)


def test_a_task_cannot_wait_for_one_that_nobody_named() -> None:
    with pytest.raises(InvalidRequest, match="The task 'b' waits for 'x', which is no task of the job"):
        check_tasks(tasks(a="", b="ax"), KIND, known={"c"})


def test_two_tasks_of_one_plan_cannot_have_one_name() -> None:
    with pytest.raises(InvalidRequest, match="names the task 'a' twice"):
        check_tasks([*tasks(a="", b=""), *tasks(a="")], KIND)


@pytest.mark.parametrize("circle", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "c", "b": "a", "c": "b", "d": ""}])
def test_tasks_that_wait_for_each_other_are_refused(circle: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="wait for each other"):
        check_tasks(tasks(**circle), KIND)


@given(st.dictionaries(st.sampled_from(NAMES), st.text("abcde", max_size=3)))
def test_what_is_accepted_can_be_run_to_its_end(after: dict[str, str]) -> None:
    plan = tasks(**after)
    try:
        check_tasks(plan, KIND)
    except InvalidRequest:
        accepted = False
    else:
        accepted = True
    done: set[str] = set()
    while ready := {task.name for task in plan if task.name not in done and done.issuperset(task.after)}:
        done |= ready
    assert accepted == (len(done) == len(plan))
