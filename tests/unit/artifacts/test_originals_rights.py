"""Who may do what with what a replacement makes: groups that share a folder, attributes, and lists of rights."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests_support.replacer import Plan, run_to_its_kill
from tests_support.shelf import NEW, OLD, SetClock, Shelf

from mediafleet.artifacts.fingerprint import fingerprint_of
from mediafleet.artifacts.originals import Replacement, rights
from mediafleet.domain.errors import InputError

ACL, GROUP, USERS = "system.posix_acl_access", 61000, (61001, 61002)
MODES = [
    # Of the folder, and of the trash in it, its lock and its journals.
    (0o755, 0o755, 0o640, 0o644),
    (0o2775, 0o2775, 0o660, 0o664),
    (0o775, 0o775, 0o660, 0o664),
    (0o777, 0o775, 0o660, 0o664),
    (0o770, 0o770, 0o660, 0o660),
    (0o1777, 0o755, 0o640, 0o644),
    (0o700, 0o700, 0o600, 0o600),
]


@contextmanager
def umask(mask: int) -> Generator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o077])
@pytest.mark.parametrize(("folder", "trash", "lock", "journal"), MODES)
async def test_a_group_that_may_change_the_folder_may_change_its_trash_and_others_may_not(
    shelf: Shelf, folder: int, trash: int, *, lock: int, journal: int, mask: int
) -> None:
    film = shelf.film()
    shelf.folder.chmod(folder)
    with umask(mask):
        replaced = await shelf.replace(film)
    place = replaced.kept.parent.parent
    assert [mode_of(path) for path in (place, replaced.kept.parent)] == [trash, trash]
    assert [mode_of(place / name) for name in ("lock", "j0-abc.json")] == [lock, journal]


async def test_a_lock_that_is_another_name_of_somebodys_file_gives_nobody_rights_to_it(
    shelf: Shelf, tmp_path: Path
) -> None:
    film, private = shelf.film(), tmp_path / "private"
    private.touch(mode=0o600)
    shelf.folder.chmod(0o775)
    (place := shelf.folder / ".mediafleet-trash").mkdir()
    (place / "lock").hardlink_to(private)
    await shelf.replace(film)
    assert mode_of(private) == 0o600


async def test_a_trash_folder_that_holds_something_already_keeps_its_rights(shelf: Shelf) -> None:
    film = shelf.film()
    shelf.folder.chmod(0o775)
    (place := shelf.folder / ".mediafleet-trash").mkdir(mode=0o700)
    (place / "secret").touch()
    await shelf.replace(film)
    assert mode_of(place) == 0o700


# --- two users -----------------------------------------------------------------------------------


@pytest.fixture
def library() -> Iterator[Path]:
    """A folder that two users of one group share, in a place that they can reach."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root, to act as two users")
    folder = Path(tempfile.mkdtemp(prefix="mf-"))
    folder.chmod(0o755)
    (media := folder / "media").mkdir()
    os.chown(media, USERS[0], GROUP)
    media.chmod(0o770)
    yield media
    shutil.rmtree(folder)


def plan_of(user: int, library: Path, *, name: str) -> Plan:
    """Return what one of the users does, whose first group is another one."""
    data = library.parent / f"data-{user}"
    data.mkdir(exist_ok=True)
    os.chown(data, user, user)
    (made := library.parent / "made").write_bytes(NEW)
    wanted = Replacement(f"j0-{name}", library / name, fingerprint_of(library / name), ".mp4", "", trash_ms=3_600_000)
    return Plan(str(library), str(data), "", True, wanted, str(made), user=user, group=GROUP)  # noqa: FBT003 - has links


@pytest.mark.parametrize("owner", [*USERS, 61003])
def test_two_users_of_one_group_replace_in_one_folder_and_bring_back_what_the_other_did(
    library: Path, owner: int
) -> None:
    os.chown(library, owner, GROUP)
    for name in ("a.mkv", "b.mkv"):
        (library / name).write_bytes(OLD)
        os.chown(library / name, USERS[0], GROUP)
        (library / name).chmod(0o660)
    for user, name in zip(USERS, ("a.mkv", "b.mkv"), strict=True):
        assert run_to_its_kill(plan_of(user, library, name=name)) == 0
    trash = library / ".mediafleet-trash"
    assert (trash.stat().st_gid, (trash / "lock").stat().st_gid) == (GROUP, GROUP)
    found = (library / "b.mp4").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (USERS[1], GROUP, 0o660)
    for user, name in zip(reversed(USERS), ("a.mkv", "b.mkv"), strict=True):
        kept = str(trash / f"j0-{name}" / name)
        data = str(library.parent / f"data-{user}")
        assert run_to_its_kill(Plan(str(library), data, "", True, None, "", f"j0-{name}", kept, user, GROUP)) == 0  # noqa: FBT003 - has links
        assert (library / name).read_bytes() == OLD
    assert sorted(path.name for path in library.iterdir()) == [".mediafleet-trash", "a.mkv", "b.mkv"]


STRANGER = 61009
UNTRUSTED = [
    # Of the folder, and of a trash folder in it that belongs to somebody, and to some group.
    (0o1777, 0o777, STRANGER, STRANGER),
    (0o1777, 0o755, STRANGER, STRANGER),
    (0o1775, 0o775, STRANGER, GROUP),
    (0o1775, 0o775, 0, GROUP),
    (0o775, 0o777, STRANGER, GROUP),
    (0o775, 0o777, 0, GROUP),
    (0o775, 0o755, STRANGER, STRANGER),
    (0o755, 0o775, STRANGER, GROUP),
]
TRUSTED = [
    (0o775, 0o775, STRANGER, GROUP),
    (0o755, 0o755, USERS[0], USERS[0]),
    # Whoever made it may replace every film there.
    (0o777, 0o777, STRANGER, STRANGER),
]


def make_trash(library: Path, *, folder: int, trash: int, owner: int, group: int) -> Path:
    """Return a film, in a folder in which there is a trash folder already."""
    library.chmod(folder)
    (place := library / ".mediafleet-trash").mkdir()
    (place / "something").touch()
    os.chown(place, owner, group)
    place.chmod(trash)
    (film := library / "film.mkv").write_bytes(OLD)
    return film


@pytest.mark.parametrize(("folder", "trash", "owner", "group"), UNTRUSTED)
async def test_no_original_is_kept_where_more_may_change_it_than_could_before(
    library: Path, tmp_path: Path, folder: int, trash: int, *, owner: int, group: int
) -> None:
    film = make_trash(library, folder=folder, trash=trash, owner=owner, group=group)
    shelf = Shelf(library, tmp_path / "made", SetClock(), tmp_path / "data")
    shelf.made.write_bytes(NEW)
    with pytest.raises(InputError, match="see what is in it, and then remove it"):
        await shelf.replace(film)
    assert shelf.names() == ["film.mkv"]
    assert [path.name for path in (library / ".mediafleet-trash").iterdir()] == ["something"]


@pytest.mark.parametrize(("folder", "trash", "owner", "group"), TRUSTED)
async def test_originals_are_kept_where_none_may_change_them_who_could_not_before(
    library: Path, tmp_path: Path, folder: int, trash: int, *, owner: int, group: int
) -> None:
    film = make_trash(library, folder=folder, trash=trash, owner=owner, group=group)
    shelf = Shelf(library, tmp_path / "made", SetClock(), tmp_path / "data")
    shelf.made.write_bytes(NEW)
    assert (await shelf.replace(film)).kept.read_bytes() == OLD


@pytest.mark.parametrize("place", [".mediafleet-trash", ".mediafleet-trash/j0-abc"])
async def test_nothing_comes_back_from_a_folder_that_a_stranger_has_put_there(
    shelf: Shelf, library: Path, place: str
) -> None:
    film = make_trash(library, folder=0o1777, trash=0o755, owner=0, group=0)
    shelf.folder = library
    replaced = await shelf.replace(film)
    os.chown(library / place, STRANGER, STRANGER)
    with pytest.raises(InputError, match="may be changed by users"):
        await shelf.originals.restore("j0-abc", replaced.kept)
    assert shelf.names() == ["film.mp4"]


@pytest.mark.parametrize("is_group_given", [True, False])
async def test_an_owner_that_the_result_could_not_be_given_is_named(
    shelf: Shelf, library: Path, monkeypatch: pytest.MonkeyPatch, *, is_group_given: bool
) -> None:
    film = make_trash(library, folder=0o755, trash=0o755, owner=0, group=0)
    shelf.folder = library
    os.chown(film, *USERS)
    give = os.fchown

    def give_as_a_user_may(descriptor: int, user: int, group: int) -> None:
        if user != -1 or not is_group_given:
            raise PermissionError(1, "Operation not permitted")
        give(descriptor, user, group)

    monkeypatch.setattr(rights.os, "fchown", give_as_a_user_may)
    told = (await shelf.replace(film)).warnings
    assert len(told) == 1
    assert f"'film.mkv': {'owner' if is_group_given else 'owner, group'}; the original" in told[0]


# --- attributes ----------------------------------------------------------------------------------


def set_attribute(path: Path, name: str, value: bytes) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has them under these names")
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"the file system of {path.parent} takes no {name}: {error.strerror}")


def acl(group: int, mask: int, *, named: int = 1234) -> bytes:
    """Return a list (linux/posix_acl_xattr.h): owner all, a user by number, the group, the mask, others nothing."""
    nobody = 0xFFFFFFFF
    entries = [(0x01, 7, nobody), (0x02, 7, named), (0x04, group, nobody), (0x10, mask, nobody), (0x20, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


async def test_the_trash_gives_its_group_no_more_than_the_list_of_its_folder_does(shelf: Shelf) -> None:
    film = shelf.film()
    set_attribute(shelf.folder, ACL, acl(5, 7))
    assert mode_of(shelf.folder) == 0o770
    replaced = await shelf.replace(film)
    place = replaced.kept.parent.parent
    modes = [mode_of(path) for path in (place, replaced.kept.parent, place / "lock", place / "j0-abc.json")]
    assert modes == [0o750, 0o750, 0o640, 0o640]


@pytest.mark.parametrize(("group", "mode"), [(5, 0o770), (7, 0o750)])
async def test_whom_the_folder_names_for_what_is_new_in_it_may_change_the_trash_and_its_group_no_more_than_before(
    shelf: Shelf, group: int, mode: int
) -> None:
    film = shelf.film()
    set_attribute(shelf.folder, ACL, acl(5, 7))
    set_attribute(shelf.folder, "system.posix_acl_default", acl(group, 7))
    place = (await shelf.replace(film)).kept.parent.parent
    assert mode_of(place) == mode


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
async def test_attributes_of_the_original_pass_to_the_result(shelf: Shelf, ending: str) -> None:
    film = shelf.film()
    set_attribute(film, "user.xdg.tags", b"holiday")
    film.chmod(0o440)
    replaced = await shelf.replace(film, ending=ending)
    assert os.getxattr(replaced.path, "user.xdg.tags") == b"holiday"
    assert replaced.warnings == ()


async def test_a_list_of_rights_passes_to_the_result(shelf: Shelf) -> None:
    film = shelf.film()
    set_attribute(film, ACL, acl(4, 7))
    before = (os.getxattr(film, ACL), mode_of(film))
    replaced = await shelf.replace(film)
    assert (os.getxattr(replaced.path, ACL), mode_of(replaced.path)) == before
    assert replaced.warnings == ()


async def test_a_list_that_the_folder_gives_new_files_lets_nobody_read_the_result(shelf: Shelf) -> None:
    film = shelf.film()
    film.chmod(0o640)
    set_attribute(shelf.folder, "system.posix_acl_default", acl(7, 7))
    replaced = await shelf.replace(film)
    assert ACL not in os.listxattr(replaced.path)
    assert mode_of(replaced.path) == 0o640


async def test_what_cannot_be_kept_is_named_also_when_it_is_asked_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = shelf.film()
    set_attribute(film, "user.xdg.tags", b"holiday")
    set_attribute(film, ACL, acl(4, 6))
    assert mode_of(film) == 0o760

    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(rights.os, "setxattr", refuse)
    wish = shelf.wish(film)
    replaced = await shelf.originals.replace(wish, shelf.made)
    assert f"'film.mkv': user.xdg.tags, {ACL}; the original has them still" in replaced.warnings[0]
    assert (await shelf.originals.replace(wish, shelf.made)).warnings == replaced.warnings
    assert mode_of(replaced.path) == 0o700, "what the list's mask allowed is not the group's"


@pytest.mark.parametrize(("mode", "safe"), [(0o4750, 0o700), (0o664, 0o644), (0o755, 0o755), (0o646, 0o646)])
async def test_rights_of_a_group_that_cannot_be_given_are_not_given_to_another(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, mode: int, safe: int
) -> None:
    film = shelf.film()
    film.chmod(mode)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(rights.os, "fchown", refuse)
    assert mode_of((await shelf.replace(film)).path) == safe
