"""Files arrive whole, checked and under their name, or not at all; broken connections are taken up again."""

# ruff: noqa: ASYNC240 - the files of a test are small

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import aiohttp
import pytest
import stamina
from aiohttp import web

from mediafleet.artifacts import transfer
from mediafleet.artifacts.disk import BLOCK_BYTES
from mediafleet.artifacts.fingerprint import fingerprint, uri_of_path
from mediafleet.artifacts.transfer import ArtifactClient
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import (
    InvalidRequest,
    MediafleetError,
    NotFound,
    SchedulerUnavailable,
    TransientFailure,
    Unauthorized,
    Unavailable,
    UploadMismatch,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

CONTENT = os.urandom(3 * BLOCK_BYTES + 11)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
TOKEN = "secret"  # noqa: S105 - a test's own


@dataclass
class Scheduler:
    """The artifact routes of `docs/reference/rest-api.md` on a real socket, with faults on demand."""

    announced: dict[str, Any] = field(default_factory=dict[str, Any])
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    requests: list[str] = field(default_factory=list[str])
    faults: list[Callable[[web.Request], Any]] = field(default_factory=list[Any])
    """Each answers one request in place of the scheduler."""
    cut_after: list[int] = field(default_factory=list[int])
    """Each breaks one download after that many bytes."""
    damage: bool = False

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 40)
        app.router.add_post("/api/v1/artifacts", self._announce)
        app.router.add_put("/api/v1/artifacts/{id}", self._receive)
        app.router.add_get("/api/v1/artifacts/{id}", self._send)
        app.router.add_delete("/api/v1/artifacts/{id}", self._discard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.headers.get('Range', '')}".strip())
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return problem(401, "unauthorized", "Send the token.")
        if self.faults:
            return await self.faults.pop(0)(request)
        return await handler(request)

    async def _announce(self, request: web.Request) -> web.Response:
        self.announced = await request.json()
        return web.json_response({"id": "up1", "offset": 0, "length": self.announced["size"]}, status=201)

    async def _receive(self, request: web.Request) -> web.Response:
        assert request.query["offset"] == "0"
        assert request.content_length == self.announced["size"]
        content = await request.read()
        self.blobs["up1"] = content
        digest = hashlib.sha256(content + (b"!" if self.damage else b"")).hexdigest()
        return web.json_response({"id": "up1", "name": self.announced["name"], "size": len(content), "sha256": digest})

    async def _send(self, request: web.Request) -> web.StreamResponse:
        content = self.blobs.get(unquote(request.match_info["id"]))
        if content is None:
            return problem(404, "not-found", "There is no such artifact.")
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        is_same = request.headers.get("If-Range") == etag
        start = int(request.headers["Range"][6:-1]) if is_same else 0
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": etag})
        response.content_length = len(content) - start
        await response.prepare(request)
        body = bytes(len(content)) if self.damage else content
        if self.cut_after:
            await response.write(body[start : start + self.cut_after.pop(0)])
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(body[start:])
        return response

    async def _discard(self, request: web.Request) -> web.Response:
        self.blobs.pop(request.match_info["id"], None)
        return web.Response(status=204)


def problem(status: int, code: str, detail: str) -> web.Response:
    return web.json_response({"code": code, "detail": detail}, status=status, content_type="application/problem+json")


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def be_away(_: web.Request) -> web.Response:
    return problem(503, "store-unavailable", "Redis is away.")


async def be_full(_: web.Request) -> web.Response:
    return problem(503, "unavailable", "The disk is full.")


async def be_a_proxy(_: web.Request) -> web.Response:
    return web.Response(status=502, text="<html>Bad Gateway</html>")


async def be_something_else(_: web.Request) -> web.Response:
    return web.Response(text="<html>Welcome to nginx</html>")


@pytest.fixture(autouse=True)
def retries_without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
async def address(scheduler: Scheduler) -> AsyncGenerator[str]:
    runner = web.AppRunner(scheduler.application(), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.fixture
async def client(address: str) -> AsyncGenerator[ArtifactClient]:
    async with aiohttp.ClientSession() as session:
        yield ArtifactClient(session, address, TOKEN)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.mkv"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "result.mkv"


# --- upload ----------------------------------------------------------------------------------------


async def test_upload_sends_all_bytes_and_tells_of_its_progress(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    seen: list[int] = []
    ref = await client.upload(source, name="ä\n.mkv", grant="g1", on_progress=seen.append)
    assert scheduler.blobs["up1"] == CONTENT
    assert scheduler.announced == {"name": "ä\n.mkv", "grant": "g1", "size": len(CONTENT)}
    assert ref == ArtifactRef("up1", "ä\n.mkv", size=len(CONTENT), sha256=DIGEST)
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)


async def test_empty_file_is_uploaded(client: ArtifactClient, scheduler: Scheduler, source: Path) -> None:
    source.write_bytes(b"")
    ref = await client.upload(source, name="empty")
    assert (ref.size, scheduler.blobs["up1"]) == (0, b"")
    assert "grant" not in scheduler.announced


@pytest.mark.parametrize("fault", [hang_up, be_away, be_a_proxy])
@pytest.mark.parametrize("good_requests", [0, 1])
async def test_upload_is_tried_again_when_the_scheduler_is_away(
    client: ArtifactClient, scheduler: Scheduler, source: Path, fault: Any, good_requests: int
) -> None:
    async def do_nothing_wrong(request: web.Request) -> web.StreamResponse:
        return await scheduler._announce(request)

    scheduler.faults = [do_nothing_wrong] * good_requests + [fault]
    ref = await client.upload(source, name="a")
    assert ref.sha256 == DIGEST


async def test_upload_gives_up_in_the_end_and_says_so(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    scheduler.faults = [hang_up] * 20
    with pytest.raises(SchedulerUnavailable, match="does not answer"):
        await client.upload(source, name="a")
    assert len(scheduler.requests) == 3


async def test_what_the_scheduler_says_against_an_upload_is_raised_at_once(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    scheduler.faults = [be_full]
    with pytest.raises(Unavailable, match="The disk is full") as failure:
        await client.upload(source, name="a")
    assert failure.value.code == "unavailable"
    assert scheduler.requests == ["POST"]


async def test_wrong_token_is_unauthorized(address: str, source: Path, target: Path) -> None:
    async with aiohttp.ClientSession() as session:
        stranger = ArtifactClient(session, address, "wrong")
        with pytest.raises(Unauthorized, match="Send the token"):
            await stranger.upload(source, name="a")
        with pytest.raises(Unauthorized):
            await stranger.download("up1", target)


async def test_address_of_something_else_is_said_to_be_that(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    scheduler.faults = [be_something_else] * 3
    with pytest.raises(SchedulerUnavailable, match="no mediafleet scheduler"):
        await client.upload(source, name="a")


async def test_damaged_upload_is_given_up(client: ArtifactClient, scheduler: Scheduler, source: Path) -> None:
    scheduler.damage = True
    with pytest.raises(UploadMismatch, match="Other bytes"):
        await client.upload(source, name="a")
    assert scheduler.requests[-1] == "DELETE"
    assert not scheduler.blobs


async def test_file_that_shrinks_meanwhile_is_said_so_and_given_up(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    with pytest.raises(UploadMismatch, match="became shorter"):
        await client.upload(source, name="a", on_progress=lambda done: os.truncate(source, done))
    assert not scheduler.blobs
    assert scheduler.requests[-1] == "DELETE"


async def test_file_that_grows_meanwhile_is_sent_as_it_was_announced(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    def grow(_: int) -> None:
        with source.open("ab") as file:
            file.write(b"more")

    await client.upload(source, name="a", on_progress=grow)
    assert scheduler.blobs["up1"] == CONTENT


async def test_server_that_takes_nothing_is_given_up(
    client: ArtifactClient, scheduler: Scheduler, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep_for_ever(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def announce(request: web.Request) -> web.StreamResponse:
        return await scheduler._announce(request)

    monkeypatch.setattr(transfer, "STALL_S", 0.2)
    scheduler.faults = [announce, sleep_for_ever]
    with stamina.set_testing(True, attempts=1), pytest.raises(SchedulerUnavailable, match=r"no more bytes|not answer"):
        await client.upload(source, name="a")
    assert scheduler.requests[-1] == "DELETE"


async def test_cancelled_upload_is_given_up(client: ArtifactClient, scheduler: Scheduler, source: Path) -> None:
    sending: asyncio.Task[ArtifactRef]

    def cancel(_: int) -> None:
        sending.cancel()

    sending = asyncio.create_task(client.upload(source, name="a", on_progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert scheduler.requests[-1] == "DELETE"
    assert not scheduler.blobs


async def test_missing_file_is_not_found_and_a_folder_is_refused(client: ArtifactClient, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.mkv"):
        await client.upload(tmp_path / "none.mkv", name="a")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await client.upload(tmp_path, name="a")


# --- download --------------------------------------------------------------------------------------


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
        ({"blobs": {"up1": CONTENT}, "damage": True}, TransientFailure),
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
