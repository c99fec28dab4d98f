"""What a node says of an attempt is shown to users only once it can be."""

from __future__ import annotations

import pytest

from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.plan import TaskResult
from mediafleet.scheduler.outcomes import (
    LONGEST_DETAIL,
    LONGEST_SENTENCE,
    Belongings,
    are_of_attempt,
    check_outputs,
    tidy_error,
)

RECORDED = ArtifactRef("a0-1", "film.mkv", "file:///store/a0-1", 7, "0" * 64)


OWN = Belongings(frozenset({"g-1"}))


def artifact(state: ArtifactState = ArtifactState.COMPLETE, grant: str = "g-1") -> Artifact:
    return Artifact(RECORDED, state, "0", "default", "node", 1, blob="a0-1", grant=grant)


def test_an_error_in_order_is_kept_as_it_is() -> None:
    error = ErrorInfo("task-failed", "It failed.", retryable=True, detail="a log")
    assert tidy_error(error) == error


def test_an_error_without_a_word_gets_a_sentence() -> None:
    tidied = tidy_error(ErrorInfo("", ""))
    assert tidied.code == "task-failed"
    assert tidied.message.endswith("see the node's log.")


def test_an_error_of_any_length_is_cut() -> None:
    tidied = tidy_error(ErrorInfo("c" * 10_000, "m" * 10_000, detail="d" * 1_000_000))
    lengths = len(tidied.code), len(tidied.message), len(tidied.detail)
    assert lengths == (LONGEST_SENTENCE, LONGEST_SENTENCE, LONGEST_DETAIL)


def test_an_output_is_what_is_recorded_of_it_not_what_a_node_says() -> None:
    said = TaskResult({"n": 1}, (ArtifactRef("a0-1", "../x", "file:///etc/passwd"),), ("a warning",))
    assert check_outputs(said, {"a0-1": artifact()}, OWN) == TaskResult({"n": 1}, (RECORDED,), ("a warning",))


def test_one_missing_output_of_several_is_named() -> None:
    said = TaskResult({}, (RECORDED, ArtifactRef("a0-2", "subtitles.srt")))
    refused = check_outputs(said, {"a0-1": artifact()}, OWN)
    assert isinstance(refused, ErrorInfo)
    assert refused.retryable
    assert "'subtitles.srt'" in refused.message


def test_an_output_whose_upload_is_not_complete_is_missing() -> None:
    assert isinstance(
        check_outputs(TaskResult({}, (RECORDED,)), {"a0-1": artifact(ArtifactState.OPEN)}, OWN), ErrorInfo
    )


def test_a_result_without_outputs_needs_no_records() -> None:
    assert check_outputs(TaskResult({"n": 1}), {}, OWN) == TaskResult({"n": 1})


@pytest.mark.parametrize(
    ("grant", "own", "is_taken"),
    [
        ("g-1", Belongings(frozenset({"g-1"})), True),
        ("g-1", Belongings(frozenset({"g-2", "g-1"})), True),
        ("g-other", Belongings(frozenset({"g-1"})), False),
        ("g-other", Belongings(frozenset(), frozenset({"a0-1"})), True),
        ("", Belongings(frozenset({"g-1"})), False),
        ("", Belongings(frozenset({""})), False),
        ("", Belongings(frozenset(), frozenset({"a0-1"})), True),
    ],
    ids=["this attempt", "an older attempt", "another task", "the job", "a stranger", "no grant at all", "the input"],
)
def test_an_output_is_of_the_task_or_of_its_job(grant: str, own: Belongings, *, is_taken: bool) -> None:
    checked = check_outputs(TaskResult({}, (RECORDED,)), {"a0-1": artifact(grant=grant)}, own)
    assert isinstance(checked, TaskResult) == is_taken
    if isinstance(checked, ErrorInfo):
        assert (checked.code, checked.retryable) == ("output-rejected", False)
        assert "'film.mkv', which is of another job" in checked.message


def test_only_what_another_attempt_made_needs_a_closer_look() -> None:
    result = TaskResult({}, (RECORDED, ArtifactRef("a0-unknown", "x")))
    assert are_of_attempt(result, {"a0-1": artifact()}, "g-1")
    assert not are_of_attempt(result, {"a0-1": artifact()}, "g-2")
