"""The plan of a job: one task that goes where the encoders are."""

from __future__ import annotations

import msgspec
import pytest
from transcode_samples import params

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.plan import Expand
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.transcode import KIND
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.plan import needed_encoders, plan_transcode

INPUT = ArtifactRef(id="a0-x", name="film.mkv", uri="file:///m/film.mkv")


def job(wanted: TranscodeParams) -> Job:
    return Job(
        id="j0-x",
        cell="0",
        tenant="default",
        principal="local",
        kind="transcode",
        kind_version=1,
        name="film.mkv",
        inputs=(INPUT,),
        params=msgspec.to_builtins(wanted),
        priority=PriorityClass.BATCH,
        created_ms=0,
    )


def test_one_task_makes_the_outcome() -> None:
    step = plan_transcode(job(params(preset="hevc", chunks="never")), ())
    assert isinstance(step, Expand)
    assert step.outcome_of == "transcode"
    (task,) = step.tasks
    assert task.inputs == (INPUT,)
    assert task.requirement.capabilities == ("encoder:aac", "encoder:libx265")
    assert task.step in KIND.handlers


@pytest.mark.parametrize(
    ("values", "encoders"),
    [
        ({}, ("aac", "libx264")),
        ({"preset": "av1"}, ("libopus", "libsvtav1")),
        ({"preset": "av1", "container": "mp4"}, ("libopus", "libsvtav1")),
        ({"preset": "av1", "container": "mov"}, ("aac", "libsvtav1")),
        ({"preset": "mp3"}, ("libmp3lame",)),
        ({"preset": "copy"}, ()),
        ({"audio": {"codec": "none"}}, ("libx264",)),
        ({"audio": {"codec": "copy"}}, ("libx264",)),
        ({"audio": {"codec": "mp3"}}, ("libmp3lame", "libx264")),
    ],
)
def test_a_node_needs_the_encoders_that_may_run(values: dict[str, object], encoders: tuple[str, ...]) -> None:
    assert needed_encoders(params(**values)) == encoders


def test_the_kind_is_found_by_its_entry_point() -> None:
    assert KindRegistry.installed().get("transcode") is KIND
    assert (KIND.capability, KIND.inputs) == ("kind:transcode@2", (1, 1))
    assert KIND.versions == (1, 2), "jobs of the first version go on"
