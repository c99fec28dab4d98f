"""A node fetches each byte once, gives it to all tasks that want it, and lets go what nobody uses."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from artifact_routes import CONTENT, DIGEST, TOKEN, Scheduler

from mediafleet.artifacts import cache as caching
from mediafleet.artifacts import parts as parting
from mediafleet.artifacts.cache import ArtifactCache
from mediafleet.artifacts.fingerprint import fingerprint
from mediafleet.artifacts.transfer import ArtifactClient
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import InvalidRequest, TransientFailure, Unavailable

SIZE = len(CONTENT)
REF = ArtifactRef("up1", "a.mkv", size=SIZE, sha256=DIGEST)
FAR = 1024 * 1024
HEAD, TAIL = (0, 100), (2 * FAR, 2 * FAR + 50)


@asynccontextmanager
async def node_in(
    folder: Path, address: str, limit: int = 1 << 30
) -> AsyncGenerator[tuple[ArtifactClient, ArtifactCache]]:
    cache = ArtifactCache(folder / "cache", limit, least_free_share=0)
    async with aiohttp.ClientSession() as session:
        yield ArtifactClient(session, address, TOKEN, cache=cache), cache


@pytest.fixture
async def node(
    tmp_path: Path, address: str, scheduler: Scheduler
) -> AsyncGenerator[tuple[ArtifactClient, ArtifactCache]]:
    scheduler.blobs["up1"] = CONTENT
    async with node_in(tmp_path, address) as pair:
        yield pair


def other(scheduler: Scheduler, name: str, size: int = 100_000) -> ArtifactRef:
    """Return an artifact of its own content."""
    scheduler.blobs[name] = os.urandom(size)
    return ArtifactRef(name, "b.mkv", size=size, sha256=hashlib.sha256(scheduler.blobs[name]).hexdigest())


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "cache").iterdir())


async def test_the_second_task_fetches_nothing(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, _ = node
    first = await client.resolve(REF, tmp_path / "w1")
    again = ArtifactRef("another-id", "other name.mp4", size=SIZE, sha256=DIGEST)
    second = await client.resolve(again, tmp_path / "w2")
    assert first.read_bytes() == second.read_bytes() == CONTENT
    assert (first.name, second.name) == ("a.mkv", "other name.mp4")
    assert scheduler.sent == SIZE


async def test_a_film_that_is_used_in_place_is_fetched_once_as_long_as_nobody_changes_it(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, _ = node
    (tmp_path / "film.mkv").write_bytes(CONTENT)
    proof = await fingerprint(tmp_path / "film.mkv")
    first = ArtifactRef("up1", "a.mkv", "file:///m/a.mkv", SIZE, fingerprint=proof, version="7-1-1")
    refs = [
        first,
        msgspec.structs.replace(first, id="up2"),
        msgspec.structs.replace(first, id="up3", version="7-1-2"),
        msgspec.structs.replace(first, id="up4", uri="file:///m/b.mkv"),
        msgspec.structs.replace(first, id="up5", version=""),
        msgspec.structs.replace(first, id="up6", version=""),
    ]
    sent: list[int] = []
    for ref in refs:
        scheduler.blobs[ref.id] = CONTENT
        await client.resolve(ref, tmp_path / ref.id)
        sent.append(scheduler.sent // SIZE)
    assert sent == [1, 1, 2, 3, 4, 5]


async def test_a_kept_file_survives_the_process_and_a_half_one_does_not(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path, address: str
) -> None:
    client, _ = node
    half = other(scheduler, "up2", 3 * FAR)
    await client.resolve(REF, tmp_path / "w1")
    await client.resolve(half, tmp_path / "w1", ranges=[HEAD])
    scheduler.sent = 0
    async with node_in(tmp_path, address) as (restarted, _):
        await restarted.resolve(REF, tmp_path / "w2")
        assert scheduler.sent == 0
        assert len(kept(tmp_path)) == 1
        assert (await restarted.resolve(half, tmp_path / "w2")).read_bytes() == scheduler.blobs["up2"]


async def test_tasks_that_want_the_same_at_once_fetch_it_once(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, _ = node
    scheduler.held = asyncio.Event()
    waiting = [asyncio.create_task(client.resolve(REF, tmp_path / f"w{number}")) for number in range(5)]
    async with asyncio.timeout(10):
        while not scheduler.requests:  # noqa: ASYNC110 - the request of another task tells nobody
            await asyncio.sleep(0)
    scheduler.held.set()
    paths = await asyncio.gather(*waiting)
    assert {path.read_bytes() == CONTENT for path in paths} == {True}
    assert (scheduler.sent, scheduler.requests) == (SIZE, [f"GET bytes=0-{SIZE - 1}"])


async def test_who_is_cancelled_leaves_what_came_to_the_next(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, _ = node
    fetching: asyncio.Task[Path]

    def cancel(*_: int) -> None:
        fetching.cancel()

    fetching = asyncio.create_task(client.resolve(REF, tmp_path / "w1", on_progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert (await client.resolve(REF, tmp_path / "w2")).read_bytes() == CONTENT
    assert int(scheduler.requests[-1].removeprefix("GET bytes=").partition("-")[0]) > 0


# --- ranges ----------------------------------------------------------------------------------------


async def test_only_the_wanted_bytes_come_and_the_file_is_as_long_as_the_whole(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, cache = node
    told: list[tuple[int, int]] = []
    path = await client.resolve(
        REF, tmp_path / "w", ranges=[TAIL, HEAD], on_progress=lambda moved, whole: told.append((moved, whole))
    )
    found = path.read_bytes()
    assert len(found) == SIZE
    assert [found[slice(*part)] for part in (HEAD, TAIL)] == [CONTENT[slice(*part)] for part in (HEAD, TAIL)]
    assert (scheduler.sent, told[-1]) == (150, (150, 150))
    assert (await cache.use()).size_bytes < FAR
    assert scheduler.requests == ["GET bytes=0-99", f"GET bytes={TAIL[0]}-{TAIL[1] - 1}"]


async def test_near_ranges_are_one_request_and_empty_ones_none(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, _ = node
    await client.resolve(REF, tmp_path / "w", ranges=[(0, 10), (5, 20), (1000, 1001), (FAR, FAR), (SIZE + 5, SIZE + 9)])
    assert scheduler.requests == ["GET bytes=0-1000"]
    assert (await client.resolve(REF, tmp_path / "w", ranges=[])).stat().st_size == SIZE
    with pytest.raises(InvalidRequest):
        await client.resolve(REF, tmp_path / "w", ranges=[(5, 1)])


async def test_a_later_call_adds_to_the_same_file_and_the_last_byte_makes_it_whole(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, cache = node
    path = await client.resolve(REF, tmp_path / "w1", ranges=[HEAD])
    assert not await cache.has_whole(REF)
    assert await client.resolve(REF, tmp_path / "w1", ranges=[TAIL]) == path
    neighbour = await client.resolve(REF, tmp_path / "w2", ranges=[(50, FAR)])
    assert neighbour.samefile(path)
    whole = await client.resolve(REF, tmp_path / "w1")
    assert whole.samefile(path)
    assert path.read_bytes() == CONTENT
    assert scheduler.sent == SIZE
    assert await cache.has_whole(REF)


async def test_a_range_that_breaks_goes_on_where_it_broke(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, _ = node
    scheduler.cut_after = [1000] * 7  # More breaks than tries: each made progress.
    path = await client.resolve(REF, tmp_path / "w", ranges=[(FAR, FAR + 9000)])
    assert path.read_bytes()[FAR : FAR + 9000] == CONTENT[FAR : FAR + 9000]
    assert scheduler.sent == 9000


async def test_a_server_that_ignores_ranges_is_read_as_far_as_needed(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, _ = node
    scheduler.ignores_ranges = True
    path = await client.resolve(REF, tmp_path / "w", ranges=[(FAR, FAR + 9000)])
    assert path.read_bytes()[FAR : FAR + 9000] == CONTENT[FAR : FAR + 9000]


async def test_large_files_come_in_pieces_so_that_others_have_a_turn(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "PIECE_BYTES", FAR)
    client, _ = node
    scheduler.held = asyncio.Event()
    whole = asyncio.create_task(client.resolve(REF, tmp_path / "w1"))
    async with asyncio.timeout(10):
        while not scheduler.requests:  # noqa: ASYNC110 - the request of another task tells nobody
            await asyncio.sleep(0)
    end = asyncio.create_task(client.resolve(REF, tmp_path / "w2", ranges=[(SIZE - 10, SIZE)]))
    await asyncio.sleep(0)
    scheduler.held.set()
    assert (await end).read_bytes()[-10:] == CONTENT[-10:]
    assert (await whole).read_bytes() == CONTENT
    assert scheduler.requests[1] == f"GET bytes={SIZE - 10}-{SIZE - 1}"
    assert scheduler.sent == SIZE


# --- damage ----------------------------------------------------------------------------------------


async def test_damaged_bytes_are_never_kept_nor_given(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path
) -> None:
    client, cache = node
    scheduler.damage = 1
    with pytest.raises(TransientFailure, match="damaged"):
        await client.resolve(REF, tmp_path / "w")
    assert not await cache.has_whole(REF)
    assert not kept(tmp_path)
    scheduler.damage = 0
    assert (await client.resolve(REF, tmp_path / "w")).read_bytes() == CONTENT


async def test_a_file_without_hash_is_held_to_its_samples_and_is_not_taken_for_another_artifact(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path, source: Path
) -> None:
    client, _ = node
    proof = await fingerprint(source)
    elsewhere = ArtifactRef("up1", "a.mkv", uri="file:///nowhere/a.mkv", size=SIZE, fingerprint=proof)
    assert (await client.resolve(elsewhere, tmp_path / "w1")).read_bytes() == CONTENT
    changed = ArtifactRef("up3", "a.mkv", uri="file:///nowhere/a.mkv", size=SIZE, fingerprint=proof)
    scheduler.blobs["up3"] = CONTENT[::-1]
    with pytest.raises(TransientFailure, match="damaged"):
        await client.resolve(changed, tmp_path / "w2")


async def test_a_task_cannot_write_to_what_others_get(
    node: tuple[ArtifactClient, ArtifactCache], tmp_path: Path
) -> None:
    client, _ = node
    path = await client.resolve(REF, tmp_path / "w")
    assert path.stat().st_mode & 0o222 == 0


# --- room ------------------------------------------------------------------------------------------


async def test_what_was_used_longest_ago_goes_first(
    tmp_path: Path, address: str, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node_in(tmp_path, address, 250_000) as (client, cache):
        refs = [other(scheduler, f"n{number}") for number in range(3)]
        for number, ref in enumerate(refs[:2]):
            path = await client.resolve(ref, tmp_path / "w")
            os.utime(path, (number, number))
            path.unlink()
        (await client.resolve(refs[0], tmp_path / "w")).unlink()
        (await client.resolve(refs[2], tmp_path / "w")).unlink()
        await cache.trim()
        assert [await cache.has_whole(ref) for ref in refs] == [True, False, True]
        assert (await cache.use()).size_bytes <= 250_000


async def test_what_is_in_use_stays_though_there_is_too_much(
    tmp_path: Path, address: str, scheduler: Scheduler
) -> None:
    async with node_in(tmp_path, address, 0) as (client, cache):
        refs = [other(scheduler, f"n{number}") for number in range(3)]
        paths = [await client.resolve(ref, tmp_path / ref.id) for ref in refs]
        part = await client.resolve(other(scheduler, "p", 3 * FAR), tmp_path / "p", ranges=[HEAD])
        await cache.trim()
        assert [path.read_bytes() == scheduler.blobs[ref.id] for path, ref in zip(paths, refs, strict=True)] == [
            True
        ] * 3
        for path in [*paths[1:], part]:
            path.unlink()
        await cache.trim()
        assert [await cache.has_whole(ref) for ref in refs] == [True, False, False]
        assert len(kept(tmp_path)) == 1


async def test_a_disk_that_fills_up_empties_the_cache(tmp_path: Path, address: str, scheduler: Scheduler) -> None:
    scheduler.blobs["up1"] = CONTENT
    greedy = ArtifactCache(tmp_path / "cache", 1 << 60, least_free_share=1)
    async with aiohttp.ClientSession() as session:
        client = ArtifactClient(session, address, TOKEN, cache=greedy)
        path = await client.resolve(REF, tmp_path / "w")
        await greedy.trim()
        assert await greedy.has_whole(REF)
        path.unlink()
        await greedy.trim()
        assert not kept(tmp_path)


async def test_the_cache_is_kept_small_while_nobody_asks(
    tmp_path: Path, address: str, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "TRIM_EVERY_S", 0.001)
    async with node_in(tmp_path, address, 0) as (client, cache):
        keeping = asyncio.create_task(cache.keep_small())
        path = await client.resolve(other(scheduler, "n"), tmp_path / "w")
        path.unlink()
        async with asyncio.timeout(10):
            while kept(tmp_path):  # noqa: ASYNC110 - a file that goes tells nobody
                await asyncio.sleep(0.001)
        keeping.cancel()


# --- the machine -----------------------------------------------------------------------------------


async def test_without_hard_links_each_task_has_its_copy(
    node: tuple[ArtifactClient, ArtifactCache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = node

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = await client.resolve(REF, tmp_path / "w")
    assert path.read_bytes() == CONTENT
    assert path.stat().st_nlink == 1


async def test_a_full_disk_is_said_so_and_what_came_is_gone_on_with(
    node: tuple[ArtifactClient, ArtifactCache], scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = node

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(parting.os, "pwrite", full)
        with pytest.raises(Unavailable, match=r"disk of .* is full"):
            await client.resolve(REF, tmp_path / "w")
    assert (await client.resolve(REF, tmp_path / "w")).read_bytes() == CONTENT
