"""What follows a transcode that replaces its source."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from transcode_samples import params

from mediafleet.domain.artifact import ArtifactRef, Fingerprint
from mediafleet.domain.errors import ErrorInfo, InvalidParams
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step
from mediafleet.domain.room import Room
from mediafleet.kinds.transcode import KIND
from mediafleet.kinds.transcode.plan import plan_transcode, weigh_transcode
from mediafleet.kinds.transcode.replace_plan import ReplaceOrder

FILM = ArtifactRef("a0-1", "film.mkv", "file:///m/film.mkv", 5, fingerprint=Fingerprint(5, "0"))
RESULT = ArtifactRef("a0-2", "film.mp4", size=3, sha256="1")
UPLOADED = ArtifactRef("a0-3", "film.mkv", size=5, sha256="2")


def job(film: ArtifactRef = FILM, /, **wanted: Any) -> Job:
    values = msgspec.to_builtins(params(**wanted))
    return Job(
        "j0-x", "0", "default", "local", "transcode", 1, "film.mkv", (film,), values, PriorityClass.BATCH, created_ms=0
    )


def finished(name: str, **changes: Any) -> FinishedTask:
    fields: dict[str, Any] = {"state": TaskState.DONE, "node": "n0-a"}
    return FinishedTask(name, name, **(fields | changes))


MADE = finished("transcode", outputs=(RESULT,), result={"size": 3, "source_mtime_ns": "17"}, warnings=("w1",))
REPLACING: dict[str, Any] = {"replace": {"days": 2}}


def after(*tasks: FinishedTask) -> Step:
    """Return what the plan says once these are final."""
    return weigh_transcode(job(**REPLACING), tasks, Room(tasks=frozenset(task.name for task in tasks)))


def test_the_job_does_not_end_with_its_transcode() -> None:
    step = plan_transcode(job(**REPLACING), ())
    assert isinstance(step, Expand)
    assert ([task.name for task in step.tasks], step.outcome_of) == (["transcode"], "")


def test_the_result_is_put_in_place_where_files_may_be_replaced_and_rather_where_it_was_made() -> None:
    step = after(MADE)
    assert isinstance(step, Expand)
    (task,) = step.tasks
    assert isinstance(task, NewTask)
    assert (task.requirement.capabilities, task.near) == (("files:replace",), ("n0-a",))
    assert task.inputs == (RESULT, FILM)
    assert msgspec.convert(task.payload, ReplaceOrder) == ReplaceOrder("j0-x", ".mp4", 2 * 24 * 3600 * 1000, "17")
    assert task.step in KIND.handlers


def test_the_job_tells_of_both_and_keeps_no_second_copy() -> None:
    placed = finished("replace", result={"path": "file:///m/film.mp4"}, warnings=("w2",))
    assert after(MADE, placed) == Complete(
        {"size": 3, "source_mtime_ns": "17", "replaced": {"path": "file:///m/film.mp4"}}, (), ("w1", "w2")
    )


def test_a_transcode_without_a_result_leaves_the_source_and_is_no_failure() -> None:
    kept = finished("transcode", result={"size": 9}, warnings=("The original stays.",))
    assert after(kept) == Complete({"size": 9}, (), ("The original stays.",))


@pytest.mark.parametrize("name", ["transcode", "replace"])
def test_what_fails_fails_the_job_with_its_own_sentence(name: str) -> None:
    error = ErrorInfo("conflict", "film.mkv has changed.")
    failed = finished(name, state=TaskState.FAILED, error=error)
    done = () if name == "transcode" else (MADE,)
    assert after(*done, failed) == Fail(error)


def test_what_was_uploaded_cannot_be_replaced_or_restored() -> None:
    for wanted in (REPLACING, {"restore": "j0-y"}):
        with pytest.raises(InvalidParams, match="only a file that the fleet uses in place"):
            plan_transcode(job(UPLOADED, **wanted), ())


def test_a_restoration_is_one_task_that_needs_no_encoder() -> None:
    step = plan_transcode(job(restore="j0-y"), ())
    assert isinstance(step, Expand)
    (task,) = step.tasks
    assert (task.step, task.requirement.capabilities, step.outcome_of) == ("restore", ("files:replace",), "restore")
    assert task.step in KIND.handlers
