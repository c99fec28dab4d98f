"""The stored and public records: what they accept, what they derive, and that they survive a round trip."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState, Fingerprint
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.job import Job, Submission
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step, TaskSpec, Wait

REF = ArtifactRef("a0-1", "a.mkv", "file:///m/a.mkv", 9, "", Fingerprint(9, "ab"))
JOB = Job("j0-1", "0", "default", "local", "noop", 1, "a", (REF,), {"echo": ""}, PriorityClass.BATCH, 1)
RECORDS: list[Any] = [
    REF,
    Artifact(REF, ArtifactState.OPEN, "0", "default", "local", 1),
    JOB,
    TaskSpec("noop", 1, "noop", "a", "default", (REF,)),
    Event("1-0", EventType.JOB_ACCEPTED, 1, job="j0-1", data={"status": "pending"}),
    Executor("cpu", 4, ("lang:en",)),
]


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
def test_a_record_is_the_same_after_a_round_trip(record: Any, codec: Any) -> None:
    assert codec.decode(codec.encode(record), type=type(record)) == record


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_cannot_be_changed(record: Any) -> None:
    with pytest.raises(AttributeError):
        setattr(record, record.__struct_fields__[0], "other")


@pytest.mark.parametrize(
    ("text", "uris"),
    [
        ('{"kind": "noop"}', []),
        ('{"kind": "noop", "input": null}', []),
        ('{"kind": "noop", "input": "file:///a"}', ["file:///a"]),
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
        '{"kind": "noop", "priority": "high"}',
        '{"kind": "noop", "params": []}',
    ],
)
def test_a_submission_that_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Submission)


@given(st.lists(st.sampled_from(["lang:en", "lang:es", "hw:cuda"])))
def test_the_order_in_which_a_node_lists_capabilities_makes_no_other_pool(capabilities: list[str]) -> None:
    one = Executor("cpu", 2, tuple(capabilities))
    two = Executor("gpu0", 2, tuple(sorted(set(capabilities), reverse=True)))
    assert one.signature.pool == two.signature.pool


@pytest.mark.parametrize(
    ("executor", "word"),
    [
        (Executor("CPU", 1, ()), "no name for an executor"),
        (Executor("cpu", 1, ("x264",)), "not a capability"),
        (Executor("cpu", 0, ()), "has 0 slots, 0 reserved; it may have 1 to 4096"),
        (Executor("cpu", 4097, ()), "has 4097 slots"),
        (Executor("cpu", 2, (), 3), "3 reserved"),
        (Executor("cpu", 2, (), -1), "-1 reserved"),
    ],
)
def test_an_executor_that_cannot_be_is_refused(executor: Executor, word: str) -> None:
    with pytest.raises(InvalidRequest, match=word):
        executor.check()


@pytest.mark.parametrize("executor", [Executor("cpu", 1, ()), Executor("gpu0", 4096, ("hw:cuda",), 4096)])
def test_an_executor_at_the_limits_is_fine(executor: Executor) -> None:
    executor.check()


def test_slots_and_reserve_are_part_of_the_pool() -> None:
    pools = {Executor("cpu", slots, (), reserve).signature.pool for slots in (1, 2) for reserve in (0, 1)}
    assert len(pools) == 4


@pytest.mark.parametrize(
    "step",
    [
        Expand((NewTask("a", "noop", after=("b",)),), outcome_of="a"),
        Complete({"x": 1}, (REF,), ("dropped a stream",)),
        Wait(),
    ],
)
def test_what_a_plan_returned_can_be_stored(step: Step) -> None:
    decoded: Step = msgspec.msgpack.decode(msgspec.msgpack.encode(step), type=Expand | Complete | Fail | Wait)
    assert decoded == step


def test_a_finished_task_stores_only_what_it_has() -> None:
    stored = msgspec.json.decode(msgspec.json.encode(FinishedTask("a", "noop", TaskState.DONE)))
    assert stored == {"name": "a", "step": "noop", "state": "DONE"}
