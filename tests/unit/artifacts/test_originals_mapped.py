"""Replacing originals on a node on which the fleet's folders have other names."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from tests_support.shelf import DAY_MS, NEW, OLD, Shelf

from mediafleet.artifacts.originals import Originals, Replacement, ReplaceStep, RestoreStep
from mediafleet.domain.errors import CapabilityMissing, Conflict, MediafleetError
from mediafleet.domain.path_map import PathMap


@pytest.fixture
def mapped(shelf: Shelf) -> Shelf:
    """A shelf that the fleet knows as `/mnt/media`."""
    shelf.paths = PathMap([f"/mnt/media={shelf.folder}"])
    return shelf


def named_by_the_fleet(wish: Replacement, path: str = "/mnt/media/film.mkv") -> Replacement:
    return msgspec.structs.replace(wish, original=Path(path))


async def test_a_file_is_replaced_where_its_folder_is_here_and_told_as_the_fleet_names_it(mapped: Shelf) -> None:
    wish = named_by_the_fleet(mapped.wish(mapped.film()))
    replaced = await mapped.originals.replace(wish, mapped.made)
    assert replaced.path == Path("/mnt/media/film.mp4")
    assert replaced.kept == Path("/mnt/media/.mediafleet-trash/j0-abc/film.mkv")
    assert await mapped.originals.replace(wish, mapped.made) == replaced
    assert (mapped.folder / "film.mp4").read_bytes() == NEW
    assert (mapped.folder / ".mediafleet-trash/j0-abc/film.mkv").read_bytes() == OLD


async def test_what_one_node_replaced_another_with_other_folders_brings_back(mapped: Shelf, tmp_path: Path) -> None:
    replaced = await mapped.originals.replace(named_by_the_fleet(mapped.wish(mapped.film())), mapped.made)
    mapped.folder.rename(tmp_path / "volumes")
    paths = PathMap([f"/mnt={tmp_path / 'nowhere'}", f"/mnt/media={tmp_path / 'volumes'}"])
    other = Originals([str(tmp_path / "volumes")], tmp_path / "data-2", paths=paths)
    assert (await other.restore("j0-abc", replaced.kept)).path == Path("/mnt/media/film.mkv")
    assert (tmp_path / "volumes" / "film.mkv").read_bytes() == OLD


async def test_what_was_cut_off_in_a_mapped_folder_is_settled_and_its_trash_emptied(mapped: Shelf) -> None:
    def fail(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.PLACED:
            raise OSError(5, "Input/output error")

    mapped.on_step = fail
    with pytest.raises(MediafleetError):
        await mapped.originals.replace(named_by_the_fleet(mapped.wish(mapped.film())), mapped.made)
    await mapped.originals.settle()
    mapped.clock.now += 31 * DAY_MS
    assert await mapped.originals.empty_trash() == 1


@pytest.mark.parametrize("folders", [["stale"], []], ids=["empty-folder", "no-folder"])
async def test_a_mapping_that_leads_nowhere_hides_no_file(shelf: Shelf, folders: list[str]) -> None:
    film = shelf.film()
    for name in folders:
        (shelf.folder / name).mkdir()
    shelf.paths = PathMap([f"{shelf.folder}={shelf.folder / 'stale'}"])
    replaced = await shelf.replace(film)
    assert replaced.path.read_bytes() == NEW
    assert (await shelf.originals.restore("j0-abc", replaced.kept)).path == film
    assert film.read_bytes() == OLD
    assert not list(shelf.folder.glob("stale/*"))


async def test_a_mapping_opens_no_folder_outside_of_those_that_the_node_may_change(
    shelf: Shelf, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "film.mkv").write_bytes(OLD)
    wish = named_by_the_fleet(shelf.wish(shelf.film()))
    shelf.paths = PathMap([f"/mnt/media={private}"])
    with pytest.raises(CapabilityMissing):
        await shelf.originals.replace(wish, shelf.made)
    assert [path.name for path in private.iterdir()] == ["film.mkv"]


@pytest.mark.parametrize("told", [7_123_456_700, 7_123_456_000, 7_123_000_000, 7_000_000_000, 6_000_000_000])
async def test_a_time_that_another_node_sees_in_coarser_grains_is_the_same(shelf: Shelf, told: int) -> None:
    film = shelf.film()
    os.utime(film, ns=(1, 7_123_456_789))
    wish = msgspec.structs.replace(shelf.wish(film), mtime_ns=told)
    assert (await shelf.originals.replace(wish, shelf.made)).path.exists()


async def test_another_moment_of_the_same_second_is_another_time(shelf: Shelf) -> None:
    film = shelf.film()
    os.utime(film, ns=(1, 7_123_456_789))
    with pytest.raises(Conflict, match="has changed since"):
        await shelf.originals.replace(msgspec.structs.replace(shelf.wish(film), mtime_ns=7_123_456_788), shelf.made)


async def test_a_journal_is_found_though_another_place_has_a_file_of_that_name(shelf: Shelf) -> None:
    replaced = await shelf.originals.replace(wish := shelf.wish(shelf.film()), shelf.made)
    (copies := shelf.folder / "copies").mkdir()
    (copies / "film.mkv").write_bytes(OLD)
    shelf.paths = PathMap([f"{shelf.folder}={copies}"])
    assert await shelf.originals.replace(wish, shelf.made) == replaced
    assert [path.name for path in copies.iterdir()] == ["film.mkv"]
