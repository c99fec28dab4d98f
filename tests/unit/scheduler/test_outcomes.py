"""What a node says of an attempt is shown to users only once it can be."""

from __future__ import annotations

from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.plan import TaskResult
from mediafleet.scheduler.outcomes import LONGEST_DETAIL, LONGEST_SENTENCE, check_outputs, tidy_error

RECORDED = ArtifactRef("a0-1", "film.mkv", "file:///store/a0-1", 7, "0" * 64)


def artifact(state: ArtifactState = ArtifactState.COMPLETE) -> Artifact:
    return Artifact(RECORDED, state, "0", "default", "node", 1, blob="a0-1")


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
    assert check_outputs(said, {"a0-1": artifact()}) == TaskResult({"n": 1}, (RECORDED,), ("a warning",))


def test_one_missing_output_of_several_is_named() -> None:
    said = TaskResult({}, (RECORDED, ArtifactRef("a0-2", "subtitles.srt")))
    refused = check_outputs(said, {"a0-1": artifact()})
    assert isinstance(refused, ErrorInfo)
    assert refused.retryable
    assert "'subtitles.srt'" in refused.message


def test_an_output_whose_upload_is_not_complete_is_missing() -> None:
    assert isinstance(check_outputs(TaskResult({}, (RECORDED,)), {"a0-1": artifact(ArtifactState.OPEN)}), ErrorInfo)


def test_a_result_without_outputs_needs_no_records() -> None:
    assert check_outputs(TaskResult({"n": 1}), {}) == TaskResult({"n": 1})
