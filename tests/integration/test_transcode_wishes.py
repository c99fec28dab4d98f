"""Presets, encoder options and filters on real files: what was asked for is in what comes out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import av
import pytest

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.transcode import KIND
from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.ops.settings import Settings, TranscodeSettings
from mediafleet.testing import LocalTaskContext, make_clip, run_ffmpeg

CHAPTERS = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n"
HDR10 = (
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
)


async def publish(source: Path, folder: Path, params: dict[str, Any], *, presets: Path | None = None) -> Path:
    """Run the handler with params as an accepted job has them, and return what it published."""
    settings = Settings(transcode=TranscodeSettings(presets=str(presets or folder / "none")))
    checked = KindRegistry([KIND], settings).check_params("transcode", {"speed": "fastest", **params})
    context = LocalTaskContext.for_file(source, folder=folder / "work", params=checked)
    await KIND.handlers["transcode"](context)
    (path,) = context.published.values()
    return path


async def transcode(source: Path, folder: Path, params: dict[str, Any], *, presets: Path | None = None) -> MediaInfo:
    """Publish, and look at what that is."""
    path = await publish(source, folder, params, presets=presets)
    return await probe(LocalTaskContext.for_file(path, folder=folder / "look"), path, name=path.name)


async def picture(source: Path, folder: Path, params: dict[str, Any]) -> StreamInfo:
    return (await transcode(source, folder, params)).streams[0]


def mean_volume_db(path: Path) -> float:
    """Return how loud a file's sound is on the whole."""
    command = [find_ffmpeg().path, "-nostdin", "-i", str(path), "-af", "volumedetect", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(said.partition("mean_volume: ")[2].partition(" dB")[0])


def side_data_of(path: Path) -> set[str]:
    """Return the names of what comes with the first picture."""
    with av.open(str(path)) as container:
        # PyAV types this as a mapping of names; iterating it gives the pieces themselves.
        pieces = cast("Iterable[Any]", next(container.decode(video=0)).side_data)
        return {str(piece.type.name) for piece in pieces}


@pytest.mark.parametrize(
    ("preset", "codecs"),
    [
        ("vp9", ["vp9", "opus"]),
        ("opus", ["opus"]),
        ("archive", ["hevc", "flac"]),
        ("phone", ["h264", "aac"]),
    ],
)
async def test_every_preset_makes_what_it_says(tmp_path: Path, preset: str, codecs: list[str]) -> None:
    source = await make_clip(tmp_path / "film.mov", extra=["-c:a", "pcm_s16le"])
    made = await transcode(source, tmp_path, {"preset": preset})
    assert [stream.codec for stream in made.streams] == codecs


async def test_an_opus_file_keeps_its_chapters(tmp_path: Path) -> None:
    (tmp_path / "chapters.txt").write_text(CHAPTERS)
    extra = ["-i", str(tmp_path / "chapters.txt"), "-map_metadata", "2"]
    source = await make_clip(tmp_path / "talk.mkv", extra=extra)
    assert (await transcode(source, tmp_path, {"preset": "opus"})).chapters == 1


async def test_a_preset_goes_no_further_than_its_limits(tmp_path: Path) -> None:
    source = tmp_path / "large.mkv"
    moving = ["-f", "lavfi", "-i", "testsrc2=size=1600x400:rate=60:duration=0.5"]
    surround = ["-f", "lavfi", "-i", "anoisesrc=d=0.5", "-ac", "6", "-c:a", "flac", "-c:v", "libx264"]
    await run_ffmpeg([*moving, *surround], source)
    made = await transcode(source, tmp_path, {"preset": "phone"})
    film, sound = made.streams
    assert (film.width, film.height, film.packets, sound.channels) == (1280, 320, 15, 2)


async def test_a_preset_of_ones_own_is_carried_out(tmp_path: Path) -> None:
    presets = tmp_path / "presets"
    presets.mkdir()
    text = 'based_on = "hevc"\nsummary = "Mine."\n[filters]\nrotate = 90\n[audio]\nkeep = []\n[video.options]\ntune = "grain"\n'
    (presets / "mine.toml").write_text(text)
    source = await make_clip(tmp_path / "film.mp4", size="128x96")
    made = await transcode(source, tmp_path, {"preset": "mine"}, presets=presets)
    assert (made.streams[0].codec, made.streams[0].width, made.streams[0].height) == ("hevc", 96, 128)


async def test_each_field_can_become_a_picture(tmp_path: Path) -> None:
    source = tmp_path / "interlaced.mkv"
    moving = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=50:duration=1", "-vf", "interlace"]
    await run_ffmpeg([*moving, "-c:v", "libx264", "-flags", "+ilme+ildct"], source)
    assert (await picture(source, tmp_path, {"filters": {"deinterlace": "frame"}})).packets == 25
    fields = await picture(source, tmp_path, {"filters": {"deinterlace": "field"}})
    assert fields.packets == 50
    assert fields.length_s == pytest.approx(1.0, abs=0.03)


async def test_a_rate_of_television_is_exact(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "film.mkv", seconds=2)
    made = await picture(source, tmp_path, {"filters": {"fps": 29.97}})
    assert made.fps == pytest.approx(30000 / 1001)
    assert made.packets in {59, 60}
    assert made.length_s == pytest.approx(2.0, abs=0.04)


async def test_all_filters_at_once_make_the_size_that_was_asked_for(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "film.mkv", size="320x240")
    wish: dict[str, Any] = {
        "deinterlace": "frame",
        "crop": {"left": 11, "top": 3},
        "rotate": 90,
        "flip": "vertical",
        "denoise": {},
        "deband": {},
        "fps": 12.5,
        "sharpen": {},
        "pad": {"width": 300, "height": 500, "colour": "white"},
    }
    made = await picture(source, tmp_path, {"filters": wish, "scale": {"max": 200}})
    assert (made.width, made.height, made.fps) == (300, 500, 12.5)


async def test_hdr_becomes_sdr_on_request(tmp_path: Path) -> None:
    source = tmp_path / "hdr.mkv"
    moving = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=0.5", "-pix_fmt", "yuv420p10le"]
    await run_ffmpeg([*moving, "-c:v", "libx265", "-x265-params", HDR10], source)
    for preset in ("h264", "hevc"):
        path = await publish(source, tmp_path, {"preset": preset, "filters": {"tone_map": {}}})
        made = await probe(LocalTaskContext.for_file(path, folder=tmp_path / "look"), path, name=path.name)
        assert made.streams[0].colour == (1, 1, 1, 1), preset
        assert not {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"} & side_data_of(path), preset
    assert "MASTERING_DISPLAY_METADATA" in side_data_of(source)


async def test_sound_becomes_as_loud_as_asked(tmp_path: Path) -> None:
    source = tmp_path / "quiet.wav"
    await run_ffmpeg(["-f", "lavfi", "-i", "sine=frequency=440:duration=4", "-af", "volume=-30dB"], source)
    louder = await publish(source, tmp_path, {"preset": "mp3", "audio": {"loudness": {"target": -14}}})
    assert mean_volume_db(louder) > mean_volume_db(source) + 20
    softer = await publish(source, tmp_path, {"preset": "mp3", "audio": {"gain_db": -6}})
    assert mean_volume_db(softer) == pytest.approx(mean_volume_db(source) - 6, abs=0.5)


@pytest.mark.parametrize(("preset", "container"), [("h264", "mkv"), ("vp9", "webm")])
async def test_two_passes_share_a_bit_rate_out_over_the_film(tmp_path: Path, preset: str, container: str) -> None:
    """Most of a film is easy and its end is hard: who has seen it all before keeps bits for that."""
    source = tmp_path / "film.mkv"
    easy, hard = "color=gray:s=160x120:r=25:d=6", "testsrc2=s=160x120:r=25:d=2,noise=alls=60:allf=t"
    words = ["-f", "lavfi", "-i", easy, "-f", "lavfi", "-i", hard, "-filter_complex", "[0][1]concat", "-qp", "0"]
    await run_ffmpeg([*words, "-c:v", "libx264", "-preset", "ultrafast"], source)
    asked = {"preset": preset, "container": container, "bitrate": 300_000, "passes": 2, "speed": "fast"}
    context = LocalTaskContext.for_file(
        source, folder=tmp_path / "work", params=KindRegistry([KIND]).check_params("transcode", asked)
    )
    result = await KIND.handlers["transcode"](context)
    assert "first pass" in {report.stage for report in context.reports}
    fractions = [report.fraction for report in context.reports if report.stage in {"first pass", "encoding"}]
    assert fractions == sorted(fractions)
    command = " ".join(result.result["command"])
    assert "-pass:0 2 -passlogfile:0 passes" in command
    assert str(context.workspace) not in command
    assert result.result["size"] * 8 / 8 == pytest.approx(300_000, rel=0.35)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"passes": 2}, "give 'bitrate'"),
        ({"passes": 2, "bitrate": 900_000, "preset": "av1"}, "libx264, libvpx-vp9 do"),
        ({"passes": 2, "bitrate": 900_000, "hardware": "prefer"}, "in one pass"),
        ({"passes": 2, "bitrate": 900_000, "preset": "mp3"}, "encodes no picture"),
    ],
)
def test_two_passes_are_refused_where_there_are_none(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParams, match=words):
        KindRegistry([KIND]).check_params("transcode", values)
