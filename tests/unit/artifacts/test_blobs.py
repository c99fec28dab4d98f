"""Complete blobs: read in any span, listed and removed; how they come to be is in `test_staging.py`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_support.blob_maker import put_blob, stage

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.artifacts.disk import BLOCK_BYTES
from mediafleet.domain.errors import ConfigError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LARGE = os.urandom(3 * BLOCK_BYTES + 17)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "artifacts")


async def content_of(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def keys_of(blobs: BlobStore, prefix: str = "") -> list[str]:
    return sorted([key async for key in blobs.list_keys(prefix)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(start=st.integers(0, 40), length=st.none() | st.integers(0, 40), chunk_bytes=st.integers(1, 9))
async def test_any_span_is_streamed_and_never_more(
    tmp_path: Path, start: int, length: int | None, chunk_bytes: int
) -> None:
    blobs = BlobStore(tmp_path)
    await put_blob(blobs, "k", LARGE[:30])
    span = LARGE[:30][start : None if length is None else start + length]
    assert await content_of(blobs.stream("k", start=start, length=length, chunk_bytes=chunk_bytes)) == span


async def test_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    await put_blob(blobs, "empty", b"")
    assert await blobs.sha256("empty") == hashlib.sha256().hexdigest()
    assert await blobs.size("empty") == 0
    assert await content_of(blobs.stream("empty")) == b""


async def test_deleting_twice_is_fine_and_missing_blobs_are_not_found(blobs: BlobStore) -> None:
    await put_blob(blobs, "a/b/c", b"x")
    await blobs.delete("a/b/c")
    await blobs.delete("a/b/c")
    assert not blobs.local_path("a").exists()
    with pytest.raises(NotFound, match="a/b/c"):
        await blobs.size("a/b/c")
    with pytest.raises(NotFound):
        await content_of(blobs.stream("a/b/c"))


async def test_a_hash_is_that_of_all_bytes(blobs: BlobStore) -> None:
    await put_blob(blobs, "k", LARGE)
    assert await blobs.sha256("k") == hashlib.sha256(LARGE).hexdigest()
    with pytest.raises(NotFound):
        await blobs.sha256("none")


async def test_what_is_staged_is_no_blob_and_goes_with_its_key(blobs: BlobStore) -> None:
    await stage(blobs, "k", b"half")
    assert await keys_of(blobs) == []
    with pytest.raises(NotFound):
        await blobs.size("k")
    await blobs.delete("k")
    with pytest.raises(NotFound, match="Nothing of an upload 'k'"):
        await blobs.staged_size("k")


async def test_blob_deleted_under_a_reader_is_not_found(blobs: BlobStore) -> None:
    await put_blob(blobs, "k", LARGE)
    reading = blobs.stream("k")
    await anext(reading)
    await blobs.delete("k")
    with pytest.raises(NotFound):
        await content_of(reading)


async def test_keys_are_listed_by_prefix_and_lie_where_local_path_says(blobs: BlobStore) -> None:
    for key in ("a/1", "a/2", "b/1"):
        await put_blob(blobs, key, key.encode())
    assert await keys_of(blobs) == ["a/1", "a/2", "b/1"]
    assert await keys_of(blobs, "a") == ["a/1", "a/2"]
    assert blobs.local_path("b/1").read_bytes() == b"b/1"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        ".staging/x",
        "a/.hidden",
        "a\0",
        "a#1",
        "a b",
        "é",
        "a/",
        "x" * 101,
    ],
)
async def test_key_that_could_lead_elsewhere_is_refused(blobs: BlobStore, key: str) -> None:
    with pytest.raises(InvalidRequest, match="no key"):
        blobs.local_path(key)
    with pytest.raises(InvalidRequest):
        await blobs.begin(key)
    with pytest.raises(InvalidRequest):
        await blobs.delete(key)
    with pytest.raises(InvalidRequest):
        await blobs.size(key)


async def test_keys_may_be_listed_by_the_time_they_were_complete(blobs: BlobStore) -> None:
    await put_blob(blobs, "k", b"x")
    stored_ms = int(blobs.local_path("k").stat().st_mtime * 1000)
    assert [key async for key in blobs.list_keys(before_ms=stored_ms + 1000)] == ["k"]
    assert [key async for key in blobs.list_keys(before_ms=stored_ms - 1000)] == []


def test_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"artifacts\.root"):
        BlobStore(tmp_path / "file" / "below")
