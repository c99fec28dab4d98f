"""Bytes that no record names go away; all others stay."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests_support.blob_maker import put_blob, stage

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import Unavailable
from mediafleet.domain.ids import new_artifact_id
from mediafleet.scheduler.sweeper import Sweeper
from mediafleet.store import Store
from mediafleet.store.scripts import as_text

KEEP_MS = 60_000


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def sweeper(store: Store, blobs: BlobStore) -> Sweeper:
    return Sweeper(store, blobs, SystemClock(), keep_ms=KEEP_MS)


async def put(blobs: BlobStore, key: str, *, age_ms: int) -> None:
    """Store a blob that was complete so long ago."""
    await put_blob(blobs, key, b"x")
    age(blobs.local_path(key), age_ms)


def age(path: Path, age_ms: int) -> None:
    then = (SystemClock().now_ms() - age_ms) / 1000
    os.utime(path, (then, then))


async def put_staged(blobs: BlobStore, key: str, *, age_ms: int) -> None:
    """Begin an upload, of which nothing moved for so long."""
    await stage(blobs, key, b"x")
    folder = blobs.local_path(key).parent / ".staging" / key
    for path in [*folder.iterdir(), folder]:
        age(path, age_ms)


async def record(store: Store, key: str, state: ArtifactState) -> None:
    artifact = Artifact(ArtifactRef(key, "a"), state, "0", "default", "local", 1, blob=key)
    await store.open_artifact(key, doc=as_text(artifact), state=state, retention_ms=1000)


async def keys(blobs: BlobStore) -> set[str]:
    return {key async for key in blobs.list_keys()}


async def test_old_bytes_without_a_record_go(sweeper: Sweeper, blobs: BlobStore) -> None:
    await put(blobs, new_artifact_id("0"), age_ms=2 * KEEP_MS)
    assert await sweeper.sweep() == 1
    assert await keys(blobs) == set()


async def test_bytes_with_a_record_stay_however_old(sweeper: Sweeper, blobs: BlobStore, store: Store) -> None:
    kept = new_artifact_id("0")
    await put(blobs, kept, age_ms=1000 * KEEP_MS)
    await record(store, kept, ArtifactState.OPEN)
    assert await sweeper.sweep() == 0
    assert await keys(blobs) == {kept}


async def test_young_bytes_are_left_alone(sweeper: Sweeper, blobs: BlobStore) -> None:
    await put(blobs, young := new_artifact_id("0"), age_ms=0)
    assert await sweeper.sweep() == 0
    assert await keys(blobs) == {young}


@pytest.mark.parametrize("foreign", ["notes.txt", "other/folder/a0-x", "a1-0123456789abcdef"])
async def test_what_is_not_of_this_cell_is_left_alone(sweeper: Sweeper, blobs: BlobStore, foreign: str) -> None:
    await put(blobs, foreign, age_ms=2 * KEEP_MS)
    assert await sweeper.sweep() == 0
    assert await keys(blobs) == {foreign}


async def test_an_upload_without_a_record_goes_once_nothing_moved_for_long(sweeper: Sweeper, blobs: BlobStore) -> None:
    await put_staged(blobs, old := new_artifact_id("0"), age_ms=2 * KEEP_MS)
    await put_staged(blobs, young := new_artifact_id("0"), age_ms=0)
    assert await sweeper.sweep() == 1
    assert await blobs.list_staged(before_ms=2**60) == [young]
    assert old != young


async def test_an_open_upload_stays_however_long_nothing_moved(
    sweeper: Sweeper, blobs: BlobStore, store: Store
) -> None:
    await put_staged(blobs, kept := new_artifact_id("0"), age_ms=1000 * KEEP_MS)
    await record(store, kept, ArtifactState.OPEN)
    assert await sweeper.sweep() == 0
    assert await blobs.staged_size(kept) == 1


async def test_what_is_staged_beside_a_complete_upload_goes_and_its_bytes_stay(
    sweeper: Sweeper, blobs: BlobStore, store: Store
) -> None:
    kept = new_artifact_id("0")
    await put(blobs, kept, age_ms=2 * KEEP_MS)
    await put_staged(blobs, kept, age_ms=2 * KEEP_MS)
    await record(store, kept, ArtifactState.COMPLETE)
    assert await sweeper.sweep() == 1
    assert await blobs.list_staged(before_ms=2**60) == []
    assert await keys(blobs) == {kept}


async def test_an_upload_of_another_cell_is_left_alone(sweeper: Sweeper, blobs: BlobStore) -> None:
    await put_staged(blobs, foreign := "a1-0123456789abcdef", age_ms=2 * KEEP_MS)
    assert await sweeper.sweep() == 0
    assert await blobs.staged_size(foreign) == 1


async def test_a_step_sweeps_at_once_and_then_waits(sweeper: Sweeper, blobs: BlobStore) -> None:
    await put(blobs, new_artifact_id("0"), age_ms=2 * KEEP_MS)
    step = asyncio.create_task(sweeper.step())
    async with asyncio.timeout(20):
        while await keys(blobs):  # noqa: ASYNC110 - the step under test sets no event
            await asyncio.sleep(0)
    assert not step.done()
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)


async def test_nothing_is_swept_from_a_folder_of_another_store(
    sweeper: Sweeper, blobs: BlobStore, store: Store
) -> None:
    """It is there after Redis was lost, or where two fleets were given one folder: its records are elsewhere."""
    assert await blobs.belongs_to("another")
    await put(blobs, kept := new_artifact_id("0"), age_ms=2 * KEEP_MS)
    assert await sweeper.sweep() == 0
    assert await keys(blobs) == {kept}


async def test_a_folder_stays_its_stores_over_restarts(store: Store, tmp_path: Path) -> None:
    identity = await store.identity()
    assert await store.identity() == identity
    assert [await BlobStore(tmp_path).belongs_to(identity) for _ in range(2)] == [True, True]
    assert not await BlobStore(tmp_path).belongs_to("another")


async def test_a_folder_that_cannot_be_walked_is_said_once_and_left_alone(
    sweeper: Sweeper, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> AsyncIterator[str]:
        raise Unavailable("The disk fails.")
        yield ""

    monkeypatch.setattr(blobs, "list_keys", fail)
    with capture_logs() as said:
        step = asyncio.create_task(sweeper.step())
        async with asyncio.timeout(20):
            while not said:  # noqa: ASYNC110 - a line in the log is no event
                await asyncio.sleep(0)
    assert [line["reason"] for line in said] == ["The disk fails."]
    assert not step.done()
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
