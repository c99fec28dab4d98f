"""Files are fetched whole, checked and under their name, or not at all; broken connections are taken up again."""

# ruff: noqa: ASYNC240 - the files of a test are small

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from artifact_routes import CONTENT, DIGEST, TOKEN, Scheduler, be_away

from mediafleet.artifacts import transfer
from mediafleet.artifacts.fingerprint import fingerprint, uri_of_path
from mediafleet.artifacts.transfer import ArtifactClient
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import (
    MediafleetError,
    NotFound,
    SchedulerUnavailable,
    TransientFailure,
    Unavailable,
)
from mediafleet.domain.path_map import PathMap


async def test_download_appears_whole_under_its_name(
    client: ArtifactClient, scheduler: Scheduler, target: Path
) -> None:
    scheduler.blobs["up1"] = CONTENT
    seen: list[int] = []

    def look(done: int) -> None:
        seen.append(done)
        assert not target.exists()

    ref = ArtifactRef("up1", "a.mkv", size=len(CONTENT), sha256=DIGEST)
    await client.download(ref, target, on_progress=look)
    assert target.read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert list(target.parent.iterdir()) == [target]


async def test_download_by_id_replaces_an_older_file(
    client: ArtifactClient, scheduler: Scheduler, target: Path
) -> None:
    scheduler.blobs["a/b"] = b""
    target.write_bytes(b"older")
    await client.download("a/b", target)
    assert target.read_bytes() == b""


async def test_broken_download_goes_on_where_it_broke(
    client: ArtifactClient, scheduler: Scheduler, target: Path
) -> None:
    scheduler.blobs["up1"] = CONTENT
    scheduler.cut_after = [1000] * 7  # More breaks than tries: each made progress.
    seen: list[int] = []
    await client.download("up1", target, on_progress=seen.append)
    assert target.read_bytes() == CONTENT
    assert scheduler.requests == ["GET", *(f"GET bytes={1000 * count}-" for count in range(1, 8))]
    assert seen == sorted(seen)


async def test_artifact_that_changed_meanwhile_is_fetched_from_its_start(
    client: ArtifactClient, scheduler: Scheduler, target: Path
) -> None:
    scheduler.blobs["up1"] = CONTENT
    scheduler.cut_after = [1000]
    other = CONTENT[::-1]

    def change(_: int) -> None:
        scheduler.blobs["up1"] = other

    await client.download("up1", target, on_progress=change)
    assert target.read_bytes() == other


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({}, NotFound),
        ({"blobs": {"up1": CONTENT}, "damage": 1}, TransientFailure),
        ({"blobs": {"up1": CONTENT[:-1]}}, TransientFailure),
        ({"blobs": {"up1": CONTENT}, "cut_after": [0] * 9}, SchedulerUnavailable),
        ({"faults": [be_away] * 9}, Unavailable),
    ],
    ids=["missing", "damaged", "short", "always breaks", "store away"],
)
async def test_failed_download_leaves_nothing_and_keeps_the_older_file(
    client: ArtifactClient,
    scheduler: Scheduler,
    target: Path,
    state: dict[str, Any],
    error: type[MediafleetError],
) -> None:
    target.write_bytes(b"older")
    for name, value in state.items():
        setattr(scheduler, name, value)
    with pytest.raises(error):
        await client.download(ArtifactRef("up1", "a", size=len(CONTENT), sha256=DIGEST), target)
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == b"older"


async def test_cancelled_download_leaves_nothing(client: ArtifactClient, scheduler: Scheduler, target: Path) -> None:
    scheduler.blobs["up1"] = CONTENT
    fetching: asyncio.Task[None]

    def cancel(_: int) -> None:
        fetching.cancel()

    fetching = asyncio.create_task(client.download("up1", target, on_progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert not list(target.parent.iterdir())


async def test_folder_that_is_missing_or_disk_that_is_full_is_said_so(
    client: ArtifactClient, scheduler: Scheduler, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        await client.download("up1", target.parent / "none" / "a")

    scheduler.blobs["up1"] = CONTENT

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer._Partial, "_write", full)
    with pytest.raises(Unavailable, match=r"disk of .* is full"):
        await client.download("up1", target)
    assert scheduler.requests == ["GET"]
    assert not list(target.parent.iterdir())


# --- resolve ---------------------------------------------------------------------------------------


async def test_file_that_is_seen_here_is_used_in_place(
    client: ArtifactClient, scheduler: Scheduler, source: Path, tmp_path: Path
) -> None:
    ref = ArtifactRef("in1", "source.mkv", uri=uri_of_path(source), fingerprint=await fingerprint(source))
    assert await client.resolve(ref, tmp_path / "work") == source
    assert not scheduler.requests


async def test_file_that_is_elsewhere_here_is_used_in_place_once_it_proves_to_be_the_same(
    address: str, scheduler: Scheduler, source: Path, tmp_path: Path
) -> None:
    scheduler.blobs["in1"] = CONTENT
    proof = await fingerprint(source)
    ref = ArtifactRef("in1", "source.mkv", uri="file:///mnt/media/source.mkv", fingerprint=proof)
    async with aiohttp.ClientSession() as session:
        mapped = ArtifactClient(session, address, TOKEN, paths=PathMap([f"/mnt/media={tmp_path}"]))
        assert await mapped.resolve(ref, tmp_path / "work") == source
        assert not scheduler.requests
        source.write_bytes(CONTENT[::-1])
        copy = await mapped.resolve(ref, tmp_path / "work")
    assert copy != source
    assert copy.read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["content", "missing", "unproven", "elsewhere"])
async def test_file_that_is_not_proven_to_be_seen_here_is_fetched(
    client: ArtifactClient, scheduler: Scheduler, source: Path, tmp_path: Path, change: str
) -> None:
    proof = await fingerprint(source)
    scheduler.blobs["in1"] = CONTENT
    uri = "file://host/a" if change == "elsewhere" else uri_of_path(source)
    if change == "content":
        source.write_bytes(CONTENT[::-1])
    if change == "missing":
        source.unlink()
    ref = ArtifactRef("in1", "source.mkv", uri=uri, fingerprint=None if change == "unproven" else proof)
    copy = await client.resolve(ref, tmp_path / "work")
    assert copy != source
    assert copy.read_bytes() == CONTENT
    assert await client.resolve(ref, tmp_path / "work") == copy
    assert scheduler.requests == ["GET"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", "input"),
        ("", "input"),
        ("a\0b.mkv", "ab.mkv"),
        ("é" * 200 + ".mkv", None),
    ],
)
async def test_copies_stay_in_the_workspace_whatever_they_are_called(
    client: ArtifactClient, scheduler: Scheduler, tmp_path: Path, name: str, file: str | None
) -> None:
    scheduler.blobs["in1"] = scheduler.blobs["in2"] = b"bytes"
    work = tmp_path / "work"
    first = await client.resolve(ArtifactRef("in1", name), work)
    second = await client.resolve(ArtifactRef("in2", name), work)
    assert first != second
    assert first.resolve().is_relative_to(work.resolve())
    assert first.suffix == (".mkv" if "mkv" in name else "")
    assert file in {None, first.name}
