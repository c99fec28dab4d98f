"""A file of the fleet is looked for where its folder is on this machine, and nowhere else."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.path_map import PathMap

PATHS = PathMap(["/mnt/media=/m", "/mnt/media/films=/fast/films"])


@pytest.mark.parametrize(
    ("asked", "here"),
    [
        ("/mnt/media/a.mkv", "/m/a.mkv"),
        ("/mnt/media/films/deep/a.mkv", "/fast/films/deep/a.mkv"),
        ("/mnt/media", "/m"),
        ("/mnt/media2/a.mkv", None),
        ("/mnt", None),
    ],
)
def test_the_deepest_folder_counts_and_names_are_whole(asked: str, here: str | None) -> None:
    assert PATHS.translate(PurePosixPath(asked)) == (Path(here) if here else None)


@pytest.mark.parametrize("text", ["", "=", "/mnt/media", "/mnt/media=", "=/m", "mnt=/m", "/mnt=m", "/a/../b=/m"])
def test_what_is_no_mapping_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(InvalidRequest, match="write the fleet's absolute path"):
        PathMap([text])


@pytest.mark.parametrize("again", ["/mnt/media=/n", "/mnt/media/=/n", " /mnt//media = /n"])
def test_a_folder_that_is_mapped_to_two_is_refused(again: str) -> None:
    with pytest.raises(InvalidRequest, match="'/mnt/media' is mapped twice, to '/m' and to '/n'"):
        PathMap(["/mnt/media=/m", again])


def test_a_mapping_may_be_said_twice_and_two_folders_be_one_here() -> None:
    paths = PathMap(["/mnt/media=/m", "/mnt/media/=/m/", "/srv=/m"])
    assert paths.folders == [(PurePosixPath("/mnt/media"), Path("/m")), (PurePosixPath("/srv"), Path("/m"))]


def test_a_file_may_be_where_it_is_mapped_to_or_where_it_is_named() -> None:
    assert PATHS.places(Path("/mnt/media/a.mkv")) == (Path("/m/a.mkv"), Path("/mnt/media/a.mkv"))
    assert PATHS.places(Path("/srv/a.mkv")) == (Path("/srv/a.mkv"),)


def test_nothing_is_mapped_where_nothing_is_given() -> None:
    assert not PathMap(())
    assert PathMap(()).translate(Path("/a")) is None
