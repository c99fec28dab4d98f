"""When known work should end, by the speeds that were measured of its sort."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.job import JobView, TaskSummary
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.pace import Measured, Paces
from mediafleet.scheduler.eta import OpenTask, eta_ms, open_tasks

PACES = Paces({("p", ""): Measured(1, 100, 1), ("p", "slow"): Measured(1, 300, 1)})
SIZES = st.lists(st.floats(0.5, 1_000), min_size=1, max_size=12)
PLACES = st.lists(st.floats(0, 10_000), min_size=1, max_size=5)


def waiting(*sizes: float, pace: str = "p") -> list[OpenTask]:
    return [OpenTask(str(place), pace, size) for place, size in enumerate(sizes)]


def test_what_runs_goes_on_at_the_speed_of_its_node() -> None:
    here = OpenTask("a", "p", 10, 0.5, "fast")
    assert eta_ms([here], [], PACES) == 500
    assert eta_ms([here, here._replace(node="slow")], [], PACES) == 1_500, "the last one counts"
    assert eta_ms([here._replace(said_ms=70)], [], PACES) == 70, "its node knows better"


def test_two_idle_nodes_halve_a_job_of_chunks() -> None:
    chunks = waiting(*[5] * 8)
    assert eta_ms(chunks, [0], PACES) == 4_000
    assert eta_ms(chunks, [0, 0], PACES) == 2_000


def test_what_waits_begins_when_a_place_is_free() -> None:
    assert eta_ms(waiting(10), [700, 2_000], PACES) == 1_700


def test_what_waits_for_another_task_begins_at_its_end() -> None:
    join = OpenTask("join", "p", 1, after=("0", "1", "gone"))
    assert eta_ms([join, *waiting(5, 9)], [0, 0], PACES) == 1_000


def test_nothing_is_told_where_a_speed_was_not_measured_or_nothing_takes_the_work() -> None:
    assert eta_ms(waiting(1, pace="q"), [0], PACES) is None
    assert eta_ms([*waiting(1), OpenTask("x", "", 0)], [0], PACES) is None, "a part would be less than the truth"
    assert eta_ms(waiting(1), [], PACES) is None
    assert eta_ms([], [0], PACES) is None


@given(SIZES, PLACES, st.floats(0, 1))
def test_it_is_never_later_when_work_is_done(sizes: list[float], places: list[float], done: float) -> None:
    before, after = eta_ms(waiting(*sizes), places, PACES), eta_ms(waiting(*sizes[1:]), places, PACES)
    assert before is not None
    assert after is None or after <= before
    runs = OpenTask("r", "p", sizes[0], 0.0, "slow")
    begun, further = (eta_ms([one], [], PACES) for one in (runs, runs._replace(progress=done)))
    assert begun is not None
    assert further is not None
    assert 0 <= further <= begun


@given(SIZES, PLACES, st.floats(0.5, 1_000), st.floats(0, 10_000))
def test_it_is_never_sooner_for_more_work_or_for_more_that_goes_first(
    sizes: list[float], places: list[float], more: float, later: float
) -> None:
    plain = eta_ms(waiting(*sizes), places, PACES)
    assert plain is not None
    assert plain >= 0
    for changed, free in (([*sizes, more], places), (sizes, [place + later for place in places])):
        found = eta_ms(waiting(*changed), free, PACES)
        assert found is not None
        assert found >= plain


@given(SIZES, PLACES, st.floats(0, 10_000))
def test_one_more_place_never_makes_it_later_than_all_work_on_one_place(
    sizes: list[float], places: list[float], more: float
) -> None:
    alone, together = eta_ms(waiting(*sizes), [max(places)], PACES), eta_ms(waiting(*sizes), [*places, more], PACES)
    assert alone is not None
    assert together is not None
    assert together <= alone + 1


def job(*tasks: TaskSummary, status: JobStatus = JobStatus.PROCESSING, **changes: Any) -> JobView:
    about: dict[str, Any] = {"tasks": tasks} | changes
    return JobView("j", "transcode", "", status, 0.0, "", PriorityClass.BATCH, "default", 1, 1, **about)


def test_of_a_job_its_tasks_that_are_not_final_are_left() -> None:
    runs = TaskSummary("j.a", TaskState.ACKED, executor="n/cpu", progress=0.25, pace="p", size=4)
    waits = TaskSummary("j.b", TaskState.NEW, executor="n/cpu", progress=0.9, pace="p", size=2, after=("j.a",))
    done = TaskSummary("j.c", TaskState.DONE, pace="p", size=9)
    assert open_tasks(job(runs, waits, done, eta_ms=50)) == [
        OpenTask("j.a", "p", 4, 0.25, "n"),
        OpenTask("j.b", "p", 2, after=("j.a",)),
    ]
    alone = open_tasks(job(runs, done, eta_ms=50))
    assert alone is not None
    assert alone[0].said_ms == 50, "what its only task says is the job's"


@pytest.mark.parametrize("status", [JobStatus.PAUSED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_nobody_knows_when_a_paused_job_ends_and_one_that_has_ended_does_not(status: JobStatus) -> None:
    assert open_tasks(job(TaskSummary("j.a", TaskState.NEW, pace="p"), status=status)) is None


def test_nobody_knows_when_a_job_begins_that_waits_for_others() -> None:
    task = TaskSummary("j.a", TaskState.NEW, pace="p")
    assert open_tasks(job(task, status=JobStatus.PENDING, waits_for=("j2",))) is None
    assert open_tasks(job(task, status=JobStatus.PENDING)) is not None
