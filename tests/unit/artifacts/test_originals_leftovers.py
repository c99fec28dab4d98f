"""What a crash or another program left in a folder of films, and what the next life of a node does with it."""

from __future__ import annotations

import pytest
from tests_support.replacer import know_no_links
from tests_support.shelf import OLD, Shelf

from mediafleet.artifacts.originals import ReplaceStep, RestoreStep
from mediafleet.artifacts.originals.folder import Folder
from mediafleet.domain.errors import MediafleetError

WORK = b"somebody's work"


def fail_at(shelf: Shelf, wanted: ReplaceStep | RestoreStep) -> None:
    def fail(step: ReplaceStep | RestoreStep) -> None:
        if step is wanted:
            raise OSError(5, "Input/output error")

    shelf.on_step = fail


async def test_a_journal_that_cannot_be_read_keeps_its_original_and_no_other(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await shelf.replace(shelf.film())
    second = await shelf.replace(shelf.film("b.mkv"), job="j0-b")
    read = Folder.read

    def refuse(self: Folder, name: str) -> bytes | None:
        if name == "j0-abc.json":
            raise PermissionError(13, "Permission denied")
        return read(self, name)

    monkeypatch.setattr(Folder, "read", refuse)
    shelf.clock.now = second.until_ms
    assert await shelf.originals.empty_trash() == 1
    assert (first.kept.exists(), second.kept.exists()) == (True, False)


@pytest.mark.parametrize("has_links", [True, False])
async def test_an_original_does_not_come_back_over_a_file_that_came_after_a_crash(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    if not has_links:
        monkeypatch.setattr(Folder, "name_also", know_no_links)
    replaced = await shelf.replace(film := shelf.film())
    fail_at(shelf, RestoreStep.JOURNALED)
    with pytest.raises(MediafleetError):
        await shelf.originals.restore("j0-abc", replaced.kept)
    film.write_bytes(WORK)
    fail_at(shelf, RestoreStep.DONE)
    await shelf.originals.settle()
    assert (film.read_bytes(), replaced.kept.read_bytes()) == (WORK, OLD)
    film.rename(film.with_name("mine.mkv"))
    await shelf.originals.settle()
    assert (film.read_bytes(), shelf.names()) == (OLD, ["film.mkv", "mine.mkv"])


async def test_the_result_of_an_original_that_was_put_aside_goes_also_after_a_crash(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = shelf.film()

    def lose(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.KEPT:
            film.unlink()
            film.write_bytes(WORK)

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    shelf.on_step = lose
    with monkeypatch.context() as patch, pytest.raises(MediafleetError):
        patch.setattr(Folder, "move", refuse)
        patch.setattr(Folder, "remove", refuse)
        await shelf.replace(film, ending=".mkv")
    assert len(shelf.names()) == 2
    await shelf.originals.settle()
    assert shelf.names() == ["film.mkv"]
    assert film.read_bytes() == WORK
