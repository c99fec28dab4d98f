"""What a user may submit, and what an accepted job keeps of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.job import DEFAULT_TENANT, Job, JobPage, JobView, Submission
from mediafleet.domain.lifecycle import JobStatus, PriorityClass

REF = ArtifactRef("a0-1", "a.mkv", "file:///m/a.mkv")
params = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), max_size=4)


@pytest.mark.parametrize(
    ("text", "uris"),
    [
        ('{"kind": "noop"}', []),
        ('{"kind": "noop", "input": null}', []),
        ('{"kind": "noop", "input": "file:///a"}', ["file:///a"]),
        ('{"kind": "noop", "input": []}', []),
        ('{"kind": "noop", "input": ["file:///a", "artifact:a0-1"]}', ["file:///a", "artifact:a0-1"]),
    ],
)
def test_a_submission_may_name_no_input_one_or_many(text: str, uris: list[str]) -> None:
    assert msgspec.json.decode(text, type=Submission).input_uris == uris


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"kind": 1}',
        '{"kind": "noop", "inputs": []}',
        '{"kind": "noop", "input": [1]}',
        '{"kind": "noop", "priority": "high"}',
        '{"kind": "noop", "params": []}',
        '{"kind": "noop", "tenant": null}',
    ],
)
def test_a_submission_that_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Submission)


def test_a_submission_of_a_word_alone_is_batch_work_of_the_default_tenant() -> None:
    submission = msgspec.json.decode('{"kind": "noop"}', type=Submission)
    assert (submission.priority, submission.tenant) == (PriorityClass.BATCH, DEFAULT_TENANT)
    assert (submission.params, submission.idempotency_key, submission.webhook, submission.name) == ({}, "", "", "")


@given(params, st.sampled_from(PriorityClass), st.none() | st.text() | st.lists(st.text(), max_size=3))
def test_a_submission_arrives_as_it_was_sent(
    given_params: dict[str, object], priority: PriorityClass, inputs: str | list[str] | None
) -> None:
    sent = Submission("noop", inputs, given_params, priority)
    assert msgspec.json.decode(msgspec.json.encode(sent), type=Submission) == sent


@given(params)
def test_a_job_is_the_same_after_it_was_stored(given_params: dict[str, object]) -> None:
    job = Job("j0-1", "0", "t", "local", "noop", 3, "a", (REF,), given_params, PriorityClass.LIVE, 17)
    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job


@pytest.mark.parametrize("field", Job.__struct_fields__)
def test_an_accepted_job_never_changes(field: str) -> None:
    job = Job("j0-1", "0", "t", "local", "noop", 3, "a", (REF,), {}, PriorityClass.LIVE, 17)
    with pytest.raises(AttributeError):
        setattr(job, field, getattr(job, field))


def test_what_is_not_known_of_a_job_is_null_and_not_zero() -> None:
    view = JobView("j0-1", "noop", "a", JobStatus.PENDING, 0.0, "", PriorityClass.BATCH, "t", 1, 0)
    told = msgspec.to_builtins(JobPage([view], 1, 0, 50))["jobs"][0]
    assert {name for name, value in told.items() if value is None} == {
        *("eta_ms", "speed", "error", "result", "started_ms", "finished_ms", "not_before_ms", "deadline_ms"),
        "paused_ms",
    }
