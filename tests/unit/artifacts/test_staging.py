"""Blobs in the making: what came stays, any process goes on with it, and nobody spoils what another one writes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support.blob_maker import pieces, stage

from mediafleet.artifacts import staging
from mediafleet.artifacts.blobs import BlobStore
from mediafleet.artifacts.disk import BLOCK_BYTES
from mediafleet.domain.errors import Conflict, InvalidRequest, NotFound, Unavailable, UploadMismatch

KEY = "a0-film"
LARGE = os.urandom(3 * BLOCK_BYTES + 17)
DEADLINE_S = 20.0


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def staged_files(folder: Path) -> list[Path]:
    return [path for path in (folder / ".staging").rglob("*") if path.is_file()]


def age(folder: Path, seconds: float = 2 * staging.TAKEOVER_S) -> None:
    """Let what is staged look as if nothing had been written for so long."""
    for path in staged_files(folder):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


async def add(blobs: BlobStore, content: bytes, *, key: str = KEY) -> None:
    async with blobs.claim(key) as staged:
        await staged.append(pieces([content]), most=len(content))


async def publish(blobs: BlobStore, key: str = KEY) -> str:
    async with blobs.claim(key) as staged:
        digest = await staged.sha256()
        await blobs.publish(staged, key)
    return digest


class BrokenLine(Exception):
    """What a source of bytes may raise."""


class Halting:
    """A source that stops after its first bytes, until it is told to go on."""

    def __init__(self, *parts: bytes) -> None:
        self.is_waiting, self.go_on = asyncio.Event(), asyncio.Event()
        self._parts = parts

    async def chunks(self) -> AsyncGenerator[bytes]:
        yield self._parts[0]
        self.is_waiting.set()
        await self.go_on.wait()
        for part in self._parts[1:]:
            yield part


@st.composite
def journeys(draw: st.DrawFn) -> list[tuple[int, str]]:
    """How an upload goes: how many bytes each part brings, and how it ends."""
    ends = st.sampled_from(["well", "raises", "is cancelled", "restarts the instance"])
    return draw(st.lists(st.tuples(st.integers(0, len(LARGE) // 2), ends), max_size=6))


async def send_part(blobs: BlobStore, part: bytes, end: str) -> None:
    """Bring these bytes, in pieces, and end like that."""
    everything_came = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes]:
        for at in range(0, len(part), 300_000):
            yield part[at : at + 300_000]
        everything_came.set()
        if end == "raises":
            raise BrokenLine
        if end == "is cancelled":
            await asyncio.Event().wait()

    async def take() -> None:
        async with blobs.claim(KEY) as staged:
            await staged.append(chunks(), most=len(LARGE) - staged.size)

    taking = asyncio.create_task(take())
    if end == "is cancelled":
        await everything_came.wait()
        taking.cancel()
    with suppress(BrokenLine, asyncio.CancelledError):
        await taking


@given(journey=journeys())
async def test_any_cutting_and_any_breaking_off_gives_the_same_blob(
    tmp_path_factory: pytest.TempPathFactory, journey: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("journey")
    blobs = BlobStore(folder)
    await blobs.begin(KEY)
    for count, end in [*journey, (len(LARGE), "well")]:
        offset = await blobs.staged_size(KEY)
        await send_part(blobs, LARGE[offset : offset + count], end)
        arrived = await blobs.staged_size(KEY)
        sent = min(offset + count, len(LARGE))
        assert offset <= arrived <= sent
        # At most the block that was being gathered is lost when the reader of the bytes is torn away.
        assert sent - arrived < BLOCK_BYTES if end in {"raises", "is cancelled"} else arrived == sent
        if end == "restarts the instance":
            blobs = BlobStore(folder)
    assert await publish(blobs) == hashlib.sha256(LARGE).hexdigest()
    assert blobs.local_path(KEY).read_bytes() == LARGE
    assert staged_files(folder) == []


async def test_an_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    await blobs.begin(KEY)
    assert await publish(blobs) == hashlib.sha256().hexdigest()
    assert await blobs.size(KEY) == 0


async def test_more_than_announced_is_refused_and_not_read_to_its_end(blobs: BlobStore) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b"x" * BLOCK_BYTES

    await blobs.begin(KEY)
    async with blobs.claim(KEY) as staged:
        with pytest.raises(UploadMismatch, match="More bytes than the announced 10"):
            await staged.append(endless(), most=10)
    assert await blobs.staged_size(KEY) == 0


async def test_bytes_may_be_removed_to_come_again(blobs: BlobStore, tmp_path: Path) -> None:
    other = BlobStore(tmp_path)
    await stage(blobs, KEY, b"wrong")
    await add(other, b"!")
    async with other.claim(KEY) as staged:
        await staged.sha256()
        await staged.restart()
        assert await staged.sha256() == hashlib.sha256().hexdigest()
    # The first one remembers the hash of what is gone.
    await add(blobs, b"right one")
    assert await publish(blobs) == hashlib.sha256(b"right one").hexdigest()


async def test_of_two_writers_the_second_is_turned_away_and_the_first_goes_on(tmp_path: Path) -> None:
    first, second = BlobStore(tmp_path), BlobStore(tmp_path)
    await first.begin(KEY)
    source = Halting(b"12", b"34")

    async def write() -> None:
        async with first.claim(KEY) as staged:
            await staged.append(source.chunks(), most=4)

    writing = asyncio.create_task(write())
    async with asyncio.timeout(DEADLINE_S):
        await source.is_waiting.wait()
        for blobs in (first, second):
            with pytest.raises(Conflict, match="is already being received"):
                async with blobs.claim(KEY):
                    raise AssertionError("two writers")
        source.go_on.set()
        await writing
    await publish(second)
    assert first.local_path(KEY).read_bytes() == b"1234"


async def test_one_of_many_that_begin_at_once_writes(tmp_path: Path) -> None:
    stores = [BlobStore(tmp_path) for _ in range(8)]
    await stores[0].begin(KEY)
    done = asyncio.Event()

    async def write(blobs: BlobStore) -> bool:
        try:
            async with blobs.claim(KEY) as staged:
                await staged.append(pieces([b"x"]), most=1)
                await done.wait()
        except Conflict:
            return False
        return True

    writers = [asyncio.create_task(write(blobs)) for blobs in stores]
    async with asyncio.timeout(DEADLINE_S):
        while sum(writer.done() for writer in writers) < len(writers) - 1:
            await asyncio.wait([w for w in writers if not w.done()], return_when=asyncio.FIRST_COMPLETED)
        done.set()
        assert sorted(await asyncio.gather(*writers)) == [False] * 7 + [True]
    assert await stores[0].staged_size(KEY) == 1


async def test_a_writer_without_life_is_left_behind_and_spoils_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    await blobs.begin(KEY)
    async with blobs.claim(KEY) as late:
        await late.append(pieces([b"good"]), most=4)
        age(tmp_path)
        await add(blobs, b" film")
        with pytest.raises(Conflict, match="another request went on with it"):
            await late.append(pieces([b"JUNK"]), most=4)
        with pytest.raises(Conflict, match="another request went on with it"):
            await blobs.publish(late, KEY)
        await late.restart()
    assert await blobs.staged_size(KEY) == 9
    assert await publish(blobs) == hashlib.sha256(b"good film").hexdigest()
    assert blobs.local_path(KEY).read_bytes() == b"good film"
    assert staged_files(tmp_path) == []


async def test_one_that_is_left_behind_may_be_left_behind_by_several(blobs: BlobStore, tmp_path: Path) -> None:
    await stage(blobs, KEY, b"1")
    async with blobs.claim(KEY):
        age(tmp_path)
        async with blobs.claim(KEY) as second:
            await second.append(pieces([b"2"]), most=1)
            with pytest.raises(Conflict):
                async with blobs.claim(KEY):
                    raise AssertionError("two writers")
            age(tmp_path)
            await add(blobs, b"3")
            with pytest.raises(Conflict):
                await second.append(pieces([b"x"]), most=1)
    await publish(blobs)
    assert blobs.local_path(KEY).read_bytes() == b"123"


async def test_of_several_that_leave_a_writer_behind_one_goes_on(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[Conflict] = []
    copy = shutil.copyfile

    def be_late(source: Path, target: Path) -> None:
        with pytest.raises(Conflict) as refusal:
            staging._claim(source.parent)
        refused.append(refusal.value)
        copy(source, target)

    monkeypatch.setattr(staging.shutil, "copyfile", be_late)
    await stage(blobs, KEY, b"1")
    async with blobs.claim(KEY):
        age(tmp_path)
        await add(blobs, b"2")
    assert len(refused) == 1
    await publish(blobs)
    assert blobs.local_path(KEY).read_bytes() == b"12"


@pytest.mark.parametrize("change", ["another turn", "another file", "no file"])
async def test_who_opened_what_another_one_just_took_over_is_turned_away(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    open_file = staging._open

    def open_too_early(path: Path) -> int:
        descriptor = open_file(path)
        if change == "another turn":
            path.rename(staging._next_turn(path))
        elif change == "another file":
            shutil.copyfile(path, path.with_name(".draft")).replace(path)
        else:
            path.unlink()
        return descriptor

    await stage(blobs, KEY, b"1")
    monkeypatch.setattr(staging, "_open", open_too_early)
    with pytest.raises(Conflict, match="ask again"):
        async with blobs.claim(KEY):
            raise AssertionError("wrote to what is not its own")


async def test_reading_a_large_file_once_more_shows_life(blobs: BlobStore, tmp_path: Path) -> None:
    await stage(blobs, KEY, LARGE)
    async with BlobStore(tmp_path).claim(KEY) as staged:
        age(tmp_path)
        await staged.sha256()
        with pytest.raises(Conflict):
            async with blobs.claim(KEY):
                raise AssertionError("two writers")


async def test_what_is_given_up_under_its_writer_cannot_be_published(blobs: BlobStore, tmp_path: Path) -> None:
    await blobs.begin(KEY)
    async with blobs.claim(KEY) as staged:
        await staged.append(pieces([LARGE]), most=len(LARGE))
        await BlobStore(tmp_path).delete(KEY)
        assert os.fstat(staged._descriptor).st_size == 0
        with pytest.raises(Conflict, match="given up"):
            await staged.append(pieces([b"x"]), most=1)
        with pytest.raises(Conflict, match="given up"):
            await blobs.publish(staged, KEY)
    assert staged_files(tmp_path) == []
    assert not blobs.local_path(KEY).exists()


async def test_how_far_it_is_told_only_of_what_is_on_disk(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(staging.os, "fsync", note)
    await blobs.begin(KEY)
    async with blobs.claim(KEY) as staged:
        with pytest.raises(BrokenLine):
            await staged.append(broken(), most=9)
        file = os.fstat(staged._descriptor).st_ino
        assert file in synced
        synced.clear()
        assert await blobs.staged_size(KEY) == 0
        assert file in synced


async def broken() -> AsyncGenerator[bytes]:
    yield b"x"
    raise BrokenLine


async def test_slow_bytes_do_not_wait_for_a_whole_block(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "FLUSH_S", 0)
    await blobs.begin(KEY)
    async with blobs.claim(KEY) as staged:
        with pytest.raises(BrokenLine):
            await staged.append(broken(), most=9)
    assert await blobs.staged_size(KEY) == 1


async def test_it_is_synced_on_the_way_so_that_the_end_is_short(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_SYNC_BYTES", BLOCK_BYTES)
    counts: list[int] = []
    sync = staging.StagedBlob._sync

    def note(staged: staging.StagedBlob) -> None:
        sync(staged)
        counts.append(staged.size)

    monkeypatch.setattr(staging.StagedBlob, "_sync", note)
    await blobs.begin(KEY)
    async with blobs.claim(KEY) as staged:
        await staged.append(pieces([LARGE[:BLOCK_BYTES]] * 3), most=3 * BLOCK_BYTES)
    assert counts == [BLOCK_BYTES, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES]


async def test_what_is_not_staged_is_not_found(blobs: BlobStore) -> None:
    with pytest.raises(NotFound, match="Upload the file again"):
        await blobs.staged_size(KEY)
    with pytest.raises(NotFound):
        async with blobs.claim(KEY):
            raise AssertionError
    await blobs.discard_staged(KEY)


@pytest.mark.parametrize("key", ["a/b", "../x", ".hidden", ""])
async def test_a_key_that_leads_elsewhere_is_refused(blobs: BlobStore, key: str) -> None:
    for call in (blobs.begin, blobs.staged_size, blobs.discard_staged):
        with pytest.raises(InvalidRequest):
            await call(key)


async def test_what_nobody_moved_for_long_is_listed(blobs: BlobStore, tmp_path: Path) -> None:
    await stage(blobs, KEY, b"x")
    now_ms = int(staged_files(tmp_path)[0].stat().st_mtime * 1000)
    assert await blobs.list_staged(before_ms=now_ms + 60_000) == [KEY]
    assert await blobs.list_staged(before_ms=now_ms - 60_000) == []


# --- other processes -----------------------------------------------------------------------------

WRITER = """
    import asyncio, sys
    from pathlib import Path
    from mediafleet.artifacts import staging
    from mediafleet.artifacts.blobs import BlobStore
    from mediafleet.domain.errors import MediafleetError

    async def chunks():
        yield b"good"
        print("waiting", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        yield b"JUNK"

    async def write():
        blobs = BlobStore(Path(sys.argv[1]))
        async with blobs.claim(sys.argv[2]) as staged:
            await staged.append(chunks(), most=8)
            await blobs.publish(staged, sys.argv[2])

    staging.FLUSH_S = 0
    try:
        asyncio.run(write())
        print("published", flush=True)
    except MediafleetError as error:
        print(type(error).__name__, flush=True)
"""


@pytest.fixture
def start_writer(blobs: BlobStore, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a process that has written four bytes and waits for a line before it writes four more."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), KEY]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(child)
        assert child.stdout
        assert child.stdout.readline() == b"waiting\n"
        return child

    asyncio.run(blobs.begin(KEY))
    yield start
    for child in started:
        child.kill()
        child.communicate()


@pytest.mark.chaos
def test_what_a_killed_writer_wrote_stays_and_its_claim_ends_with_it(
    blobs: BlobStore, start_writer: Callable[[], subprocess.Popen[bytes]]
) -> None:
    child = start_writer()
    with pytest.raises(Conflict):
        asyncio.run(add(blobs, b" film"))
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert asyncio.run(blobs.staged_size(KEY)) == 4
    asyncio.run(add(blobs, b" film"))
    assert asyncio.run(publish(blobs)) == hashlib.sha256(b"good film").hexdigest()


@pytest.mark.chaos
def test_a_stopped_writer_that_wakes_up_late_changes_nothing(
    blobs: BlobStore, tmp_path: Path, start_writer: Callable[[], subprocess.Popen[bytes]]
) -> None:
    child = start_writer()
    child.send_signal(signal.SIGSTOP)
    with pytest.raises(Conflict):
        asyncio.run(add(blobs, b" film"))
    age(tmp_path)
    asyncio.run(add(blobs, b" film"))
    child.send_signal(signal.SIGCONT)
    said, _ = child.communicate(b"\n", timeout=DEADLINE_S)
    assert said == b"Conflict\n"
    assert asyncio.run(publish(blobs)) == hashlib.sha256(b"good film").hexdigest()
    assert blobs.local_path(KEY).read_bytes() == b"good film"


# --- a small disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterable[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    unmount = ["umount", "--lazy", str(folder)]
    subprocess.run(unmount, check=True)


async def test_a_full_disk_is_said_so_and_once_there_is_room_the_rest_goes_on(small_disk: Path) -> None:
    blobs = BlobStore(small_disk)
    (small_disk / "ballast").write_bytes(bytes(2 * BLOCK_BYTES))
    await blobs.begin(KEY)
    with pytest.raises(Unavailable, match=r"disk of .* is full .*free space"):
        await add(blobs, LARGE)
    arrived = await blobs.staged_size(KEY)
    assert 0 < arrived < len(LARGE)
    (small_disk / "ballast").unlink()
    await add(blobs, LARGE[arrived:])
    assert await publish(blobs) == hashlib.sha256(LARGE).hexdigest()
