"""Bytes that no record names go away; all others stay."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests_support.store_driver import announce

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import Unavailable
from mediafleet.domain.ids import new_artifact_id
from mediafleet.scheduler.sweeper import Sweeper
from mediafleet.store import Store

KEEP_MS = 60_000


async def one_byte() -> AsyncIterator[bytes]:
    yield b"x"


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """The blobs of the instance `i-1`."""
    return BlobStore(tmp_path / "blobs", owner="i-1")


@pytest.fixture
def sweeper(store: Store, blobs: BlobStore) -> Sweeper:
    """The sweeper of the instance `i-1`."""
    return Sweeper("i-1", store, blobs, SystemClock(), keep_ms=KEEP_MS)


async def put(blobs: BlobStore, key: str, *, age_ms: int) -> None:
    """Store a blob that was complete so long ago."""
    await blobs.put(key, one_byte(), size=1)
    then = (SystemClock().now_ms() - age_ms) / 1000
    os.utime(blobs.local_path(key), (then, then))


async def keys(blobs: BlobStore) -> set[str]:
    return {key async for key in blobs.list_keys()}


async def test_old_bytes_without_a_record_go(sweeper: Sweeper, blobs: BlobStore) -> None:
    await put(blobs, new_artifact_id("0"), age_ms=2 * KEEP_MS)
    assert await sweeper.sweep() == 1
    assert await keys(blobs) == set()


async def test_bytes_with_a_record_stay_however_old(sweeper: Sweeper, blobs: BlobStore, store: Store) -> None:
    kept = new_artifact_id("0")
    await put(blobs, kept, age_ms=1000 * KEEP_MS)
    doc = f'{{"ref":{{"id":"{kept}","name":"a"}},"state":"open","cell":"0","tenant":"default",'
    doc += f'"principal":"local","created_ms":1,"blob":"{kept}","grant":""}}'
    await store.open_artifact(kept, doc=doc, state="open", retention_ms=1000)
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


async def test_half_written_bytes_of_instances_that_live_stay(
    sweeper: Sweeper, blobs: BlobStore, store: Store, tmp_path: Path
) -> None:
    await announce(store, "i-2")
    staging = tmp_path / "blobs" / ".staging"
    for owner in ("i-1", "i-2", "i-dead"):
        (staging / owner).mkdir(parents=True)
        (staging / owner / "half").write_bytes(b"x")
    await sweeper.sweep()
    assert {folder.name for folder in staging.iterdir()} == {"i-1", "i-2"}


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
