"""What the inventory calls a broken promise about chunks, and what it lets pass."""

from __future__ import annotations

import importlib
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mediafleet.kinds.transcode.inventory import Difference
from mediafleet.kinds.transcode.losses import Topic
from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.streams import plan_output
from mediafleet.testing import make_clip

SCRIPTS = Path(__file__).parents[3] / "scripts"
BORDER = 50


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("inventory_cases"), importlib.import_module("inventory_chunks")


def film(packets: int = 100) -> MediaInfo:
    picture = StreamInfo(0, "video", "h264", width=64, height=48, packets=packets, decodable=True, pix_fmt="yuv420p")
    return MediaInfo("matroska,webm", (picture,))


def compared(scripts: tuple[Any, Any], *, preset: str = "h264", packets: int = 100, chunks: Any = None) -> Any:
    """Return a comparison of two results that differ in nothing but what is given."""
    cases, module = scripts
    params = TranscodeParams(preset=preset)
    case = cases.Case(Path("a.mkv"), params, source=film(), plan=plan_output(film(), params, name="a.mkv"))
    case.whole, case.chunked = cases.Made(info=film()), cases.Made(info=film(packets))
    case.chunks = 2
    found = module.Comparison(case, borders=[BORDER])
    if chunks:
        found.quality = [[90.0] * 100, chunks]
    return found


def scores(near: float, *, elsewhere: float = 90.0) -> list[float]:
    around = [elsewhere] * 100
    around[BORDER - 4 : BORDER + 4] = [near] * 8
    return around


def test_two_films_that_are_alike_break_no_promise(scripts: tuple[Any, Any]) -> None:
    found = compared(scripts, chunks=scores(88.0))
    found.apart_s = Fraction(1, 1000)
    assert found.faults == found.case.faults == []


def test_a_picture_too_few_is_told(scripts: tuple[Any, Any]) -> None:
    assert compared(scripts, packets=99).faults == ["100 pictures as a whole and 99 in chunks"]


def test_sound_that_is_shifted_is_told(scripts: tuple[Any, Any]) -> None:
    found = compared(scripts)
    found.apart_s = Fraction(2, 1000)
    assert found.faults == ["sound is 2.0 ms apart"]


@pytest.mark.parametrize(("mean", "is_told"), [(90.29, False), (90.31, True), (89.71, False), (89.69, True)])
def test_a_mean_that_is_too_far_away_is_told(scripts: tuple[Any, Any], mean: float, *, is_told: bool) -> None:
    assert bool(compared(scripts, chunks=[mean] * 100).faults) is is_told


@pytest.mark.parametrize(
    ("preset", "near", "is_told"), [("h264", 87.6, False), ("h264", 87.4, True), ("av1", 87.4, False)]
)
def test_a_border_of_x264_that_shows_is_told(
    scripts: tuple[Any, Any], preset: str, near: float, *, is_told: bool
) -> None:
    assert bool(compared(scripts, preset=preset, chunks=scores(near)).faults) is is_told


def test_the_quality_of_chunks_that_no_fleet_makes_is_no_promise(scripts: tuple[Any, Any]) -> None:
    found = compared(scripts, chunks=[80.0] * 100, packets=99)
    found.case.chunks = 0
    assert len(found.faults) == 1


def test_a_border_where_the_whole_film_is_as_bad_is_not_told(scripts: tuple[Any, Any]) -> None:
    found = compared(scripts, chunks=scores(80.0))
    found.quality[0] = scores(81.0)
    assert found.faults == []
    assert found.worst == (-9.0, -10.0)


def test_a_loss_that_nobody_announced_is_told_whichever_way_it_came(scripts: tuple[Any, Any]) -> None:
    found = compared(scripts)
    found.case.chunked.differences = [Difference(Topic.TITLE, "title", "Main", "none", 0)]
    (fault,) = found.case.faults
    assert fault.startswith("in chunks: Stream 0 lost something")


def test_a_film_without_its_end_must_be_refused_or_warned_of(scripts: tuple[Any, Any]) -> None:
    cases, _ = scripts
    case = compared(scripts).case
    case.is_cut_off = True
    assert len(case.faults) == 2
    case.whole, case.chunked = cases.Made(failure="It is damaged."), cases.Made(info=film(60), warnings=("Damaged.",))
    assert case.faults == []


async def test_sound_is_timed_against_the_first_picture(scripts: tuple[Any, Any], tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "late.mkv", extra=["-af", "asetpts=PTS+0.25/TB", "-c:a", "pcm_s16le"])
    info = MediaInfo("matroska,webm", (StreamInfo(0, "video"), StreamInfo(1, "audio")))
    assert scripts[1].sound_offsets(clip, info) == [Fraction(1, 4)]
