"""Transcodes of real files that replace them: the steps as a node runs them, and what keeps a source where it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mediafleet.artifacts.fingerprint import fingerprint_of, path_of_uri, uri_of_path
from mediafleet.artifacts.originals import Originals
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import InputError, OutputRejected
from mediafleet.domain.path_map import PathMap
from mediafleet.domain.plan import TaskResult, TaskSpec
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.transcode import KIND
from mediafleet.kinds.transcode.replace_plan import ReplaceOrder
from mediafleet.testing import LocalTaskContext, make_clip


def in_place(path: Path) -> ArtifactRef:
    return ArtifactRef("a0-1", path.name, uri_of_path(path), fingerprint=fingerprint_of(path))


def context_of(
    step: str, inputs: tuple[ArtifactRef, ...], folder: Path, *, params: dict[str, Any], payload: object = None
) -> LocalTaskContext:
    checked = KindRegistry([KIND]).check_params("transcode", params)
    spec = TaskSpec(
        "transcode", 1, step, step, "default", inputs, params=checked, payload=msgspec.to_builtins(payload or {})
    )
    context = LocalTaskContext(spec, folder=folder / "work")
    context.originals = Originals([str(folder / "media")], folder / "data")
    return context


def spoil(path: Path) -> Path:
    """Write over a few bytes inside of a picture."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("film.*")}


def written_ns(path: Path) -> int:
    return path.stat().st_mtime_ns


async def transcode(path: Path, folder: Path, **params: Any) -> TaskResult:
    context = context_of("transcode", (in_place(path),), folder, params={"speed": "fastest", **params})
    return await KIND.handlers["transcode"](context)


@pytest.fixture
async def film(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return await make_clip(tmp_path / "media" / "film.mkv", seconds=2)


async def test_a_film_is_replaced_and_comes_back(film: Path, tmp_path: Path) -> None:
    before = files(film.parent)
    original = in_place(film)
    made = await transcode(film, tmp_path, replace={})
    order = ReplaceOrder("j0-x", ".mp4", 1000, made.result["source_mtime_ns"])
    context = context_of("replace", (made.outputs[0], original), tmp_path, params={}, payload=order)
    replaced = await KIND.handlers["replace"](context)
    assert path_of_uri(replaced.result["path"]).stat().st_size == made.result["size"]
    kept = path_of_uri(replaced.result["kept"])
    assert kept.parent.name == "j0-x"
    assert files(kept.parent) == before

    context = context_of("restore", (in_place(kept),), tmp_path, params={"restore": "j0-x"})
    restored = await KIND.handlers["restore"](context)
    assert path_of_uri(restored.result["restored"]) == film
    assert files(film.parent) == before


async def test_a_source_in_a_mapped_folder_is_watched_as_any_that_is_read_in_place(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a node where the fleet's `/mnt/media` is another folder."""
    ref = msgspec.structs.replace(in_place(film), uri="file:///mnt/media/film.mkv")
    context = context_of("transcode", (ref,), tmp_path, params={"speed": "fastest", "replace": {}})
    paths, written = PathMap([f"/mnt/media={film.parent}"]), written_ns(film)
    context.originals = Originals([str(film.parent)], tmp_path / "data", paths=paths)

    async def resolve(_: ArtifactRef, *, ranges: object = None) -> Path:
        del ranges
        return film

    monkeypatch.setattr(context, "fetch", resolve)
    made = await KIND.handlers["transcode"](context)
    assert made.result["source_mtime_ns"] == str(written)

    order = ReplaceOrder("j0-x", ".mp4", 1000, made.result["source_mtime_ns"])
    replacing = context_of("replace", (made.outputs[0], ref), tmp_path, params={}, payload=order)
    replacing.originals = context.originals
    replaced = await KIND.handlers["replace"](replacing)
    assert replaced.result["path"] == "file:///mnt/media/film.mp4"
    assert replaced.result["kept"] == "file:///mnt/media/.mediafleet-trash/j0-x/film.mkv"
    assert files(film.parent).keys() == {"film.mkv", "film.mp4"}
    assert path_of_uri(replaced.result["kept"]).name == "film.mkv"


async def test_quality_is_measured_against_what_was_encoded(film: Path, tmp_path: Path) -> None:
    """Made smaller, turned and cut: only what the encoder did counts against it."""
    changes = {"scale": {"max": 96}, "filters": {"rotate": 90, "crop": {"top": 8, "bottom": 8}}}
    made = await transcode(film, tmp_path, crf=10, verify={"vmaf_min": 85}, **changes)
    assert 85 <= made.result["vmaf"] <= 100
    with pytest.raises(OutputRejected, match="its mean VMAF is"):
        await transcode(film, tmp_path, crf=51, verify={"vmaf_min": 85}, **changes)


async def test_quality_counts_pictures_and_not_times(film: Path, tmp_path: Path) -> None:
    """A source that starts at ten seconds, and a container that rounds times to milliseconds."""
    late = await make_clip(tmp_path / "media" / "late.ts", seconds=2, extra=["-output_ts_offset", "10"])
    made = await transcode(late, tmp_path, container="mkv", crf=10, verify={"vmaf_min": 90})
    assert made.result["vmaf"] >= 90
    del film


async def test_a_result_that_is_not_smaller_is_refused_or_leaves_the_source(film: Path, tmp_path: Path) -> None:
    small = await make_clip(tmp_path / "media" / "small.mkv", extra=["-crf", "45"])
    with pytest.raises(OutputRejected, match="is not smaller"):
        await transcode(small, tmp_path, crf=0, verify={"smaller": True})
    kept = await transcode(small, tmp_path, crf=0, verify={"smaller": True}, replace={})
    assert kept.outputs == ()
    assert "The original stays." in kept.warnings[-1]
    assert (await transcode(film, tmp_path, crf=45, verify={"smaller": True})).outputs


async def test_a_damaged_source_stays_where_it_is(film: Path, tmp_path: Path) -> None:
    # Large enough that the damage stays inside of one picture.
    await make_clip(film, seconds=3, size="320x240", sound=False)
    made = await transcode(spoil(film), tmp_path, replace={})
    assert made.outputs == ()
    assert any("The source is damaged" in warning for warning in made.warnings)
    assert "The original stays" in made.warnings[-1]


async def test_a_folder_that_does_not_take_the_result_is_refused_before_anything_is_encoded(
    film: Path, tmp_path: Path
) -> None:
    film.with_name(".mediafleet-trash").symlink_to(tmp_path)
    # No film lies there, so that anybody who looked into it would say something else.
    await asyncio.to_thread(film.write_bytes, b"no film")
    with pytest.raises(InputError, match="is no folder of its own"):
        await transcode(film, tmp_path, replace={})


async def test_a_link_is_refused_before_anything_is_encoded(film: Path, tmp_path: Path) -> None:
    link = film.with_name("link.mkv")
    link.symlink_to(film)
    with pytest.raises(InputError, match="is a link"):
        await transcode(link, tmp_path, replace={})
