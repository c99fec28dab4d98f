"""Between attempts of the fleet and numbers of a worker: what is said to either."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mediafleet.domain.frames import (
    Assignment,
    AttemptRef,
    JobAck,
    JobProgress,
    JobReject,
    JobResults,
    Outcome,
    Progress,
)
from mediafleet.domain.ids import task_id
from mediafleet.domain.plan import TaskResult, TaskSpec
from mediafleet.domain.worker import HeldAttempt
from mediafleet.doors.signalr.worker_book import Call, WorkerBook
from mediafleet.kinds.subtitize import NAME

FILM = {
    "video_path": r"\\nas\films\a.mkv",
    "raw_subtitle_path": "/out/a.srt",
    "translated_subtitle_path": "/out/a.es.srt",
    "language": "es",
}


def spec(number: int, **params: Any) -> msgspec.Raw:
    document = TaskSpec(NAME, 1, NAME, NAME, "default", params={**FILM, "number": number, **params})
    return msgspec.Raw(msgspec.json.encode(document))


def assigned(number: int, grant: str = "g", job: str = "j0-a", **params: Any) -> Assignment:
    return Assignment(task_id(job, NAME), grant, 1, "worker", 1, job, spec(number, **params))


def ref(grant: str = "g", job: str = "j0-a") -> AttemptRef:
    return AttemptRef(task_id(job, NAME), grant)


def held(number: int, grant: str = "g", job: str = "j0-a") -> HeldAttempt:
    return HeldAttempt(task_id(job, NAME), grant, "worker", 1, spec(number))


def new_book() -> WorkerBook:
    return WorkerBook("subber-1", resume_s=60, stop_s=10)


def test_an_assignment_is_a_start_with_the_paths_as_they_were_given_and_is_confirmed() -> None:
    acts = new_book().assign([assigned(7)], 0)
    start = ("StartSubtitize", (7, FILM["video_path"], "/out/a.srt", "/out/a.es.srt", "es"))
    assert acts == [start, JobAck((ref(),))]


def test_an_assignment_that_comes_twice_starts_once() -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    assert book.assign([assigned(7)], 1) == []
    assert book.running == (ref(),)


def test_a_number_that_the_worker_is_still_at_is_refused() -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    (refused,) = book.assign([assigned(7, "g2")], 1)
    assert isinstance(refused, JobReject)
    assert (refused.grant, "still at task 7" in refused.reason) == ("g2", True)


def test_a_task_that_failed_may_come_back_before_its_failure_is_confirmed() -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    book.fail(7, ref(), "no disk", 1)
    start, ack = book.assign([assigned(7, "g2")], 2)
    assert (isinstance(start, Call), ack) == (True, JobAck((ref("g2"),)))
    book.settle([ref()])
    assert book.running == (ref("g2"),)


def test_a_task_that_cannot_be_read_is_refused_and_others_start() -> None:
    refused, start, _ = new_book().assign([assigned(1, "g1", language="?"), assigned(2, "g2", "j0-b")], 0)
    assert isinstance(refused, JobReject)
    assert isinstance(start, Call)
    assert start.arguments[0] == 2


@pytest.mark.parametrize(
    ("value", "fraction"), [(0, 0.0), (2500, 0.25), (10_000, 1.0), (12_000, 1.0), (10**400, 1.0), (-5, 0.0)]
)
def test_progress_is_a_fraction_with_the_workers_word(value: int, fraction: float) -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    (frame,) = book.progress(7, value, "recognizing", 1)
    assert frame == JobProgress((Progress(ref().task, "g", fraction, "recognizing"),))


def test_progress_never_falls_and_of_unknown_tasks_there_is_none() -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    book.progress(7, 5_000, "a", 1)
    (frame,) = book.progress(7, 4_000, "b", 2)
    assert isinstance(frame, JobProgress)
    assert frame.updates[0].fraction == 0.5
    assert book.progress(8, 5_000, "a", 1) == []


def test_a_result_names_the_paths_and_the_worker_and_stays_until_it_is_stored() -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    frame = book.complete(7, ref(), ("/r", "/t"), 1)
    result = {"raw_path": "/r", "translated_path": "/t", "worker_id": "subber-1"}
    assert frame == JobResults((Outcome(ref().task, "g", result=TaskResult(result)),))
    assert (book.running, book.is_busy) == ((ref(),), False)
    book.settle([ref()])
    assert book.running == ()


def test_a_failure_spends_a_try_and_says_what_the_worker_said() -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    (outcome,) = book.fail(7, ref(), "  no such film \n", 1).outcomes
    assert outcome.error
    assert (outcome.error.message, outcome.error.retryable) == ("no such film", True)
    assert "did not say why" in book.fail(7, ref(), " ", 1).outcomes[0].error.message  # type: ignore[union-attr]


def test_what_was_to_stop_and_failed_has_stopped() -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    assert book.cancel([ref()], 1) == [Call("StopSubtitize", (7,))]
    assert book.cancel([ref()], 1) == []
    assert book.progress(7, 5_000, "a", 2) == []
    assert book.fail(7, ref(), "stopped", 2) == JobResults((Outcome(ref().task, "g", cancelled=True),))
    book.settle([ref()])
    assert book.look(60) == []


def test_a_worker_that_does_not_say_that_it_stopped_is_not_waited_for_longer() -> None:
    book = new_book()
    book.assign([assigned(7)], 0)
    book.cancel([ref()], 1)
    assert book.look(10.9) == []
    assert book.look(11) == [JobResults((Outcome(ref().task, "g", cancelled=True),))]
    assert book.running == ()


def test_what_it_does_not_have_has_stopped() -> None:
    assert new_book().cancel([ref()], 0) == [JobResults((Outcome(ref().task, "g", cancelled=True),))]


def test_what_was_carried_over_goes_on_once_the_worker_speaks_of_it() -> None:
    book = new_book()
    book.carry([held(7)], 0)
    book.progress(7, 1, "a", 59)
    assert book.look(1_000) == []
    assert book.running == (ref(),)


@pytest.mark.parametrize("why", ["it says that it is idle", "time has passed"])
def test_what_was_carried_over_and_never_spoken_of_goes_elsewhere(why: str) -> None:
    book = new_book()
    book.carry([held(7)], 0)
    book.assign([assigned(8, "g8", "j0-b")], 0)
    assert book.look(59.9) == []
    stop, given_up = book.idle() if "idle" in why else book.look(60)
    assert stop == Call("StopSubtitize", (7,))
    assert isinstance(given_up, JobReject)
    assert given_up.grant == "g"
    assert book.running == (ref("g8", "j0-b"),)


def test_what_is_not_its_own_any_more_is_stopped() -> None:
    book = new_book()
    book.carry([held(7), held(8, "g8", "j0-b")], 0)
    assert book.drop([ref()]) == [Call("StopSubtitize", (7,))]
    assert book.attempt(7) is None
    assert book.attempt(8) == ref("g8", "j0-b")
