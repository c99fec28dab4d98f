"""What will keep a result from its original's place is said before there is a result."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests_support.shelf import Shelf

from mediafleet.artifacts.originals import Originals
from mediafleet.artifacts.originals.folder import Folder
from mediafleet.artifacts.originals.obstacles import find_obstacle
from mediafleet.domain.errors import InputError
from mediafleet.domain.path_map import PathMap

NOBODY = 65534


@contextmanager
def as_nobody() -> Generator[None]:
    """Act as a user to whom rights apply, which they do not to root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(before)


@pytest.mark.parametrize(
    ("may_change", "may_fill_trash", "sentence"),
    [
        (True, None, ""),
        (True, True, ""),
        (False, None, "'/films' cannot be replaced: this node's user may not write there"),
        (False, True, "this node's user may not write there"),
        (True, False, "may not write to the trash folder '.mediafleet-trash' there"),
    ],
)
def test_a_folder_and_its_trash_must_take_files(
    sentence: str, *, may_change: bool, may_fill_trash: bool | None
) -> None:
    found = find_obstacle("/films", may_change=may_change, may_fill_trash=may_fill_trash)
    assert sentence in found
    assert bool(found) == bool(sentence)


@pytest.mark.parametrize(("mode", "may_change"), [(0o777, True), (0o555, False), (0o666, False)])
def test_rights_of_an_open_folder_are_those_of_who_acts(tmp_path: Path, mode: int, *, may_change: bool) -> None:
    # Opened first: what it lies in is closed to others.
    with Folder(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY), tmp_path) as folder:
        tmp_path.chmod(mode)
        with as_nobody():
            assert folder.may_change() == may_change
        tmp_path.chmod(0o700)


def test_a_folder_that_takes_files_is_left_as_it_is(shelf: Shelf) -> None:
    film = shelf.film()
    shelf.originals.check(film)
    assert list(shelf.folder.iterdir()) == [film]
    (shelf.folder / ".mediafleet-trash").mkdir()
    shelf.originals.check(film)


@pytest.mark.parametrize("name", ["link", "file"])
def test_a_trash_folder_that_cannot_be_used_is_told(shelf: Shelf, tmp_path: Path, name: str) -> None:
    film, trash = shelf.film(), shelf.folder / ".mediafleet-trash"
    if name == "link":
        trash.symlink_to(tmp_path)
    else:
        trash.touch()
    with pytest.raises(InputError, match="is no folder of its own"):
        shelf.originals.check(film)


@pytest.mark.parametrize(("closed", "sentence"), [("media", "may not write there"), ("trash", "to the trash folder")])
def test_it_is_the_folder_on_this_machine_that_counts(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, closed: str, sentence: str
) -> None:
    (shelf.folder / ".mediafleet-trash").mkdir()
    shelf.film()

    def may_change(folder: Folder) -> bool:
        return closed not in folder.path.name

    monkeypatch.setattr(Folder, "may_change", may_change)
    shelf.paths = PathMap([f"/mnt/films={shelf.folder}"])
    with pytest.raises(InputError, match=f"{shelf.folder}.*{sentence}"):
        shelf.originals.check(Path("/mnt/films/film.mkv"))


def test_what_another_node_is_to_replace_is_not_for_this_one_to_refuse(shelf: Shelf, tmp_path: Path) -> None:
    film = shelf.film()
    (shelf.folder / ".mediafleet-trash").touch()
    Originals((), tmp_path / "data").check(film)


def test_a_folder_that_is_mounted_for_reading_is_told_also_to_root(shelf: Shelf) -> None:
    mount, unmount = shutil.which("mount") or "", shutil.which("umount") or ""
    try:
        words = [mount, "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(shelf.folder)]
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    try:
        with pytest.raises(InputError, match="may not write there"):
            shelf.originals.check(shelf.folder / "film.mkv")
    finally:
        subprocess.run([unmount, str(shelf.folder)], check=True)
