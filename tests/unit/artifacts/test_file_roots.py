"""Files used in place: what lies below the roots is read, whatever is done to the names meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.artifacts import roots as module
from mediafleet.artifacts.fingerprint import fingerprint, open_regular
from mediafleet.artifacts.roots import READ_BYTES, FileRoots
from mediafleet.domain.errors import InputError, InvalidRequest, NotFound

SECRET = b"only for its owner"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "film.mkv").write_bytes(b"0123456789")
    (tmp_path / "secret.txt").write_bytes(SECRET)
    return folder


async def content(roots: FileRoots, path: Path, start: int = 0, length: int = 1 << 30) -> bytes:
    return b"".join([piece async for piece in roots.read(path, await fingerprint(path), start=start, length=length)])


async def test_a_change_that_samples_and_the_time_do_not_show_shows_in_the_version(tmp_path: Path) -> None:
    path, roots = tmp_path / "film.mkv", FileRoots([str(tmp_path)])
    path.write_bytes(bytes(1 << 20))
    before, again = await roots.prove(path), await roots.prove(path)
    assert before == again
    times = path.stat()
    # As a program does that writes somewhere in the middle and sets the time back; the system's clock moves in steps.
    while path.stat().st_ctime_ns == times.st_ctime_ns:
        with path.open("r+b") as file:
            file.seek(200_000)
            file.write(b"another")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = await roots.prove(path)
    assert after[0] == before[0]
    assert after[1] != before[1]


async def test_a_file_below_a_root_is_read(root: Path) -> None:
    roots = FileRoots([str(root)])
    assert await roots.fingerprint(root / "film.mkv") == await fingerprint(root / "film.mkv")
    assert await content(roots, root / "film.mkv") == b"0123456789"


async def test_any_of_several_roots_will_do(root: Path, tmp_path: Path) -> None:
    assert (await FileRoots([str(tmp_path / "other"), str(root)]).fingerprint(root / "film.mkv")).size == 10


async def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    roots = FileRoots([str(tmp_path / "alias")])
    assert await content(roots, tmp_path / "alias" / "film.mkv") == b"0123456789"
    assert await content(roots, root / "film.mkv") == b"0123456789"


async def test_a_link_inside_a_root_to_a_file_inside_it_is_followed(root: Path) -> None:
    (root / "same.mkv").symlink_to(root / "film.mkv")
    assert await content(FileRoots([str(root)]), root / "same.mkv") == b"0123456789"


@pytest.mark.parametrize("name", ["secret.txt", "missing.txt"])
async def test_outside_the_roots_the_answer_does_not_tell_what_exists(root: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="add the folder"):
        await FileRoots([str(root)]).fingerprint(tmp_path / name)


async def test_a_folder_whose_name_only_begins_like_a_root_is_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "root-of-others").mkdir()
    (tmp_path / "root-of-others" / "film.mkv").write_bytes(SECRET)
    with pytest.raises(InputError, match="file_roots"):
        await FileRoots([str(root)]).fingerprint(tmp_path / "root-of-others" / "film.mkv")


async def test_without_roots_nothing_may_be_used(root: Path) -> None:
    with pytest.raises(InputError, match="file_roots"):
        await FileRoots([]).fingerprint(root / "film.mkv")


async def test_a_link_to_the_outside_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InputError, match="file_roots"):
        await FileRoots([str(root)]).fingerprint(root / "link.txt")


def turn_before_opening(monkeypatch: pytest.MonkeyPatch, name: Path, target: Path) -> None:
    """Stand for somebody who turns the name into a link after it was checked and before it is opened."""

    def turned(path: Path) -> int:
        name.unlink(missing_ok=True)
        name.symlink_to(target)
        return open_regular(path)

    monkeypatch.setattr(module, "open_regular", turned)


async def test_a_name_turned_into_a_link_after_the_check_reveals_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_before_opening(monkeypatch, root / "film.mkv", tmp_path / "secret.txt")
    before = psutil.Process().num_fds()
    with pytest.raises(InputError, match="file_roots"):
        await FileRoots([str(root)]).fingerprint(root / "film.mkv")
    assert psutil.Process().num_fds() == before


async def test_a_folder_turned_into_a_link_after_the_check_reveals_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "season").mkdir()
    (root / "season" / "secret.txt").write_bytes(b"harmless")

    def turned(path: Path) -> int:
        (root / "season").rename(root / "moved")
        (root / "season").symlink_to(tmp_path)
        return open_regular(path)

    monkeypatch.setattr(module, "open_regular", turned)
    with pytest.raises(InputError, match="file_roots"):
        await FileRoots([str(root)]).fingerprint(root / "season" / "secret.txt")


async def test_bytes_are_served_of_the_submitted_file_only(root: Path) -> None:
    roots = FileRoots([str(root)])
    proof = await roots.fingerprint(root / "film.mkv")
    (root / "film.mkv").write_bytes(b"another cut")
    with pytest.raises(NotFound, match="has changed since it was submitted"):
        [piece async for piece in roots.read(root / "film.mkv", proof, start=0, length=4)]


async def test_serving_asks_for_the_roots_again(root: Path) -> None:
    proof = await fingerprint(root / "film.mkv")
    with pytest.raises(InputError, match="file_roots"):
        [piece async for piece in FileRoots([]).read(root / "film.mkv", proof, start=0, length=4)]


@given(start=st.integers(0, 12), length=st.integers(0, 12))
async def test_any_range_is_that_of_the_file(tmp_path_factory: pytest.TempPathFactory, start: int, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "ten-bytes"
    path.write_bytes(b"0123456789")
    found = await content(FileRoots([str(path.parent)]), path, start, length)
    assert found == b"0123456789"[start : start + length]


async def test_a_long_file_comes_in_pieces(root: Path) -> None:
    (root / "long.mkv").write_bytes(bytes(2 * READ_BYTES + 5))
    roots = FileRoots([str(root)])
    proof = await roots.fingerprint(root / "long.mkv")
    pieces = [len(piece) async for piece in roots.read(root / "long.mkv", proof, start=0, length=1 << 30)]
    assert pieces == [READ_BYTES, READ_BYTES, 5]


async def test_a_reader_that_goes_away_leaves_no_file_open(root: Path) -> None:
    roots = FileRoots([str(root)])
    proof = await roots.fingerprint(root / "film.mkv")
    before = psutil.Process().num_fds()
    async with aclosing(roots.read(root / "film.mkv", proof, start=0, length=10)) as pieces:
        assert await anext(pieces) == b"0123456789"
    assert psutil.Process().num_fds() == before


async def test_folders_pipes_and_missing_files_are_refused_without_waiting(root: Path) -> None:
    roots = FileRoots([str(root)])
    os.mkfifo(root / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InvalidRequest, match="not a regular file"):
            await roots.fingerprint(root / name)
    with pytest.raises(NotFound, match="There is no file"):
        await roots.fingerprint(root / "missing.mkv")


async def test_a_reader_that_leaves_while_its_file_is_opened_leaves_nothing_open(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = FileRoots([str(root)])
    proof = await roots.fingerprint(root / "film.mkv")
    before = psutil.Process().num_fds()
    asked, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> int:
        asked.set()
        assert go_on.wait(20)
        return open_regular(path)

    monkeypatch.setattr(module, "open_regular", slow)
    reader = asyncio.create_task(anext(roots.read(root / "film.mkv", proof, start=0, length=1)))
    assert await asyncio.to_thread(asked.wait, 20)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    go_on.set()
    async with asyncio.timeout(20):
        while psutil.Process().num_fds() > before:  # noqa: ASYNC110 - a thread closes it, and tells no event
            await asyncio.sleep(0)


async def test_links_that_go_in_a_circle_are_said_so(root: Path) -> None:
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(InputError, match=r"circle|no file|file_roots|cannot be read"):
        await FileRoots([str(root)]).fingerprint(root / "loop")
