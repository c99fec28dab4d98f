"""Blobs are there whole or not at all, whatever happens while they come."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.artifacts.disk import BLOCK_BYTES
from mediafleet.domain.errors import ConfigError, InvalidRequest, NotFound, Unavailable, UploadMismatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

LARGE = os.urandom(3 * BLOCK_BYTES + 17)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "artifacts")


async def pieces(parts: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part


async def content_of(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def keys_of(blobs: BlobStore, prefix: str = "") -> list[str]:
    return sorted([key async for key in blobs.list_keys(prefix)])


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, len(LARGE)), max_size=6), chunk_bytes=st.sampled_from([1 << 18, 1 << 20, 1 << 23]))
async def test_what_was_put_comes_back_however_it_was_cut(tmp_path: Path, cuts: list[int], chunk_bytes: int) -> None:
    blobs = BlobStore(tmp_path)
    borders = [0, *sorted(cuts), len(LARGE)]
    parts = [LARGE[start:end] for start, end in itertools.pairwise(borders)]
    digest = await blobs.put("a/b", pieces(parts), size=len(LARGE))
    assert digest == hashlib.sha256(LARGE).hexdigest()
    got = [chunk async for chunk in blobs.stream("a/b", chunk_bytes=chunk_bytes)]
    assert b"".join(got) == LARGE
    assert max(map(len, got)) <= chunk_bytes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(start=st.integers(0, 40), length=st.none() | st.integers(0, 40), chunk_bytes=st.integers(1, 9))
async def test_any_span_is_streamed_and_never_more(
    tmp_path: Path, start: int, length: int | None, chunk_bytes: int
) -> None:
    blobs = BlobStore(tmp_path)
    await blobs.put("k", pieces([LARGE[:30]]), size=30)
    span = LARGE[:30][start : None if length is None else start + length]
    assert await content_of(blobs.stream("k", start=start, length=length, chunk_bytes=chunk_bytes)) == span


async def test_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    assert await blobs.put("empty", pieces([]), size=0) == hashlib.sha256().hexdigest()
    assert await blobs.size("empty") == 0
    assert await content_of(blobs.stream("empty")) == b""


async def test_announced_hash_is_checked_in_either_case(blobs: BlobStore) -> None:
    digest = hashlib.sha256(b"abc").hexdigest()
    assert await blobs.put("k", pieces([b"abc"]), size=3, sha256=digest.upper()) == digest


class Broken(Exception):
    """What a source of bytes may raise."""


async def breaking() -> AsyncGenerator[bytes]:
    yield LARGE
    raise Broken


@pytest.mark.parametrize(
    ("chunks", "size", "sha256", "error"),
    [
        (lambda: pieces([b"ab"]), 3, "", UploadMismatch),
        (lambda: pieces([b"abcd"]), 3, "", UploadMismatch),
        (lambda: pieces([LARGE, b"x"]), len(LARGE), "", UploadMismatch),
        (lambda: pieces([LARGE]), len(LARGE) + 1, "", UploadMismatch),
        (lambda: pieces([LARGE]), len(LARGE), "0" * 64, UploadMismatch),
        (breaking, len(LARGE), "", Broken),
    ],
    ids=["short", "long", "long by a byte", "short by a byte", "wrong hash", "source breaks"],
)
async def test_fault_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, chunks: Callable[[], AsyncIterator[bytes]], size: int, sha256: str, error: type[Exception]
) -> None:
    blobs = BlobStore(tmp_path)
    await blobs.put("old", pieces([b"old"]), size=3)
    for key in ("old", "new"):
        with pytest.raises(error):
            await blobs.put(key, chunks(), size=size, sha256=sha256)
    assert await keys_of(blobs) == ["old"]
    assert await content_of(blobs.stream("old")) == b"old"
    assert files_under(tmp_path) == [tmp_path / "old"]


async def test_endless_source_is_not_read_to_its_end(blobs: BlobStore) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b"x" * BLOCK_BYTES

    with pytest.raises(UploadMismatch, match="More bytes than the announced 10"):
        await blobs.put("k", endless(), size=10)


async def test_cancelled_put_leaves_nothing(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    is_waiting = asyncio.Event()

    async def stuck() -> AsyncGenerator[bytes]:
        yield LARGE
        is_waiting.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put("k", stuck(), size=2 * len(LARGE)))
    await is_waiting.wait()
    assert files_under(tmp_path)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert files_under(tmp_path) == []


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_put_cancelled_at_any_moment_is_whole_or_nothing(tmp_path: Path, turns: int) -> None:
    blobs = BlobStore(tmp_path)
    putting = asyncio.create_task(blobs.put("k", pieces([LARGE]), size=len(LARGE)))
    for _ in range(turns):
        await asyncio.wait({putting}, timeout=0.001)
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    assert [path.name for path in files_under(tmp_path)] in ([], ["k"])
    if await keys_of(blobs):
        assert await content_of(blobs.stream("k")) == LARGE


async def test_blob_is_not_visible_before_it_is_complete(blobs: BlobStore) -> None:
    async def looking() -> AsyncGenerator[bytes]:
        yield LARGE
        assert await keys_of(blobs) == []
        with pytest.raises(NotFound):
            await blobs.size("k")

    await blobs.put("k", looking(), size=len(LARGE))
    assert await keys_of(blobs) == ["k"]


async def test_readers_of_a_replaced_blob_see_one_of_both(blobs: BlobStore) -> None:
    await blobs.put("k", pieces([b"old"]), size=3)
    await blobs.put("k", pieces([b"newer"]), size=5)
    assert await content_of(blobs.stream("k")) == b"newer"


async def test_many_puts_at_once_do_not_disturb_each_other(blobs: BlobStore) -> None:
    contents = {f"a/{number}": bytes([number]) * (BLOCK_BYTES + number) for number in range(12)}
    await asyncio.gather(*(blobs.put(key, pieces([data]), size=len(data)) for key, data in contents.items()))
    for key, data in contents.items():
        assert await content_of(blobs.stream(key)) == data


async def test_deleting_twice_is_fine_and_missing_blobs_are_not_found(blobs: BlobStore) -> None:
    await blobs.put("a/b/c", pieces([b"x"]), size=1)
    await blobs.delete("a/b/c")
    await blobs.delete("a/b/c")
    assert not blobs.local_path("a").exists()
    with pytest.raises(NotFound, match="a/b/c"):
        await blobs.size("a/b/c")
    with pytest.raises(NotFound):
        await content_of(blobs.stream("a/b/c"))


async def test_blob_deleted_under_a_reader_is_not_found(blobs: BlobStore) -> None:
    await blobs.put("k", pieces([LARGE]), size=len(LARGE))
    reading = blobs.stream("k")
    await anext(reading)
    await blobs.delete("k")
    with pytest.raises(NotFound):
        await content_of(reading)


async def test_keys_are_listed_by_prefix_and_lie_where_local_path_says(blobs: BlobStore) -> None:
    for key in ("a/1", "a/2", "b/1"):
        await blobs.put(key, pieces([key.encode()]), size=3)
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
        await blobs.put(key, pieces([b"x"]), size=1)
    with pytest.raises(InvalidRequest):
        await blobs.delete(key)
    with pytest.raises(InvalidRequest):
        await blobs.size(key)


@pytest.mark.chaos
def test_leftovers_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    program = f"""
        import asyncio
        from pathlib import Path
        from mediafleet.artifacts.blobs import BlobStore

        async def stuck():
            for _ in range(4):
                yield bytes(1 << 20)
            print("waiting", flush=True)
            await asyncio.Event().wait()

        asyncio.run(BlobStore(Path({str(tmp_path)!r})).put("k", stuck(), size=1 << 40))
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"waiting\n"
        child.send_signal(signal.SIGKILL)
    assert len(files_under(tmp_path)) == 1
    blobs = BlobStore(tmp_path)
    assert asyncio.run(keys_of(blobs)) == []
    assert asyncio.run(blobs.sweep_staging()) == 1
    assert asyncio.run(blobs.sweep_staging()) == 0
    assert files_under(tmp_path) == []


async def test_what_a_living_process_is_writing_is_not_swept(tmp_path: Path) -> None:
    writer, other = BlobStore(tmp_path, owner="i-1"), BlobStore(tmp_path, owner="i-2")
    half, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"12"
        half.set()
        await go_on.wait()
        yield b"34"

    writing = asyncio.create_task(writer.put("k", slow(), size=4))
    await half.wait()
    await other.sweep_staging({"i-1", "i-2"})
    go_on.set()
    await writing
    assert await keys_of(other) == ["k"]


async def test_keys_may_be_listed_by_the_time_they_were_complete(blobs: BlobStore) -> None:
    await blobs.put("k", pieces([b"x"]), size=1)
    stored_ms = int(blobs.local_path("k").stat().st_mtime * 1000)
    assert [key async for key in blobs.list_keys(before_ms=stored_ms + 1000)] == ["k"]
    assert [key async for key in blobs.list_keys(before_ms=stored_ms - 1000)] == []


def test_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"artifacts\.root"):
        BlobStore(tmp_path / "file" / "below")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterable[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    unmount = ["umount", "--lazy", str(folder)]  # A failed writer closes its file a moment later.
    subprocess.run(unmount, check=True)


async def test_full_disk_is_said_so_and_leaves_nothing(small_disk: Path) -> None:
    blobs = BlobStore(small_disk / "artifacts")
    size = 8 * BLOCK_BYTES
    with pytest.raises(Unavailable, match=r"disk of .* is full .*free space"):
        await blobs.put("k", pieces([bytes(BLOCK_BYTES)] * 8), size=size)
    assert files_under(small_disk) == []
    await blobs.put("k", pieces([b"x"]), size=1)
