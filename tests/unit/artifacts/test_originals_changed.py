"""What a restoration does about results that somebody has changed since: no work of anybody is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest
from tests_support.shelf import OLD, Shelf

from mediafleet.artifacts.fingerprint import SAMPLE_BYTES, fingerprint_of
from mediafleet.artifacts.originals import Replaced
from mediafleet.artifacts.originals.folder import Folder
from mediafleet.domain.errors import Conflict

MIDDLE = 2 * SAMPLE_BYTES
"""Where no sample of a large file is taken."""
LARGE = bytes(range(256)) * (12 * SAMPLE_BYTES // 256)


async def replace(shelf: Shelf, ending: str) -> Replaced:
    """Replace a film by a result so large that its samples are a part of it."""
    shelf.made.write_bytes(LARGE)
    wish = msgspec.structs.replace(shelf.wish(shelf.film(), ending=ending), sha256="")
    return await shelf.originals.replace(wish, shelf.made)


def tag(path: Path) -> None:
    """Change bytes where no sample is taken, and nothing of length and time, as careful programs for tags do."""
    before = path.stat()
    samples = fingerprint_of(path)
    with path.open("r+b") as file:
        file.seek(MIDDLE)
        file.write(b"tags")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    # The clock of a file system may stand still for some milliseconds.
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fingerprint_of(path) == samples


def forget_what_is_new(replaced: Replaced) -> None:
    """Make the journal one as it was written before inode and time of the result stood in it."""
    path = replaced.kept.parent.parent / "j0-abc.json"
    journal = json.loads(path.read_bytes())
    assert journal.pop("inode")
    assert journal.pop("ctime_ns")
    path.write_text(json.dumps(journal))


@pytest.mark.parametrize("is_old", [False, True], ids=["journal", "old-journal"])
async def test_a_result_with_new_tags_is_left_where_its_original_has_another_name(shelf: Shelf, is_old: bool) -> None:  # noqa: FBT001 - parametrized
    replaced = await replace(shelf, ".mp4")
    if is_old:
        forget_what_is_new(replaced)
    tag(replaced.path)
    restored = await shelf.originals.restore("j0-abc", replaced.kept)
    assert "was left beside the original" in restored.warnings[0]
    assert replaced.path.read_bytes()[MIDDLE:].startswith(b"tags")
    assert restored.path.read_bytes() == OLD


@pytest.mark.parametrize("is_old", [False, True], ids=["journal", "old-journal"])
async def test_a_result_with_new_tags_is_not_overwritten_by_its_original(shelf: Shelf, is_old: bool) -> None:  # noqa: FBT001 - parametrized
    replaced = await replace(shelf, ".mkv")
    if is_old:
        forget_what_is_new(replaced)
    tag(replaced.path)
    with pytest.raises(Conflict, match=r"was changed since it was made.*move it away, and try again"):
        await shelf.originals.restore("j0-abc", replaced.kept)
    assert replaced.path.read_bytes()[MIDDLE:].startswith(b"tags")
    assert replaced.kept.read_bytes() == OLD
    replaced.path.rename(replaced.path.with_name("mine.mkv"))
    assert (await shelf.originals.restore("j0-abc", replaced.kept)).path.read_bytes() == OLD


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
async def test_a_result_of_which_only_rights_were_changed_goes_as_any(shelf: Shelf, ending: str) -> None:
    replaced = await replace(shelf, ending)
    replaced.path.chmod(0o600)
    assert (await shelf.originals.restore("j0-abc", replaced.kept)).warnings == ()
    assert shelf.names() == ["film.mkv"]


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
async def test_a_journal_of_old_brings_its_original_back(shelf: Shelf, ending: str) -> None:
    replaced = await replace(shelf, ending)
    forget_what_is_new(replaced)
    assert (await shelf.originals.restore("j0-abc", replaced.kept)).path.read_bytes() == OLD
    assert shelf.names() == ["film.mkv"]


async def test_a_result_that_nobody_touched_is_not_read_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = await replace(shelf, ".mkv")

    def refuse(*_: object) -> str:
        raise AssertionError("a film of 100 GB takes minutes")

    monkeypatch.setattr(Folder, "hash", refuse)
    assert (await shelf.originals.restore("j0-abc", replaced.kept)).path.read_bytes() == OLD


async def test_a_result_that_changes_while_it_is_compared_is_not_overwritten(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = await replace(shelf, ".mkv")
    forget_what_is_new(replaced)
    read = Folder.hash

    def read_and_lose(self: Folder, name: str) -> str:
        found = read(self, name)
        tag(replaced.path)
        return found

    monkeypatch.setattr(Folder, "hash", read_and_lose)
    with pytest.raises(Conflict, match="move it away"):
        await shelf.originals.restore("j0-abc", replaced.kept)
    assert replaced.kept.read_bytes() == OLD
