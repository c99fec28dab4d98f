"""Replacing originals in place: what is replaced, what is left alone, and how it comes back."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests_support.shelf import DAY_MS, NEW, OLD, Shelf

from mediafleet.artifacts.originals import Originals, Replacement, ReplaceStep, Restored, RestoreStep, result_name
from mediafleet.artifacts.originals.journal import Journal, JournalState, decode_journal, encode_journal
from mediafleet.domain.artifact import Fingerprint
from mediafleet.domain.errors import (
    CapabilityMissing,
    Conflict,
    InputError,
    InvalidRequest,
    MediafleetError,
    NotFound,
    TransientFailure,
)


async def test_the_result_stands_where_the_original_was_which_is_kept(shelf: Shelf) -> None:
    film = shelf.film()
    replaced = await shelf.replace(film)
    assert replaced.path == shelf.folder / "film.mp4"
    assert (replaced.path.read_bytes(), replaced.kept.read_bytes()) == (NEW, OLD)
    assert replaced.until_ms == shelf.clock.now + 30 * DAY_MS
    assert shelf.names() == ["film.mp4"]
    assert shelf.made.read_bytes() == NEW


async def test_the_same_job_replaces_once(shelf: Shelf) -> None:
    film = shelf.film(".mkv.film.mkv")
    wish = shelf.wish(film, ending=".mkv")
    first = await shelf.originals.replace(wish, shelf.made)
    shelf.made.unlink()
    assert await shelf.originals.replace(wish, shelf.made) == first
    assert first.kept.read_bytes() == OLD


async def test_mode_and_time_of_the_original_pass_to_the_result(shelf: Shelf) -> None:
    film = shelf.film()
    film.chmod(0o640)
    os.utime(film, ns=(5_000_000_000, 7_000_000_001))
    replaced = await shelf.replace(film)
    found = replaced.path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o640, 7_000_000_001)


async def test_an_original_that_changed_is_left_alone(shelf: Shelf) -> None:
    film = shelf.film()
    wish = shelf.wish(film)
    film.write_bytes(b"another cut.")
    with pytest.raises(Conflict, match="has changed since"):
        await shelf.originals.replace(wish, shelf.made)
    assert film.read_bytes() == b"another cut."
    assert shelf.names() == ["film.mkv"]


async def test_a_touched_original_of_the_same_bytes_is_left_alone(shelf: Shelf) -> None:
    film = shelf.film()
    wish = shelf.wish(film)
    os.utime(film, ns=(1, 1))
    with pytest.raises(Conflict, match="has changed since"):
        await shelf.originals.replace(wish, shelf.made)
    unknown = msgspec.structs.replace(wish, mtime_ns=0)
    assert (await shelf.originals.replace(unknown, shelf.made)).path.exists()


@pytest.mark.parametrize("step", [ReplaceStep.WRITING, ReplaceStep.SYNCED])
async def test_an_original_that_changes_while_the_result_is_written_is_left_alone(
    shelf: Shelf, step: ReplaceStep
) -> None:
    film = shelf.film()

    def change(now: ReplaceStep | RestoreStep) -> None:
        if now is step:
            film.write_bytes(b"another cut.")

    shelf.on_step = change
    with pytest.raises(Conflict, match="has changed since"):
        await shelf.replace(film)
    assert film.read_bytes() == b"another cut."
    assert shelf.names() == ["film.mkv"]


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
async def test_what_is_written_into_the_original_while_names_change_is_not_lost(shelf: Shelf, ending: str) -> None:
    film = shelf.film()

    def write(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.KEPT:
            film.write_bytes(b"a late word!")

    shelf.on_step = write
    with pytest.raises(Conflict, match="was written to while"):
        await shelf.replace(film, ending=ending)
    assert film.read_bytes() == b"a late word!"
    assert shelf.names() == ["film.mkv"]


async def test_another_file_with_the_name_of_the_result_is_not_overwritten(shelf: Shelf) -> None:
    film, other = shelf.film(), shelf.film("film.mp4", b"another film")
    with pytest.raises(Conflict, match="exists already"):
        await shelf.replace(film)
    assert (film.read_bytes(), other.read_bytes()) == (OLD, b"another film")


async def test_a_file_that_takes_the_name_at_the_last_moment_is_not_overwritten(shelf: Shelf) -> None:
    film = shelf.film()

    def take(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.KEPT:
            shelf.film("film.mp4", b"another film")

    shelf.on_step = take
    with pytest.raises(Conflict, match="exists already"):
        await shelf.replace(film)
    assert (film.read_bytes(), (shelf.folder / "film.mp4").read_bytes()) == (OLD, b"another film")
    assert shelf.names() == ["film.mkv", "film.mp4"]


async def test_links_are_not_replaced_but_what_they_lead_to_can_be(shelf: Shelf, tmp_path: Path) -> None:
    film = shelf.film()
    link = shelf.folder / "link.mkv"
    link.symlink_to(film)
    with pytest.raises(InputError, match="is a link"):
        await shelf.replace(link)
    assert link.is_symlink()
    outside = tmp_path / "elsewhere"
    outside.symlink_to(shelf.folder)
    assert (await shelf.replace(outside / "film.mkv")).path == outside / "film.mp4"
    assert (shelf.folder / "film.mp4").read_bytes() == NEW


async def test_other_names_of_the_original_keep_it_and_that_is_said(shelf: Shelf) -> None:
    film = shelf.film()
    second = shelf.folder / "second.mkv"
    second.hardlink_to(film)
    replaced = await shelf.replace(film)
    assert second.read_bytes() == OLD
    assert "1 other name(s)" in replaced.warnings[0]


async def test_nothing_outside_the_folders_is_touched(shelf: Shelf, tmp_path: Path) -> None:
    outside = tmp_path / "private"
    outside.mkdir()
    film = outside / "film.mkv"
    film.write_bytes(OLD)
    way = shelf.folder / "way"
    way.symlink_to(outside)
    for path in (film, way / "film.mkv", shelf.folder / ".." / "private" / "film.mkv", tmp_path / "none" / "film.mkv"):
        wish = replace_original(shelf.wish(film), path)
        with pytest.raises(CapabilityMissing, match="files:replace"):
            await shelf.originals.replace(wish, shelf.made)
    assert list(outside.iterdir()) == [film]
    with pytest.raises(CapabilityMissing):
        await Originals((), tmp_path / "data").replace(shelf.wish(shelf.film()), shelf.made)


def replace_original(wish: Replacement, path: Path) -> Replacement:
    return msgspec.structs.replace(wish, original=path)


async def test_a_trash_folder_that_is_a_link_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    film, elsewhere = shelf.film(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (shelf.folder / ".mediafleet-trash").symlink_to(elsewhere)
    with pytest.raises(InputError, match="is no folder of its own"):
        await shelf.replace(film)
    assert not list(elsewhere.iterdir())
    assert film.read_bytes() == OLD


@pytest.mark.parametrize("job", ["../x", "a/b", "", ".", ".."])
async def test_a_job_whose_id_is_a_path_is_refused(shelf: Shelf, job: str) -> None:
    film = shelf.film()
    with pytest.raises(InvalidRequest, match="is no file name"):
        await shelf.replace(film, job=job)
    assert film.read_bytes() == OLD


async def test_a_result_that_arrives_damaged_is_not_put_in_place(shelf: Shelf) -> None:
    film = shelf.film()
    wish = shelf.wish(film)
    shelf.made.write_bytes(b"the resulT")
    with pytest.raises(TransientFailure, match="damaged on its way"):
        await shelf.originals.replace(wish, shelf.made)
    assert shelf.names() == ["film.mkv"]


async def test_bytes_that_the_disk_changes_are_found_out(shelf: Shelf) -> None:
    film = shelf.film()

    def spoil(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.WRITTEN:
            next(shelf.folder.glob(".*.mediafleet-part")).write_bytes(b"the resulT")

    shelf.on_step = spoil
    with pytest.raises(TransientFailure, match="does not give back"):
        await shelf.replace(film)
    assert (film.read_bytes(), shelf.names()) == (OLD, ["film.mkv"])


async def test_cancelled_while_it_writes_nothing_stays(shelf: Shelf) -> None:
    film = shelf.film()
    loop, writing = asyncio.get_running_loop(), asyncio.Event()

    def stop(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.JOURNALED:
            loop.call_soon_threadsafe(writing.set)
        if step is ReplaceStep.WRITING:
            # Goes on once the cancel has reached the coroutine, which then tells the thread.
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()

    shelf.on_step = stop
    task = asyncio.create_task(shelf.replace(film))
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (film.read_bytes(), shelf.names()) == (OLD, ["film.mkv"])


async def test_a_replacement_that_another_attempt_took_over_gives_way(shelf: Shelf, tmp_path: Path) -> None:
    film = shelf.film()
    wish, other = shelf.wish(film), Originals([str(shelf.folder)], tmp_path / "data-2")

    def take_over(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.SYNCED:
            asyncio.run(other.replace(wish, shelf.made))

    shelf.on_step = take_over
    with pytest.raises(TransientFailure, match="taken this replacement over"):
        await shelf.originals.replace(wish, shelf.made)
    assert shelf.names() == ["film.mp4"]


async def test_a_full_or_read_only_disk_is_told_in_a_sentence(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    film = shelf.film()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mediafleet.artifacts.originals.folder.os.link", refuse)
    with pytest.raises(MediafleetError, match="is full"):
        await shelf.replace(film)
    assert (film.read_bytes(), shelf.names()) == (OLD, ["film.mkv"])


# --- coming back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
async def test_the_original_comes_back_and_the_result_goes(shelf: Shelf, ending: str) -> None:
    film = shelf.film()
    before = film.stat()
    replaced = await shelf.replace(film, ending=ending)
    for _ in range(2):
        assert await shelf.originals.restore("j0-abc", replaced.kept) == Restored(film)
    assert (film.read_bytes(), shelf.names()) == (OLD, ["film.mkv"])
    assert os.path.samestat(film.stat(), before)


async def test_a_job_whose_original_was_brought_back_does_not_replace_it_again(shelf: Shelf) -> None:
    film = shelf.film()
    wish = shelf.wish(film)
    replaced = await shelf.originals.replace(wish, shelf.made)
    await shelf.originals.restore("j0-abc", replaced.kept)
    with pytest.raises(Conflict, match="was brought back"):
        await shelf.originals.replace(wish, shelf.made)
    assert film.read_bytes() == OLD


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
async def test_somebody_elses_file_is_not_overwritten_by_an_original(shelf: Shelf, ending: str) -> None:
    film = shelf.film()
    replaced = await shelf.replace(film, ending=ending)
    film.write_bytes(b"a new film")
    with pytest.raises(Conflict, match="is another file by now"):
        await shelf.originals.restore("j0-abc", replaced.kept)
    assert (film.read_bytes(), replaced.kept.read_bytes()) == (b"a new film", OLD)


async def test_a_result_that_was_worked_on_since_stays_beside_the_original(shelf: Shelf) -> None:
    replaced = await shelf.replace(shelf.film())
    replaced.path.write_bytes(b"with new tags")
    for _ in range(2):
        (warning,) = (await shelf.originals.restore("j0-abc", replaced.kept)).warnings
        assert "film.mp4' is not as it was made any more, so it was left" in warning
    assert shelf.names() == ["film.mkv", "film.mp4"]


async def test_an_original_comes_back_also_when_its_result_was_deleted(shelf: Shelf) -> None:
    replaced = await shelf.replace(shelf.film(), ending=".mkv")
    replaced.path.unlink()
    assert (await shelf.originals.restore("j0-abc", replaced.kept)).path.read_bytes() == OLD


async def test_what_was_never_replaced_cannot_come_back(shelf: Shelf) -> None:
    film = shelf.film()
    replaced = await shelf.replace(film)
    with pytest.raises(NotFound, match="Nothing is kept of j0-other"):
        await shelf.originals.restore("j0-other", replaced.kept)
    with pytest.raises(InvalidRequest, match="no trash folder"):
        await shelf.originals.restore("j0-abc", replaced.path)


# --- the trash -----------------------------------------------------------------------------------


async def test_originals_are_removed_when_their_time_is_over_and_not_before(shelf: Shelf) -> None:
    replaced = await shelf.replace(shelf.film())
    shelf.clock.now = replaced.until_ms - 1
    assert await shelf.originals.empty_trash() == 0
    assert replaced.kept.exists()
    shelf.clock.now += 1
    assert await shelf.originals.empty_trash() == 1
    assert sorted(path.name for path in replaced.kept.parent.parent.iterdir()) == ["lock"]
    assert replaced.path.read_bytes() == NEW
    assert not list(shelf.data.glob("*.json"))
    with pytest.raises(NotFound, match="Nothing is kept"):
        await shelf.originals.restore("j0-abc", replaced.kept)


async def test_what_came_back_is_never_removed(shelf: Shelf) -> None:
    film = shelf.film()
    replaced = await shelf.replace(film)
    await shelf.originals.restore("j0-abc", replaced.kept)
    shelf.clock.now = replaced.until_ms
    assert await shelf.originals.empty_trash() == 0
    assert film.read_bytes() == OLD


async def test_a_damaged_journal_keeps_its_original_and_no_other(shelf: Shelf) -> None:
    first = await shelf.replace(shelf.film())
    second = await shelf.replace(shelf.film("b.mkv"), job="j0-b")
    (first.kept.parent.parent / "j0-abc.json").write_bytes(b"{")
    shelf.clock.now = second.until_ms
    assert await shelf.originals.empty_trash() == 1
    await shelf.originals.settle()
    assert (first.kept.exists(), second.kept.exists()) == (True, False)


async def test_a_failure_after_the_result_was_placed_is_finished_and_remembered(shelf: Shelf) -> None:
    def fail(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.PLACED:
            raise OSError(5, "Input/output error")

    shelf.on_step = fail
    with pytest.raises(MediafleetError, match="cannot be written to"):
        await shelf.replace(shelf.film())
    assert shelf.names() == ["film.mp4"]
    shelf.clock.now += 31 * DAY_MS
    assert await shelf.originals.empty_trash() == 1


async def test_a_node_that_looks_after_a_folder_empties_it_of_what_other_nodes_left(shelf: Shelf) -> None:
    mine, others = await shelf.replace(shelf.film()), replace(shelf, data=shelf.data.with_name("data-2"))
    theirs = await others.replace(shelf.film("b.mkv"), job="j0-b")
    shelf.clock.now = mine.until_ms
    assert await shelf.originals.empty_trash() == 2
    assert not theirs.kept.exists()


async def test_a_folder_that_is_gone_is_forgotten_only_where_its_trash_is(shelf: Shelf) -> None:
    replaced = await shelf.replace(shelf.film())
    shelf.folder.rename(shelf.folder.with_name("away"))
    await shelf.originals.settle()
    assert list(shelf.data.glob("*.json")), "a share may be mounted again"
    shelf.folder.with_name("away").rename(shelf.folder)
    shelf.clock.now = replaced.until_ms
    assert await shelf.originals.empty_trash() == 1


# --- journals ------------------------------------------------------------------------------------


def test_a_name_of_any_bytes_survives_the_journal() -> None:
    seen = Fingerprint(1, "0")
    journal = Journal(
        "j0-x", "t", JournalState.DONE, os.fsdecode(b"\xff%41.mkv"), "ü.mp4", seen, seen, sha256="", trash_ms=1
    )
    assert decode_journal(encode_journal(journal)) == journal


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ""])
def test_a_journal_that_names_a_path_is_refused(name: str) -> None:
    seen = Fingerprint(1, "0")
    journal = Journal("j0-x", "t", JournalState.DONE, name, "b", seen, seen, sha256="", trash_ms=1)
    with pytest.raises(InvalidRequest):
        decode_journal(encode_journal(journal))
    with pytest.raises(InvalidRequest, match="cannot be read"):
        decode_journal(b"{")


@pytest.mark.parametrize(
    ("original", "ending", "result"),
    [
        ("a.mkv", ".mkv", "a.mkv"),
        ("a.MKV", ".mkv", "a.MKV"),
        ("a.b.avi", ".mp4", "a.b.mp4"),
        ("film", ".mp4", "film.mp4"),
        (".hidden", ".mp4", ".hidden.mp4"),
    ],
)
def test_the_result_is_named_for_its_original(original: str, ending: str, result: str) -> None:
    assert result_name(original, ending) == result
