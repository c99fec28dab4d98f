"""Files are sent whole and checked, and go on where they broke off."""

# ruff: noqa: ASYNC240 - the files of a test are small

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stamina
from aiohttp import web
from artifact_routes import (
    CONTENT,
    DIGEST,
    TOKEN,
    Scheduler,
    be_a_proxy,
    be_away,
    be_full,
    be_something_else,
    hang_up,
    problem,
    serve,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediafleet.artifacts import sending
from mediafleet.artifacts.disk import BLOCK_BYTES
from mediafleet.artifacts.transfer import ArtifactClient
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import (
    InvalidRequest,
    NotFound,
    SchedulerUnavailable,
    Unauthorized,
    Unavailable,
    UploadMismatch,
)


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
    assert [opened.id for opened in client._sender._begun.values()] == ["up2", "up3"]


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
