"""What a plan is given and what it returns: stored as it is, with limits that are there without being named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import Requirement
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.plan import (
    Complete,
    Expand,
    Fail,
    FinishedTask,
    NewTask,
    Step,
    TaskLimits,
    TaskResult,
    TaskSpec,
    Wait,
)

REF = ArtifactRef("a0-1", "a.mkv")
payloads = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), max_size=4)
sentences = st.lists(st.text(), max_size=3).map(tuple)
limits = st.builds(TaskLimits, st.integers(1, 9), st.integers(0, 2**40))
tasks = st.builds(
    NewTask,
    st.text(),
    st.text(),
    st.just(Requirement(("hw:cuda",), 2)),
    st.just((REF,)),
    payloads,
    sentences,
    limits=limits,
)
steps = st.one_of(
    st.builds(Expand, st.lists(tasks, max_size=3).map(tuple), st.text()),
    st.builds(Complete, payloads, st.just((REF,)), sentences),
    st.builds(Fail, st.builds(ErrorInfo, st.text(), st.text(), st.booleans(), st.text())),
    st.just(Wait()),
)


@given(steps)
def test_what_a_plan_returned_can_be_stored(step: Step) -> None:
    codecs: tuple[Any, ...] = (msgspec.json, msgspec.msgpack)
    for codec in codecs:
        assert codec.decode(codec.encode(step), type=Step) == step


def test_the_word_of_each_step_stays_the_same() -> None:
    assert [kind.__struct_config__.tag for kind in (Expand, Complete, Fail, Wait)] == [
        *("expand", "complete", "fail", "wait")
    ]


def test_a_task_that_names_no_limits_has_three_tries_and_all_the_time_it_needs() -> None:
    assert NewTask("a", "encode").limits == TaskLimits(max_tries=3, total_ms=0)


def test_a_task_that_names_nothing_takes_one_slot_and_its_full_share_of_the_progress() -> None:
    task = NewTask("a", "encode")
    assert (task.requirement, task.weight, task.after, task.inputs) == (Requirement((), 1), 1.0, (), ())


def test_a_finished_task_stores_only_what_it_has() -> None:
    stored = msgspec.to_builtins(FinishedTask("a", "noop", TaskState.DONE))
    assert stored == {"name": "a", "step": "noop", "state": "DONE"}


@given(payloads, payloads, limits)
def test_a_node_gets_the_task_as_its_plan_made_it(
    payload: dict[str, Any], params: dict[str, Any], given_limits: TaskLimits
) -> None:
    spec = TaskSpec("noop", 1, "noop", "a", "t", (REF,), payload, params, 0.5, given_limits)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=TaskSpec) == spec


@given(payloads, sentences)
def test_a_result_is_the_same_after_the_way_through_the_store(
    result: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    sent = TaskResult(result, (REF,), warnings)
    assert msgspec.json.decode(msgspec.json.encode(sent), type=TaskResult) == sent


def test_a_handler_that_returns_nothing_has_an_empty_result() -> None:
    assert msgspec.json.encode(TaskResult()) == b"{}"
    assert msgspec.json.decode(b"{}", type=TaskResult) == TaskResult({}, (), ())


@pytest.mark.parametrize("text", ['{"type": "retry"}', "{}", '{"type": "fail"}', '{"type": "expand"}'])
def test_what_is_no_step_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Step)
