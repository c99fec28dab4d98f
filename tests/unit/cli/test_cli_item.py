"""An item knows what has become of its input, at every moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mediafleet.cli._item import Item, Phase
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus, PriorityClass

BROKE = ErrorInfo("task-failed", "It broke.", detail="secret paths of a log")


def view(status: JobStatus = JobStatus.PROCESSING, **more: Any) -> JobView:
    return JobView("j0-x", "transcode", "a.mkv", status, 0.5, "encoding", PriorityClass.BATCH, "t", 1, 1, **more)


@pytest.fixture
def item() -> Item:
    return Item(Path("a.mkv"), Path("done/a"))


def test_a_new_item_waits_and_is_not_good(item: Item) -> None:
    assert (item.phase, item.status, item.is_good) == (Phase.WAITING, "waiting", False)


def test_a_new_phase_starts_from_nothing(item: Item) -> None:
    item.take(view(speed=2.0, eta_ms=3_000))
    item.enter(Phase.FETCHING)
    assert (item.phase, item.progress, item.stage, item.speed, item.eta_ms) == (Phase.FETCHING, 0.0, "", None, None)


def test_a_view_of_the_job_is_taken_over_whole(item: Item) -> None:
    item.take(view(speed=2.0, eta_ms=3_000, warnings=("One.",)))
    assert (item.phase, item.job, item.status) == (Phase.WORKING, "j0-x", "processing")
    assert (item.progress, item.stage, item.speed, item.eta_ms) == (0.5, "encoding", 2.0, 3_000)
    assert item.warnings == ("One.",)


def test_a_job_that_goes_again_loses_its_old_error(item: Item) -> None:
    item.take(view(JobStatus.FAILED, error=BROKE))
    assert item.error is BROKE
    item.take(view())
    assert item.error is None


def test_only_a_completed_job_whose_result_is_here_is_good(item: Item) -> None:
    item.take(view(JobStatus.COMPLETED))
    assert item.is_good
    item.fail(ErrorInfo("conflict", "a.mp4 exists already."))
    assert (item.is_good, item.status) == (False, "failed")


def test_a_failed_item_is_documented_with_code_and_sentence_but_no_details(item: Item) -> None:
    item.fail(BROKE)
    assert item.document() == {
        "input": "a.mkv", "job": None, "status": "failed", "output": None, "outputs": [],
        "error": {"code": "task-failed", "message": "It broke."}, "warnings": [], "seconds": 0.0,
    }  # fmt: skip


def test_a_good_item_is_documented_with_its_first_result(item: Item) -> None:
    item.take(view(JobStatus.COMPLETED, warnings=("One.",)))
    item.outputs, item.seconds = [Path("done/a.mp4"), Path("done/a.srt")], 1.23456
    assert item.document() == {
        "input": "a.mkv", "job": "j0-x", "status": "completed", "output": "done/a.mp4", "outputs": ["done/a.mp4", "done/a.srt"],
            "error": None,
        "warnings": ["One."], "seconds": 1.235,
    }  # fmt: skip
