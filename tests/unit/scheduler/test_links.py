"""What goes out to nodes fits the frames that they take."""

from __future__ import annotations

import pytest

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import Requirement
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import MAX_SLOTS
from mediafleet.domain.plan import NewTask
from mediafleet.kinds.noop import KIND
from mediafleet.scheduler.links import split_by_bytes
from mediafleet.scheduler.tasks import MAX_TASK_BYTES, requirement_of, task_record
from mediafleet.store.records import PlacedTask


def placed(name: str, size: int) -> PlacedTask:
    return PlacedTask(f"j0-x.{name}", "g", 1, "n0-a/cpu", 1, "j0-x", "d" * size)


def job(echo: str) -> Job:
    inputs: tuple[ArtifactRef, ...] = ()
    return Job("j0-x", "0", "default", "local", "noop", 1, "", inputs, {"echo": echo}, PriorityClass.BATCH, 1)


def test_assignments_are_split_before_a_frame_is_too_large() -> None:
    tasks = [placed("a", 400), placed("b", 500), placed("c", 200), placed("d", 900), placed("e", 100)]
    parts = split_by_bytes(tasks, limit_bytes=1_000)
    assert [[task.task[-1] for task in part] for part in parts] == [["a", "b"], ["c"], ["d", "e"]]


def test_a_task_that_is_too_large_by_itself_gets_a_frame_of_its_own() -> None:
    parts = split_by_bytes([placed("a", 5), placed("b", 50), placed("c", 5)], limit_bytes=10)
    assert [len(part) for part in parts] == [1, 1, 1]


def test_no_tasks_make_no_frame() -> None:
    assert split_by_bytes([]) == []


def test_parameters_that_no_frame_could_carry_are_refused_when_they_are_submitted() -> None:
    task = NewTask("run", "run")
    with pytest.raises(InvalidRequest, match=r"512 KiB are possible.*artifact"):
        task_record(job("x" * MAX_TASK_BYTES), task, KIND, waits=())
    record, _ = task_record(job("x" * 1_000), task, KIND, waits=())
    assert len(record.doc) < MAX_TASK_BYTES


def test_a_task_cannot_ask_for_more_slots_than_an_executor_may_have() -> None:
    with pytest.raises(InvalidRequest, match="more slots than an executor may have"):
        requirement_of(NewTask("run", "run", Requirement((), 10**30)), KIND)
    assert requirement_of(NewTask("run", "run", Requirement((), MAX_SLOTS)), KIND).slots == MAX_SLOTS
