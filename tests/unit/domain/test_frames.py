"""The node protocol on the wire: tagged JSON that both sides read back, and newer peers can extend."""

from __future__ import annotations

import contextlib
import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain import frames
from mediafleet.domain.cells import grant_prefix
from mediafleet.domain.errors import ErrorInfo, InvalidRequest
from mediafleet.domain.frames import (
    MAX_FRAME_BYTES,
    Assignment,
    AttemptRef,
    JobAssign,
    JobCancel,
    Outcome,
    Progress,
    check_node_frame,
    decode_node_frame,
    decode_scheduler_frame,
    encode_frame,
)
from mediafleet.domain.ids import new_job_id, new_token, task_id
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult, TaskSpec

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
words = st.text(max_size=20)
facts = st.dictionaries(words, scalars, max_size=3)
refs = st.lists(st.builds(AttemptRef, words, words), max_size=3).map(tuple)
shares = st.floats(0, 1)
executors = st.lists(st.builds(Executor, words, st.integers(1, 9), st.lists(words).map(tuple)), max_size=2).map(tuple)
results = st.builds(TaskResult, facts, st.just(()), st.lists(words).map(tuple))
errors = st.builds(ErrorInfo, words, words, st.booleans(), words)
outcomes = (
    st.builds(Outcome, words, words, result=results)
    | st.builds(Outcome, words, words, error=errors)
    | st.builds(Outcome, words, words, cancelled=st.sampled_from([True]))
)
updates = st.builds(Progress, words, words, shares, words, st.none() | shares, st.none() | st.integers(0, 2**40))
node_frames = st.one_of(
    st.builds(
        frames.Register,
        st.just(1),
        words,
        words.filter(bool),
        words,
        words,
        executors,
        refs,
        refs,
        st.booleans(),
        facts,
    ),
    st.builds(frames.Heartbeat, refs, st.dictionaries(words, shares, max_size=3)),
    st.builds(frames.JobAck, refs),
    st.builds(frames.JobReject, words, words, words, words),
    st.builds(frames.JobProgress, st.lists(updates, max_size=3).map(tuple)),
    st.builds(frames.JobResults, st.lists(outcomes, max_size=3).map(tuple)),
    st.builds(frames.Misc, words, facts, executors),
)
milliseconds = st.integers(0, 2**40)
scheduler_frames = st.one_of(
    st.builds(frames.Registered, words, milliseconds, milliseconds, refs, refs, st.booleans()),
    st.builds(JobCancel, refs, words),
    st.builds(frames.JobResultAck, refs),
    st.builds(frames.Drain, st.booleans()),
    st.just(frames.Ping()),
)

REF = AttemptRef("j0-1.a", "grant")
FROM_NODE: list[Any] = [
    frames.Register(1, "n0-a", "inc", "host", "0.1.0", (Executor("cpu", 2, ("lang:en",)),), running=(REF,)),
    frames.Heartbeat((REF,), {"cpu": 0.5}),
    frames.JobAck((REF,)),
    frames.JobReject("j0-1.a", "grant", "no room"),
    frames.JobProgress((Progress("j0-1.a", "grant", 0.5, "encoding", 2.0, 900),)),
    frames.JobResults((Outcome("j0-1.a", "grant", result=TaskResult({"echo": "x"})),)),
    frames.Misc("log", {"line": "hello"}),
]
FROM_SCHEDULER: list[Any] = [
    frames.Registered("n0-a", 5_000, 15_000, keep=(REF,)),
    JobCancel((REF,), "the user"),
    frames.JobResultAck((REF,)),
    frames.Drain(),
    frames.Ping(),
    frames.SetLogLevels({"mediafleet.node": "debug"}),
]
TYPES_FROM_NODE = ["register", "heartbeat", "job_ack", "job_reject", "job_progress", "job_result", "misc"]
TYPES_FROM_SCHEDULER = ["registered", "job_cancel", "job_result_ack", "drain", "ping", "log_levels"]


@pytest.mark.parametrize("frame", FROM_NODE)
def test_the_scheduler_reads_what_a_node_writes(frame: Any) -> None:
    assert decode_node_frame(encode_frame(frame)) == frame


@pytest.mark.parametrize("frame", FROM_SCHEDULER)
def test_a_node_reads_what_the_scheduler_writes(frame: Any) -> None:
    assert decode_scheduler_frame(encode_frame(frame)) == frame


@given(node_frames)
def test_whatever_a_node_says_arrives_as_it_was_said(frame: Any) -> None:
    assert decode_node_frame(encode_frame(frame)) == frame


@given(scheduler_frames)
def test_whatever_the_scheduler_says_arrives_as_it_was_said(frame: Any) -> None:
    assert decode_scheduler_frame(encode_frame(frame)) == frame


@given(node_frames, st.dictionaries(st.from_regex(r"new_[a-z]+", fullmatch=True), scalars, max_size=3))
def test_whatever_a_newer_node_adds_is_ignored(frame: Any, added: dict[str, Any]) -> None:
    extended = json.loads(encode_frame(frame)) | added
    assert decode_node_frame(json.dumps(extended)) == frame


@given(st.binary(max_size=200))
def test_no_bytes_whatever_make_the_scheduler_fail_in_another_way(noise: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        decode_node_frame(noise)


@given(node_frames)
def test_neither_side_takes_the_words_of_its_own_for_those_of_the_other(frame: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_scheduler_frame(encode_frame(frame))


def test_no_two_frames_share_a_word() -> None:
    words_used = [json.loads(encode_frame(frame))["type"] for frame in [*FROM_NODE, *FROM_SCHEDULER]] + ["job_assign"]
    assert len(set(words_used)) == len(get_args(frames.NodeFrame)) + len(get_args(frames.SchedulerFrame))


def test_progress_that_knows_no_speed_says_nothing_of_it() -> None:
    assert json.loads(encode_frame(Progress("t", "g", 0.5))) == {"task": "t", "grant": "g", "fraction": 0.5}


def test_a_heartbeat_of_an_idle_node_still_names_what_it_runs() -> None:
    idle: dict[str, Any] = {"type": "heartbeat", "running": [], "load": {}, "ran": {}}
    assert json.loads(encode_frame(frames.Heartbeat())) == idle


def test_the_word_of_each_frame_is_part_of_the_public_protocol() -> None:
    written = [json.loads(encode_frame(frame))["type"] for frame in [*FROM_NODE, *FROM_SCHEDULER]]
    assert written == TYPES_FROM_NODE + TYPES_FROM_SCHEDULER


def make_assignment(payload: dict[str, Any]) -> Assignment:
    spec = TaskSpec("noop", 1, "noop", "a", "default", payload=payload)
    return Assignment("j0-1.a", "grant", 1, "cpu", 1, "j0-1", msgspec.Raw(msgspec.json.encode(spec)))


@given(st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text() | st.booleans() | st.none()))
def test_the_spec_inside_an_assignment_arrives_as_it_was_stored(payload: dict[str, Any]) -> None:
    frame = decode_scheduler_frame(encode_frame(JobAssign((make_assignment(payload),))))
    assert isinstance(frame, JobAssign)
    assert msgspec.json.decode(frame.assignments[0].spec, type=TaskSpec).payload == payload


def test_a_whole_batch_of_assignments_fits_into_one_frame() -> None:
    batch = JobAssign(tuple(make_assignment({"arguments": ["x" * 100] * 100}) for _ in range(64)))
    assert len(encode_frame(batch)) < MAX_FRAME_BYTES / 4


@pytest.mark.parametrize(
    ("decode", "text"),
    [
        (decode_node_frame, '{"type": "heartbeat", "running": [], "new_in_version_2": 1}'),
        (decode_scheduler_frame, '{"type": "ping", "why": "curious"}'),
    ],
)
def test_a_field_of_a_newer_peer_is_ignored(decode: Any, text: str) -> None:
    decode(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type": "hello"}',
        '{"type": "job_assign", "assignments": []}',
        '{"type": "job_ack", "attempts": [1]}',
    ],
)
def test_a_frame_that_no_node_may_send_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_node_frame(text)


def test_an_outcome_says_only_what_happened() -> None:
    failed = Outcome("j0-1.a", "g", error=ErrorInfo("task-failed", "No."))
    assert set(json.loads(encode_frame(failed))) == {"task", "grant", "error"}


@pytest.mark.parametrize("eta_ms", [-1, 2**53 + 1, 2**70])
def test_a_number_that_the_store_could_not_keep_is_refused_with_its_frame(eta_ms: int) -> None:
    update = {"task": "t", "grant": "g", "fraction": 0.5, "eta_ms": eta_ms}
    frame = msgspec.json.encode({"type": "job_progress", "updates": [update]})
    with pytest.raises(msgspec.ValidationError):
        decode_node_frame(frame)


@pytest.mark.parametrize(
    "ways", [{}, {"result": {}, "error": {"code": "c", "message": "m"}}, {"result": {}, "cancelled": True}]
)
def test_an_outcome_is_exactly_one_of_its_three_kinds(ways: dict[str, Any]) -> None:
    frame = {"type": "job_result", "outcomes": [{"task": "t", "grant": "g", **ways}]}
    with pytest.raises(msgspec.ValidationError, match="exactly one of result, error and cancelled"):
        decode_node_frame(json.dumps(frame))


@pytest.mark.parametrize("field", [{"incarnation": ""}, {"incarnation": "x" * 101}, {"host": "h" * 256}])
def test_a_node_cannot_register_under_what_nobody_could_show(field: dict[str, str]) -> None:
    frame = {"type": "register", "protocol": 1, "node": "n0-a", "incarnation": "i", "host": "h", "version": "1"}
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{next(iter(field))}"):
        decode_node_frame(json.dumps({**frame, "executors": [], **field}))


# --- words that become part of the names of keys -----------------------------------------------


def frames_about(task: str, grant: str) -> list[frames.NodeFrame]:
    """Return one frame of each place in which a node names an attempt, a good one before it."""
    named = (AttemptRef("j0-a.encode", "g"), AttemptRef(task, grant))
    register = frames.Register(1, "n0-a", "i", "host", "1", (), running=named)
    return [
        register,
        msgspec.structs.replace(register, running=(), holding=named),
        frames.Heartbeat(named),
        frames.JobAck(named),
        frames.JobReject(task, grant, "no"),
        frames.JobProgress((Progress("j0-a.encode", "g", 0.5), Progress(task, grant, 0.5))),
        frames.JobResults((Outcome("j0-a.encode", "g", cancelled=True), Outcome(task, grant, cancelled=True))),
    ]


def test_each_frame_that_names_attempts_is_among_those_that_are_checked() -> None:
    named = (AttemptRef, frames.JobReject, Progress, Outcome)
    about = {
        frame
        for frame in get_args(frames.NodeFrame)
        if "grant" in frame.__annotations__ or any(name.__name__ in str(frame.__annotations__) for name in named)
    }
    assert {type(frame) for frame in frames_about("t", "g")} == about


def test_what_the_fleet_names_attempts_by_may_be_said() -> None:
    task = task_id(new_job_id("cell16characters"), "a" * 40)
    for frame in frames_about(task, grant_prefix("cell16characters") + new_token()):
        check_node_frame(frame)
    check_node_frame(frames.Misc("log"))


@pytest.mark.parametrize(
    "word", ["", "j0-a.encode:children", "j0-a.b|c", "a b", "a/b", "a\n", "é", "\x00", "a" * 161, "{1}", "*"]
)
def test_what_would_name_another_key_is_refused_with_a_sentence(word: str) -> None:
    for frame in [*frames_about(word, "g"), *frames_about("j0-a.encode", word)]:
        with pytest.raises(InvalidRequest, match=r"is no (id of a task|grant); say the one of the assignment"):
            check_node_frame(frame)
