"""Files arrive whole, checked and under their name, or not at all; what breaks off goes on from there."""

# ruff: noqa: ASYNC240 - the files of a test are small

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import aiohttp
import pytest
import stamina
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafleet.artifacts import sending, transfer
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
    damage: int = 0
    """How many of the next transfers arrive as other bytes than were sent."""
    take: list[int] = field(default_factory=list[int])
    """Each breaks one upload's part after that many bytes."""
    received: int = 0
    """Bytes that came with uploads, over all tries."""
    completed: set[str] = field(default_factory=set[str])
    announcements: int = 0

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 40)
        app.router.add_post("/api/v1/artifacts", self._announce)
        app.router.add_put("/api/v1/artifacts/{id}", self._receive)
        app.router.add_get("/api/v1/artifacts/{id}", self._send, allow_head=False)
        app.router.add_head("/api/v1/artifacts/{id}", self._tell)
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
        self.announcements += 1
        upload = f"up{self.announcements}"
        self.blobs[upload] = b""
        return web.json_response({"id": upload, "offset": 0, "length": self.announced["size"]}, status=201)

    async def _receive(self, request: web.Request) -> web.Response:
        upload, offset = request.match_info["id"], int(request.query["offset"])
        if upload not in self.blobs:
            return problem(404, "not-found", "The upload was given up.")
        if offset != len(self.blobs[upload]):
            return problem(409, "upload-mismatch", f"Go on from offset {len(self.blobs[upload])}.")
        assert request.content_length == self.announced["size"] - offset
        limit = self.take.pop(0) if self.take else 1 << 40
        part = await request.content.read(0)
        while len(part) < limit and (chunk := await request.content.readany()):
            part += chunk
        self.received += len(part)
        self.blobs[upload] += part[:limit]
        if len(part) > limit or len(self.blobs[upload]) != self.announced["size"]:
            return await hang_up(request)
        return self._finish(upload)

    def _finish(self, upload: str) -> web.Response:
        self.completed.add(upload)
        content, is_damaged = self.blobs[upload], self.damage > 0
        self.damage -= is_damaged
        digest = hashlib.sha256(content + b"!" * is_damaged).hexdigest()
        return web.json_response({"id": upload, "name": self.announced["name"], "size": len(content), "sha256": digest})

    async def _tell(self, request: web.Request) -> web.Response:
        content = self.blobs.get(request.match_info["id"])
        if content is None:
            return web.Response(status=404)
        if request.match_info["id"] in self.completed:
            return web.Response(headers={"ETag": f'"{hashlib.sha256(content).hexdigest()}"'})
        return web.Response(headers={"Upload-Offset": str(len(content)), "Upload-Length": str(self.announced["size"])})

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


@asynccontextmanager
async def serve(scheduler: Scheduler) -> AsyncGenerator[str]:
    runner = web.AppRunner(scheduler.application(), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.fixture
async def address(scheduler: Scheduler) -> AsyncGenerator[str]:
    async with serve(scheduler) as address:
        yield address


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


async def test_damaged_upload_is_sent_once_more(client: ArtifactClient, scheduler: Scheduler, source: Path) -> None:
    scheduler.damage = 1
    ref = await client.upload(source, name="a")
    assert (ref.id, ref.sha256) == ("up2", DIGEST)
    assert scheduler.requests == ["POST", "PUT", "DELETE", "POST", "PUT"]
    assert set(scheduler.blobs) == {"up2"}


async def test_upload_that_is_damaged_again_is_given_up(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    scheduler.damage = 2
    with pytest.raises(UploadMismatch, match="Other bytes"):
        await client.upload(source, name="a")
    assert scheduler.requests == ["POST", "PUT", "DELETE"] * 2
    assert not scheduler.blobs


async def test_broken_upload_goes_on_where_it_broke_and_its_progress_never_falls(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    scheduler.take = [1000] * 7  # More breaks than tries: each made progress.
    seen: list[int] = []
    ref = await client.upload(source, name="a", on_progress=seen.append)
    assert (ref.sha256, scheduler.blobs["up1"]) == (DIGEST, CONTENT)
    assert scheduler.requests == ["POST", "PUT", *["HEAD", "PUT"] * 7]
    assert seen == sorted(set(seen))
    assert seen[-1] == len(CONTENT)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(breaks=st.lists(st.integers(1, len(CONTENT) // 3), max_size=6))
async def test_any_breaking_off_brings_the_same_bytes(tmp_path: Path, breaks: list[int]) -> None:
    source = tmp_path / "source.mkv"
    source.write_bytes(CONTENT)
    scheduler = Scheduler(take=list(breaks))
    async with serve(scheduler) as address, aiohttp.ClientSession() as session:
        assert (await ArtifactClient(session, address, TOKEN).upload(source, name="a")).sha256 == DIGEST
    assert (scheduler.announcements, scheduler.blobs["up1"]) == (1, CONTENT)


async def test_upload_without_progress_is_given_up_in_the_end_but_what_came_stays(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    scheduler.take = [BLOCK_BYTES, *[0] * 9]
    with pytest.raises(SchedulerUnavailable):
        await client.upload(source, name="a")
    assert len(scheduler.blobs["up1"]) == BLOCK_BYTES
    scheduler.take.clear()
    scheduler.requests.clear()
    assert (await client.upload(source, name="a")).sha256 == DIGEST
    assert scheduler.requests == ["HEAD", "PUT"]


async def test_another_content_of_the_same_name_is_another_upload(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    scheduler.take = [BLOCK_BYTES, *[0] * 9]
    with pytest.raises(SchedulerUnavailable):
        await client.upload(source, name="a")
    scheduler.take.clear()
    source.write_bytes(CONTENT[::-1])
    os.utime(source, (1, 1))
    assert (await client.upload(source, name="a")).id == "up2"
    assert scheduler.blobs["up2"] == CONTENT[::-1]


async def test_upload_that_is_gone_is_begun_anew(client: ArtifactClient, scheduler: Scheduler, source: Path) -> None:
    async def forget(request: web.Request) -> web.StreamResponse:
        scheduler.blobs.clear()
        return await hang_up(request)

    scheduler.faults = [scheduler._announce, forget]
    ref = await client.upload(source, name="a")
    assert (ref.id, ref.sha256) == ("up2", DIGEST)


async def test_answer_that_was_lost_is_asked_for_again_without_the_bytes(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    async def lose_answer(request: web.Request) -> web.StreamResponse:
        await scheduler._receive(request)
        return await hang_up(request)

    scheduler.faults = [scheduler._announce, lose_answer]
    assert (await client.upload(source, name="a")).sha256 == DIGEST
    assert scheduler.requests == ["POST", "PUT", "HEAD", "PUT"]
    assert scheduler.received == len(CONTENT)


async def test_upload_waits_until_the_scheduler_has_noticed_the_break(
    client: ArtifactClient, scheduler: Scheduler, source: Path
) -> None:
    async def be_busy(request: web.Request) -> web.StreamResponse:
        await request.read()
        return problem(409, "conflict", "The upload is being received.")

    scheduler.faults = [scheduler._announce, be_busy, scheduler._tell, be_busy]
    assert (await client.upload(source, name="a")).sha256 == DIGEST
    assert scheduler.announcements == 1


@pytest.mark.parametrize("offset", ["", "one", "-1", str(len(CONTENT) + 1)])
async def test_offset_that_makes_no_sense_is_no_schedulers(
    client: ArtifactClient, scheduler: Scheduler, source: Path, offset: str
) -> None:
    async def tell_nonsense(_: web.Request) -> web.StreamResponse:
        return web.Response(headers={"Upload-Offset": offset})

    scheduler.faults = [scheduler._announce, hang_up, *[tell_nonsense] * 9]
    with pytest.raises(SchedulerUnavailable, match="no mediafleet scheduler"):
        await client.upload(source, name="a")


async def test_few_unfinished_uploads_are_remembered(
    client: ArtifactClient, scheduler: Scheduler, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_MOST_BEGUN", 2)
    for name in ("a", "b", "c"):
        scheduler.take = [0] * 9
        with pytest.raises(SchedulerUnavailable):
            await client.upload(source, name=name)
    assert list(client._sender._begun.values()) == ["up2", "up3"]


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


async def test_server_that_takes_nothing_is_not_waited_for_for_ever(
    client: ArtifactClient, scheduler: Scheduler, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep_for_ever(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def announce(request: web.Request) -> web.StreamResponse:
        return await scheduler._announce(request)

    monkeypatch.setattr(sending, "STALL_S", 0.2)
    scheduler.faults = [announce, sleep_for_ever]
    with stamina.set_testing(True, attempts=1), pytest.raises(SchedulerUnavailable, match=r"no more bytes|not answer"):
        await client.upload(source, name="a")
    assert scheduler.requests == ["POST", "PUT"]


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
