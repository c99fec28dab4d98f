"""Jobs, nodes and pools are told in words that people can read at a glance."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.cli._show import (
    JOB_HEADER,
    NODE_HEADER,
    POOL_HEADER,
    job_facts,
    job_row,
    node_notes,
    node_row,
    pool_row,
)
from mediafleet.cli._text import moment_text
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.health import Cause, Standing, Withheld
from mediafleet.domain.job import JobView, TaskSummary
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.node import ExecutorView, NodeState, NodeView, PoolView, RunningView
from mediafleet.domain.placement import Policy

JOB = JobView(
    "j0-x", "transcode", "a.mkv", JobStatus.PROCESSING, 0.5, "encoding", PriorityClass.BATCH, "default", 1_000, 1
)
CPU = ExecutorView("n0-x/cpu", "cpu", "f" * 16, 4, 1, ("kind:noop",), (RunningView("j0-x.a", "j0-x", 1),))
GPU = ExecutorView("n0-x/gpu0", "gpu0", "e" * 16, 1, 0, ("kind:noop",))
NODE = NodeView("n0-x", "studio", "0.1", NodeState.READY, 0, 1_000, (CPU, GPU))


def job(**changes: Any) -> JobView:
    return msgspec.structs.replace(JOB, **changes)


def fact(word: str, **changes: Any) -> list[str]:
    return [value for name, value in job_facts(job(**changes), now_ms=1_000) if name == word]


def test_a_row_has_a_cell_for_each_column() -> None:
    assert len(job_row(JOB, now_ms=0)) == len(JOB_HEADER)
    assert len(node_row(NODE, now_ms=0)) == len(NODE_HEADER)
    assert len(pool_row(PoolView("f" * 16, (), 1, 1, 1))) == len(POOL_HEADER)


def test_a_job_is_a_row_with_its_share_and_its_age() -> None:
    row = dict(zip(JOB_HEADER, job_row(JOB, now_ms=126_000), strict=True))
    assert row == {
        "ID": "j0-x", "KIND": "transcode", "NAME": "a.mkv", "STATUS": "processing", "DONE": "50%",
        "STAGE": "encoding", "AGE": "2:05",
    }  # fmt: skip


def test_what_a_submission_asked_for_is_shown_and_nothing_that_everybody_gets() -> None:
    usual = {word for word, _ in job_facts(JOB, now_ms=1_000)}
    asked = job(
        policy=Policy.PACK,
        urgency=-3,
        not_before_ms=2_000,
        deadline_ms=90_000,
        limits={"tries": 2, "queue": 0},
        after=("j0-y",),
    )
    facts = [fact for fact in job_facts(asked, now_ms=1_000) if fact[0] not in usual]
    assert facts == [
        ("not before", moment_text(2_000)),
        ("deadline", moment_text(90_000)),
        ("policy", "pack"),
        ("urgency", "-3"),
        ("limit", "tries 2"),
        ("after", "j0-y"),
    ]
    assert datetime.strptime(moment_text(90_000), "%Y-%m-%d %H:%M:%S %z").timestamp() == 90


@given(st.integers(0, 1_000))
def test_nothing_is_younger_than_now_even_where_clocks_differ(behind_ms: int) -> None:
    now_ms = JOB.created_ms - behind_ms
    assert job_row(JOB, now_ms=now_ms)[-1] == "0.0 s"
    assert ("age", "0.0 s") in job_facts(JOB, now_ms=now_ms)
    assert node_row(NODE, now_ms=now_ms)[-1] == "0.0 s ago"


def test_the_facts_of_a_job_begin_with_what_it_is_and_how_far() -> None:
    assert job_facts(JOB, now_ms=9_300)[:5] == [
        ("id", "j0-x"), ("kind", "transcode"), ("name", "a.mkv"), ("status", "processing 50% encoding"), ("age", "8.3 s"),
    ]  # fmt: skip


def test_a_job_without_a_stage_has_no_blank_at_the_end_of_its_status() -> None:
    assert fact("status", stage="", progress=0.0) == ["processing 0%"]


def test_how_long_a_job_took_is_told_only_once_it_is_over() -> None:
    assert fact("took", started_ms=2_000, finished_ms=4_500) == ["2.5 s"]
    assert not fact("took", started_ms=2_000)
    assert not fact("took", finished_ms=4_500)


def test_inputs_are_shown_by_address_and_uploads_by_name() -> None:
    inputs = (ArtifactRef("a0-x", "a.mkv", uri="file:///m/a.mkv"), ArtifactRef("a0-y", "b.mkv", size=2048))
    assert fact("input", inputs=inputs) == ["file:///m/a.mkv", "b.mkv (2.0 KiB)"]


def test_the_result_is_told_in_human_units() -> None:
    assert fact("result", result={"size": 2048, "encode_s": 125.2}) == ["size = 2.0 KiB", "encode = 2:05"]
    assert not fact("result", result=None)


def test_params_outputs_and_warnings_have_a_line_each() -> None:
    assert fact("param", params={"crf": 20, "preset": "hevc"}) == ["crf = 20", "preset = hevc"]
    outputs = (ArtifactRef("a0-x", "a.mp4", size=1536), ArtifactRef("a0-y", "b.srt"))
    assert fact("output", outputs=outputs) == ["a.mp4 (1.5 KiB)", "b.srt"]
    assert fact("warning", warnings=("One.", "Two.")) == ["One.", "Two."]


def test_the_error_is_a_sentence_and_absent_where_there_is_none() -> None:
    assert fact("error", error=ErrorInfo("task-failed", "It broke.")) == ["It broke."]
    assert not fact("error")


def test_tasks_say_where_they_run_as_soon_as_that_is_known() -> None:
    tasks = (TaskSummary("j0-x.a", TaskState.ACKED, 2, executor="n0-x/cpu"), TaskSummary("j0-x.b", TaskState.NEW))
    assert fact("task", tasks=tasks) == ["j0-x.a ACKED attempt 2 n0-x/cpu", "j0-x.b NEW attempt 0"]


def test_a_node_is_a_row_with_its_executors_and_what_they_run() -> None:
    row = dict(zip(NODE_HEADER, node_row(NODE, now_ms=3_500), strict=True))
    assert row == {
        "ID": "n0-x", "HOST": "studio", "STATE": "ready", "EXECUTORS": "cpu 1/4, gpu0 0/1", "RUNNING": "j0-x",
        "SEEN": "2.5 s ago",
    }  # fmt: skip


@pytest.mark.parametrize(("executors", "shown"), [((), ("none", "–")), ((GPU,), ("gpu0 0/1", "–"))])
def test_a_node_that_runs_nothing_says_so(executors: tuple[ExecutorView, ...], shown: tuple[str, str]) -> None:
    assert node_row(msgspec.structs.replace(NODE, executors=executors), now_ms=0)[3:5] == shown


def test_a_pool_is_a_row_with_room_and_capabilities() -> None:
    pool = PoolView("f" * 16, ("encoder:libx264", "kind:transcode"), slots=8, executors=2, free=3)
    assert pool_row(pool) == ("f" * 16, "2", "8", "3", "encoder:libx264 kind:transcode")


def test_a_node_that_takes_all_work_needs_no_words() -> None:
    assert node_notes(NODE) == []
    assert node_notes(msgspec.structs.replace(NODE, state=NodeState.OFFLINE, reason="It is gone.")) == []


def test_a_node_says_why_it_takes_no_work_and_what_its_executors_do_without() -> None:
    entry = Withheld("asr:vosk", Standing.OUT, Cause.MISSING, 1)
    executors = (msgspec.structs.replace(GPU, withheld=(entry,)),)
    view = msgspec.structs.replace(NODE, state=NodeState.DEGRADED, reason="Too little is free.", executors=executors)
    assert node_notes(view) == ["studio is degraded: Too little is free.", f"{GPU.id}: {entry.sentence}"]
