"""What a user names becomes files, each once, and what cannot be used says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mediafleet.cli._inputs import Source, Unusable, find_sources, is_address


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(paths: list[Path], *, recursive: bool = True) -> list[str]:
    return [str(one.path) for one in find_sources(paths, recursive=recursive) if isinstance(one, Source)]


def faults(paths: list[Path]) -> list[str]:
    return [one.error.message for one in find_sources(paths) if isinstance(one, Unusable)]


def test_a_named_file_needs_no_known_ending(tmp_path: Path) -> None:
    touch(tmp_path / "noise")
    assert found([tmp_path / "noise"]) == [str(tmp_path / "noise")]


def test_a_folder_stands_for_its_media_files_sorted_and_in_all_its_folders(tmp_path: Path) -> None:
    touch(tmp_path / "b.MKV", tmp_path / "a.mp4", tmp_path / "deep" / "er" / "c.wav", tmp_path / "notes.txt")
    touch(tmp_path / ".hidden.mp4", tmp_path / ".git" / "d.mp4")
    assert [Path(name).name for name in found([tmp_path])] == ["a.mp4", "b.MKV", "c.wav"]
    assert [Path(name).name for name in found([tmp_path], recursive=False)] == ["a.mp4", "b.MKV"]


def test_sources_remember_where_below_the_folder_they_lay(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "y" / "a.mp4")
    source = next(find_sources([tmp_path]))
    assert isinstance(source, Source)
    assert source.folder == Path("x/y")


def test_a_file_that_is_named_twice_is_worked_on_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    assert len(found([tmp_path / "a.mp4", tmp_path / "link.mp4", tmp_path])) == 1


def test_every_kind_of_name_works(tmp_path: Path) -> None:
    names = ["with space.mp4", "quo'te\".mp4", "-dash.mp4", "new\nline.mp4", "漢字.mp4", os.fsdecode(b"\xff.mp4")]
    touch(*(tmp_path / name for name in names))
    assert {Path(name).name for name in found([tmp_path])} == set(names)


def test_what_cannot_be_used_says_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    sentences = faults([tmp_path / "nothing.mp4", tmp_path / "empty", tmp_path / "pipe.mp4", tmp_path / "a.mp4" / "b"])
    assert [sentence.rpartition(str(tmp_path))[2] for sentence in sentences] == [
        "/nothing.mp4 does not exist.",
        "/empty holds no media files.",
        "/pipe.mp4 is neither a file nor a folder.",
        "/a.mp4/b cannot be read: Not a directory.",
    ]


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in faults([tmp_path / "a\0b"])[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").chmod(0)
    assert "may not be read" in faults([tmp_path / "a.mp4"])[0]


def test_addresses_are_told_from_paths() -> None:
    assert is_address("artifact:a0-x")
    assert is_address("https://host/a.mp4")
    assert not is_address("a:b.mp4")
