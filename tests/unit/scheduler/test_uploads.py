"""Bytes come in any number of parts, stay where they break off, and are checked as a whole; files are used in place only where that is allowed and safe."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scheduler_parts import DEADLINE_S, Parts

from mediafleet.artifacts import staging
from mediafleet.artifacts.fingerprint import fingerprint_of, input_uri, uri_of_path
from mediafleet.domain.artifact import ArtifactRef, ArtifactState
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import Conflict, InputError, InvalidRequest, NotFound, UploadMismatch
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.plan import Wait
from mediafleet.kinds.noop import KIND
from mediafleet.ops.settings import ArtifactSettings
from mediafleet.scheduler import uploads as module
from mediafleet.scheduler.facade import OpenUpload, UploadAnnouncement
from mediafleet.scheduler.tasks import job_record
from mediafleet.scheduler.uploads import MAX_NAME_BYTES, Uploads, safe_name
from mediafleet.store.records import Completed

FILM = b"a whole film"
SHA256 = hashlib.sha256(FILM).hexdigest()


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


class Halting:
    """A sender that stops half-way, until it is told to go on or goes away."""

    def __init__(self, data: bytes) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self._data = data

    async def chunks(self) -> AsyncIterator[bytes]:
        """Send the first byte, and the rest later."""
        yield self._data[:1]
        self.asked.set()
        await self.go_on.wait()
        yield self._data[1:]


def uploads_of(parts: Parts, **settings: object) -> Uploads:
    rules = ArtifactSettings(**settings)  # pyright: ignore[reportArgumentType]
    return Uploads(parts.store, parts.blobs, SystemClock(), rules, retention=parts.retention, keep_ms=60_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files may be used in place."""
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


@pytest.fixture
def uploads(parts: Parts, folder: Path) -> Uploads:
    return uploads_of(parts, file_roots=(str(folder),), max_upload_bytes=1_000)


async def announce(uploads: Uploads, size: int = len(FILM), sha256: str = "") -> str:
    return (await uploads.announce(UploadAnnouncement("film.mkv", size, sha256), principal="ann")).ref.id


async def send(uploads: Uploads, name: str, *data: bytes, offset: int = 0) -> ArtifactRef:
    """Send a part; what it returns is the reference if it was the last one."""
    received, _ = await uploads.receive(name, offset=offset, length=sum(map(len, data)), chunks=pieces(*data))
    return cast("ArtifactRef", received)


async def read(uploads: Uploads, name: str, start: int = 0, length: int = 1_000) -> bytes:
    found = await uploads.open(name)
    return b"".join([piece async for piece in found.read(start, length)])


async def leaves_nothing(parts: Parts, name: str) -> bool:
    folder = parts.blobs.local_path(name).parent
    return await parts.store.read.artifact(name) is None and not [*folder.rglob(f"*{name}*")]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b", "é" * (MAX_NAME_BYTES // 2 + 1)])
def test_a_name_that_is_more_than_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="a file name of 1 to 255 bytes, without a path"):
        safe_name(name)


@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=60))
def test_any_other_name_is_kept_as_it_is(name: str) -> None:
    if name not in {".", ".."}:
        assert safe_name(name) == name
    assert safe_name("x" * MAX_NAME_BYTES)


async def test_an_upload_is_open_until_its_bytes_have_come(parts: Parts, uploads: Uploads) -> None:
    wish = UploadAnnouncement("film.mkv", len(FILM), grant="g")
    artifact = await uploads.announce(wish, principal="ann")
    assert (artifact.state, artifact.principal, artifact.grant) == (ArtifactState.OPEN, "ann", "g")
    assert await parts.store.read.artifact(artifact.ref.id) == artifact
    with pytest.raises(NotFound, match="is not complete yet"):
        await uploads.open(artifact.ref.id)


@pytest.mark.parametrize("size", [-1, 1_001])
async def test_an_upload_of_an_impossible_size_is_refused(parts: Parts, uploads: Uploads, size: int) -> None:
    with pytest.raises(InvalidRequest, match=f"An upload has 0 to 1000 bytes; {size} were announced"):
        await announce(uploads, size)
    assert await parts.driver.key_names() == {parts.store.keys.schema}


@pytest.mark.parametrize("data", [b"", FILM])
async def test_what_was_sent_is_what_is_read(uploads: Uploads, data: bytes) -> None:
    name = await announce(uploads, len(data))
    ref = await send(uploads, name, data[:5], data[5:])
    assert (ref.size, ref.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert await read(uploads, name) == data


async def test_a_part_of_an_upload_may_be_read(uploads: Uploads) -> None:
    name = await announce(uploads)
    await send(uploads, name, FILM)
    assert await read(uploads, name, 2, 5) == FILM[2:7]


async def test_a_reader_that_sees_the_folder_may_use_an_upload_in_place(parts: Parts, uploads: Uploads) -> None:
    name = await announce(uploads)
    ref = await send(uploads, name, FILM)
    path = parts.blobs.local_path(name)
    assert (ref.uri, ref.fingerprint) == (uri_of_path(path), fingerprint_of(path))


async def test_an_upload_that_completes_gives_work_to_those_who_waited(parts: Parts, uploads: Uploads) -> None:
    name = await announce(uploads)
    await parts.driver.submit_one("only", inputs=[name])
    _, queues = await uploads.receive(name, offset=0, length=len(FILM), chunks=pieces(FILM))
    assert (await parts.store.read.waiting_queues())[1] == queues != []


@pytest.mark.parametrize(("offset", "length"), [(0, len(FILM)), (2, 1), (4, 1), (3, len(FILM) - 2), (len(FILM), 0)])
async def test_what_does_not_go_on_where_the_bytes_end_is_refused_and_the_right_part_may_still_come(
    uploads: Uploads, offset: int, length: int
) -> None:
    name = await announce(uploads)
    await send(uploads, name, FILM[:3])
    with pytest.raises(UploadMismatch, match=f"{length} from offset {offset} were offered.*; go on from offset 3"):
        await uploads.receive(name, offset=offset, length=length, chunks=pieces(FILM))
    assert (await send(uploads, name, FILM[3:], offset=3)).sha256 == SHA256


async def test_between_two_parts_it_is_known_how_far_it_is(uploads: Uploads) -> None:
    name = await announce(uploads)
    assert await uploads.find(name) == OpenUpload(name, 0, len(FILM))
    left, queues = await uploads.receive(name, offset=0, length=5, chunks=pieces(FILM[:5]))
    assert (left, queues) == (OpenUpload(name, 5, len(FILM) - 5), [])
    assert await uploads.find(name) == left
    await send(uploads, name, FILM[5:], offset=5)
    assert await uploads.find(name) is None


@given(cuts=st.lists(st.integers(0, len(FILM)), max_size=5), instances=st.lists(st.booleans(), min_size=6, max_size=6))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_cutting_over_any_instances_gives_the_same_artifact(
    parts: Parts, cuts: list[int], instances: list[bool]
) -> None:
    other = Parts(parts.store, parts.blobs.local_path("x").parent)
    both = uploads_of(parts), uploads_of(other)
    name = await announce(both[0], sha256=SHA256)
    borders = [0, *sorted({cut for cut in cuts if 0 < cut < len(FILM)}), len(FILM)]
    for (start, end), is_other in zip(itertools.pairwise(borders), instances, strict=False):
        await send(both[is_other], name, FILM[start:end], offset=start)
    assert await read(both[0], name) == FILM


async def test_bytes_with_another_hash_are_removed_and_may_come_again(parts: Parts, uploads: Uploads) -> None:
    name = await announce(uploads, sha256=SHA256)
    job = await parts.driver.submit_one("only", inputs=[name])
    with pytest.raises(UploadMismatch, match=r"SHA-256 .* send them again from offset 0"):
        await send(uploads, name, FILM[::-1])
    assert not parts.blobs.local_path(name).exists()
    assert (await parts.job(job)).status is JobStatus.UPLOADING
    await send(uploads, name, FILM)
    assert await read(uploads, name) == FILM


async def test_what_came_before_it_broke_off_stays_and_its_job_waits_on(parts: Parts, uploads: Uploads) -> None:
    name = await announce(uploads)
    job = await parts.driver.submit_one("only", inputs=[name])
    with pytest.raises(UploadMismatch, match=f"Only 3 of {len(FILM)} bytes came; go on from offset 3"):
        await uploads.receive(name, offset=0, length=len(FILM), chunks=pieces(FILM[:3]))
    assert (await parts.job(job)).status is JobStatus.UPLOADING
    await send(uploads, name, FILM[3:], offset=3)
    assert (await parts.job(job)).status is JobStatus.PENDING


async def test_a_sender_that_is_silent_makes_room_for_the_next(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.05)
    name, sender = await announce(uploads), Halting(FILM)
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(UploadMismatch, match="go on from offset 1"):
            await uploads.receive(name, offset=0, length=len(FILM), chunks=sender.chunks())
    await send(uploads, name, FILM[1:], offset=1)


def test_a_silent_sender_is_given_up_before_it_is_left_behind() -> None:
    assert module.SILENCE_S + staging.FLUSH_S < staging.TAKEOVER_S


async def test_an_instance_that_stops_leaves_an_upload_that_goes_on(uploads: Uploads) -> None:
    name, sender = await announce(uploads), Halting(FILM)
    receiving = asyncio.create_task(uploads.receive(name, offset=0, length=len(FILM), chunks=sender.chunks()))
    async with asyncio.timeout(DEADLINE_S):
        await sender.asked.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    left = await uploads.find(name)
    assert left is not None
    await send(uploads, name, FILM[left.offset :], offset=left.offset)


async def test_a_second_sender_is_turned_away_and_the_first_goes_on(parts: Parts, uploads: Uploads) -> None:
    name, sender = await announce(uploads), Halting(FILM)
    receiving = asyncio.create_task(uploads.receive(name, offset=0, length=len(FILM), chunks=sender.chunks()))
    async with asyncio.timeout(DEADLINE_S):
        await sender.asked.wait()
        for instance in (uploads, uploads_of(Parts(parts.store, parts.blobs.local_path("x").parent))):
            with pytest.raises(Conflict, match="is already being received; ask again where to go on"):
                await send(instance, name, FILM)
        sender.go_on.set()
        await receiving
    assert await read(uploads, name) == FILM


async def test_a_complete_upload_cannot_be_overwritten(uploads: Uploads) -> None:
    name = await announce(uploads)
    await send(uploads, name, FILM)
    with pytest.raises(Conflict, match="is complete already; announce another one"):
        await send(uploads, name, FILM[::-1])
    assert await read(uploads, name) == FILM


async def test_whoever_lost_the_last_answer_gets_it_again(uploads: Uploads) -> None:
    name = await announce(uploads)
    ref = await send(uploads, name, FILM)
    assert await send(uploads, name, offset=len(FILM)) == ref


async def test_an_instance_that_died_before_it_wrote_down_the_end_is_finished_by_another(
    parts: Parts, uploads: Uploads
) -> None:
    name = await announce(uploads)
    job = await parts.driver.submit_one("only", inputs=[name])
    await uploads.receive(name, offset=0, length=3, chunks=pieces(FILM[:3]))
    async with parts.blobs.claim(name) as staged:
        await staged.append(pieces(FILM[3:]), most=len(FILM))
        await parts.blobs.publish(staged, name)
    assert await uploads.find(name) == OpenUpload(name, len(FILM), 0)
    assert (await send(uploads, name, offset=len(FILM))).sha256 == SHA256
    assert await read(uploads, name) == FILM
    assert (await parts.job(job)).status is JobStatus.PENDING


async def test_of_two_instances_that_finish_at_once_both_get_the_same_reference(
    parts: Parts, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await announce(uploads)
    complete = parts.store.complete_artifact

    async def be_second(artifact: str, *, doc: str) -> Completed:
        monkeypatch.setattr(parts.store, "complete_artifact", complete)
        await complete(artifact, doc=doc)
        return await complete(artifact, doc=doc)

    monkeypatch.setattr(parts.store, "complete_artifact", be_second)
    ref = await send(uploads, name, FILM)
    assert (await send(uploads, name, offset=len(FILM)), await read(uploads, name)) == (ref, FILM)


async def test_an_upload_that_was_given_up_meanwhile_leaves_no_bytes(parts: Parts, uploads: Uploads) -> None:
    name, sender = await announce(uploads), Halting(FILM)
    receiving = asyncio.create_task(uploads.receive(name, offset=0, length=len(FILM), chunks=sender.chunks()))
    async with asyncio.timeout(DEADLINE_S):
        await sender.asked.wait()
        await parts.store.drop_artifact(name, error="{}", unused=False)
        sender.go_on.set()
        with pytest.raises(NotFound, match="was given up meanwhile; upload the file again"):
            await receiving
    assert await leaves_nothing(parts, name)


async def test_a_sender_hears_on_the_way_that_nobody_wants_the_upload(parts: Parts) -> None:
    impatient = Uploads(
        parts.store, parts.blobs, SystemClock(), ArtifactSettings(), retention=parts.retention, keep_ms=0
    )
    name, sender = await announce(impatient), Halting(FILM)
    receiving = asyncio.create_task(impatient.receive(name, offset=0, length=len(FILM), chunks=sender.chunks()))
    async with asyncio.timeout(DEADLINE_S):
        await sender.asked.wait()
        await parts.retention.drop_artifact(name, error=module.ABORTED, unused=True)
        sender.go_on.set()
        with pytest.raises(NotFound, match="was given up meanwhile"):
            await receiving
    assert await leaves_nothing(parts, name)


async def test_an_upload_whose_bytes_were_lost_has_to_be_announced_anew(parts: Parts, uploads: Uploads) -> None:
    name = await announce(uploads)
    await parts.blobs.delete(name)
    for asked in (uploads.find(name), send(uploads, name, FILM)):
        with pytest.raises(NotFound):
            await asked


async def test_a_job_that_ended_takes_its_unfinished_uploads_with_it(parts: Parts, uploads: Uploads) -> None:
    job = Job("j0-user", "0", "default", "local", "noop", 1, "", (), {}, PriorityClass.BATCH, 1)
    half, whole = await announce(uploads), await announce(uploads)
    await uploads.receive(half, offset=0, length=3, chunks=pieces(FILM[:3]))
    await send(uploads, whole, FILM)
    job = msgspec.structs.replace(job, inputs=tuple(ArtifactRef(name, "film.mkv") for name in (half, whole)))
    record, queues = job_record(job, Wait(), KIND, key="", waits=[half], retention_ms=60_000)
    await parts.store.submit([record], queues)
    await uploads.abandon(job.id)
    assert await uploads.find(half) == OpenUpload(half, 3, len(FILM) - 3)
    await parts.planner.cancel(job.id)
    await uploads.abandon(job.id)
    assert await leaves_nothing(parts, half)
    assert await read(uploads, whole) == FILM


@pytest.mark.parametrize("name", ["a0-none", "j0-job", "../etc", ""])
async def test_an_artifact_that_is_not_there_is_not_found(uploads: Uploads, name: str) -> None:
    for asked in (uploads.open(name), uploads.discard(name), uploads.resolve_input(f"artifact:{name}", principal="a")):
        with pytest.raises(NotFound, match="it may have expired"):
            await asked


async def test_an_upload_that_no_job_uses_may_be_discarded(parts: Parts, uploads: Uploads) -> None:
    name = await announce(uploads)
    await send(uploads, name, FILM)
    await uploads.discard(name)
    assert await leaves_nothing(parts, name)


async def test_half_an_upload_may_be_discarded_and_takes_the_jobs_that_wait_for_it_along(
    parts: Parts, uploads: Uploads
) -> None:
    name = await announce(uploads)
    job = await parts.driver.submit_one("only", inputs=[name])
    await uploads.receive(name, offset=0, length=3, chunks=pieces(FILM[:3]))
    await uploads.discard(name)
    assert await leaves_nothing(parts, name)
    assert (await parts.job(job)).error == module.ABORTED


async def test_an_upload_that_a_job_uses_stays(parts: Parts, uploads: Uploads) -> None:
    name = await announce(uploads)
    await send(uploads, name, FILM)
    await parts.driver.submit_one("only", inputs=[name])
    with pytest.raises(Conflict, match="belongs to a job; it goes when the job does"):
        await uploads.discard(name)
    assert await read(uploads, name) == FILM


async def test_an_upload_is_an_input_by_its_id(uploads: Uploads) -> None:
    name = await announce(uploads)
    ref = await send(uploads, name, FILM)
    assert await uploads.resolve_input(f"artifact:{name}", principal="ann") == ref


def a_file(folder: Path, name: str = "film.mkv") -> Path:
    path = folder / name
    path.write_bytes(FILM)
    return path


async def test_a_file_is_used_in_place_with_proof_of_what_it_was(parts: Parts, uploads: Uploads, folder: Path) -> None:
    path = a_file(folder)
    ref = await uploads.resolve_input(path.as_uri(), principal="ann")
    assert (ref.name, ref.size, ref.uri) == ("film.mkv", len(FILM), path.as_uri())
    assert ref.fingerprint == fingerprint_of(path)
    kept = await parts.store.read.artifact(ref.id)
    assert kept
    assert (kept.state, kept.principal, kept.blob) == (ArtifactState.COMPLETE, "ann", "")


async def test_a_file_in_place_is_streamed_in_pieces_to_a_node_that_cannot_see_it(
    uploads: Uploads, folder: Path
) -> None:
    path = folder / "long.mkv"
    path.write_bytes(os.urandom(2_500_000))
    ref = await uploads.resolve_input(path.as_uri(), principal="ann")
    found = await uploads.open(ref.id)
    streamed = [piece async for piece in found.read(7, 2_400_000)]
    assert b"".join(streamed) == path.read_bytes()[7:2_400_007]
    assert len(streamed) == 3


@pytest.mark.parametrize("after", [None, b"another film", FILM[::-1]])
async def test_a_file_that_has_changed_since_is_not_handed_out(
    uploads: Uploads, folder: Path, after: bytes | None
) -> None:
    path = a_file(folder)
    ref = await uploads.resolve_input(path.as_uri(), principal="ann")
    path.unlink()
    if after is not None:
        path.write_bytes(after)
    with pytest.raises(NotFound, match=r"The file 'film\.mkv' has changed or gone since it was submitted"):
        await uploads.open(ref.id)


async def test_a_file_has_the_same_version_until_it_is_changed(uploads: Uploads, folder: Path) -> None:
    path = a_file(folder)
    first, second = [await uploads.resolve_input(uri_of_path(path), principal="ann") for _ in range(2)]
    assert first.id != second.id
    assert first.version == second.version != ""
    os.utime(path, ns=(1, 1))
    assert (await uploads.resolve_input(uri_of_path(path), principal="ann")).version != first.version


async def test_a_file_that_another_machine_proved_must_be_the_same_here(uploads: Uploads, folder: Path) -> None:
    path = a_file(folder)
    proven = input_uri(path, fingerprint_of(path))
    assert (await uploads.resolve_input(proven, principal="ann")).size == len(FILM)
    path.write_bytes(b"another")
    with pytest.raises(InputError, match=r"cannot see the file .* as given; upload it instead"):
        await uploads.resolve_input(proven, principal="ann")


async def test_a_file_that_is_not_here_asks_for_an_upload(uploads: Uploads, folder: Path) -> None:
    for path in (folder / "none.mkv", folder):
        with pytest.raises(InputError, match=r"cannot see the file .* as given; upload it instead"):
            await uploads.resolve_input(uri_of_path(path), principal="ann")


async def test_files_outside_the_folders_that_are_allowed_are_refused(uploads: Uploads, tmp_path: Path) -> None:
    path = a_file(tmp_path)
    with pytest.raises(InputError, match=r"upload the file, or add the folder to artifacts\.file_roots"):
        await uploads.resolve_input(path.as_uri(), principal="ann")


async def test_a_link_does_not_lead_out_of_the_folders_that_are_allowed(
    uploads: Uploads, folder: Path, tmp_path: Path
) -> None:
    (folder / "inside.mkv").symlink_to(a_file(tmp_path))
    with pytest.raises(InputError, match="may not be used in place"):
        await uploads.resolve_input((folder / "inside.mkv").as_uri(), principal="ann")


async def test_no_file_may_be_used_in_place_where_no_folder_is_named(parts: Parts, folder: Path) -> None:
    with pytest.raises(InputError, match="may not be used in place"):
        await uploads_of(parts).resolve_input(a_file(folder).as_uri(), principal="ann")


@pytest.mark.parametrize("uri", ["https://example.org/film.mkv", "/film.mkv", "", "FILE:///film.mkv"])
async def test_what_is_neither_a_file_nor_an_artifact_is_refused(uploads: Uploads, uri: str) -> None:
    with pytest.raises(InputError, match="give a file:// or s3:// address or upload the file first"):
        await uploads.resolve_input(uri, principal="ann")


async def test_a_name_that_is_no_text_is_shown_with_question_marks_and_found_by_its_bytes(
    uploads: Uploads, folder: Path
) -> None:
    path = folder / os.fsdecode(b"film-\xff.mkv")
    path.write_bytes(FILM)
    ref = await uploads.resolve_input(uri_of_path(path), principal="ann")
    assert ref.name == "film-?.mkv"
    assert await read(uploads, ref.id) == FILM
