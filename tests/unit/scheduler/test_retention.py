"""What is let go leaves neither records nor bytes; what somebody uses stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from scheduler_parts import Parts
from tests_support.blob_maker import put_blob, stage
from tests_support.store_driver import RETENTION_MS

from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState
from mediafleet.domain.errors import NotFound
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.plan import Expand, NewTask
from mediafleet.kinds.noop import KIND
from mediafleet.scheduler.retention import GONE
from mediafleet.scheduler.tasks import job_record
from mediafleet.store.scripts import as_text


async def artifact(parts: Parts, name: str, *, state: ArtifactState = ArtifactState.COMPLETE) -> str:
    blob = f"a0-{name}"
    record = Artifact(ArtifactRef(blob, name, size=5), state, "0", "default", "local", 1, blob)
    await parts.store.open_artifact(blob, doc=as_text(record), state=state, retention_ms=RETENTION_MS)
    if state is ArtifactState.COMPLETE:
        await put_blob(parts.blobs, blob, b"bytes")
    return blob


async def job_with(parts: Parts, *inputs: str, tasks: int = 1) -> str:
    refs = tuple(ArtifactRef(name, name, "file:///x") for name in inputs)
    made = Job("j0-user", "0", "default", "local", "noop", 1, "", refs, {}, PriorityClass.BATCH, 1)
    waits = [name for name in inputs if not (parts.blobs.local_path(name)).exists()]
    step = Expand(tuple(NewTask(f"t{number}", "noop", inputs=refs) for number in range(tasks)))
    record, queues = job_record(made, step, KIND, key="", waits=waits, retention_ms=1_000)
    await parts.store.submit([record], queues)
    return made.id


async def test_an_artifact_that_nobody_uses_goes_with_its_bytes(parts: Parts) -> None:
    name = await artifact(parts, "old")
    await parts.retention.let_go([], [name])
    assert await parts.store.read.artifact(name) is None
    with pytest.raises(NotFound):
        await parts.blobs.size(name)


async def test_an_upload_that_nobody_went_on_with_goes_with_what_came_of_it(parts: Parts) -> None:
    name = await artifact(parts, "half", state=ArtifactState.OPEN)
    await stage(parts.blobs, name, b"by")
    await parts.retention.let_go([], [name])
    assert await parts.store.read.artifact(name) is None
    assert await parts.blobs.list_staged(before_ms=2**60) == []


async def test_an_artifact_that_a_job_uses_stays_with_its_bytes(parts: Parts) -> None:
    name = await artifact(parts, "used")
    await job_with(parts, name)
    await parts.retention.let_go([], [name])
    assert await parts.store.read.artifact(name) is not None
    assert await parts.blobs.size(name) == 5


async def test_whether_an_artifact_went_is_told(parts: Parts) -> None:
    name = await artifact(parts, "used")
    await job_with(parts, name)
    assert await parts.retention.drop_artifact(name, error=GONE, unused=True) is False
    assert await parts.retention.drop_artifact(name, error=GONE, unused=False) is True


async def test_a_job_whose_upload_never_came_fails_with_a_sentence(parts: Parts) -> None:
    name = await artifact(parts, "late", state=ArtifactState.OPEN)
    job = await job_with(parts, name)
    await parts.retention.let_go([], [name])
    view = await parts.job(job)
    assert (view.status, view.error) == (JobStatus.FAILED, GONE)


async def test_a_file_used_in_place_is_forgotten_and_not_removed(parts: Parts, tmp_path: Path) -> None:
    file = tmp_path / "film.mkv"
    file.write_bytes(b"film")
    record = Artifact(
        ArtifactRef("a0-film", "film.mkv", file.as_uri()), ArtifactState.COMPLETE, "0", "default", "local", 1
    )
    await parts.store.open_artifact("a0-film", doc=as_text(record), state="complete", retention_ms=RETENTION_MS)
    await parts.retention.let_go([], ["a0-film"])
    assert await parts.store.read.artifact("a0-film") is None
    assert file.read_bytes() == b"film"


async def test_what_is_gone_already_is_let_go_again_without_complaint(parts: Parts) -> None:
    await parts.retention.let_go(["j0-gone"], ["a0-gone"])
    assert await parts.driver.key_names() == {parts.store.keys.schema}


async def test_a_forgotten_job_leaves_its_inputs_to_the_next_tick(parts: Parts) -> None:
    name = await artifact(parts, "input")
    job = await job_with(parts, name)
    await parts.planner.cancel(job)
    await parts.retention.let_go([job], [])
    assert await parts.store.read.job(job) is None
    assert (await parts.driver.reap()).artifacts == [name]


async def test_a_job_of_more_tasks_than_one_call_takes_is_forgotten_whole(parts: Parts) -> None:
    job = await parts.driver.submit_one(*(f"t{number}" for number in range(300)))
    await parts.planner.cancel(job)
    await parts.retention.forget_job(job)
    assert [name for name in await parts.driver.key_names() if job in name] == []


async def test_a_job_that_has_not_ended_is_not_forgotten(parts: Parts) -> None:
    job = await job_with(parts)
    await parts.retention.forget_job(job)
    assert (await parts.job(job)).status is JobStatus.PENDING
