"""Real encodes of what is easily lost: it comes out as it went in, or the plan has said so before."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest

from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.transcode import KIND
from mediafleet.kinds.transcode.inventory import Difference, compare
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.preview import Preview, preview
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.streams import plan_output
from mediafleet.testing import LocalTaskContext, make_clip, run_ffmpeg

MARKS = (
    *("dub", "original", "comment", "lyrics", "karaoke", "forced"),
    *("hearing_impaired", "visual_impaired", "captions", "descriptions"),
)
TAGS = (
    *(
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "grouping",
        "lyrics",
    ),
    *("description", "synopsis", "show", "episode_id", "network", "track", "disc", "episode_sort", "season_number"),
    *("keywords", "IMDB", "rating", "publisher", "DIRECTOR", "performer", "encoded_by", "REPLAYGAIN_TRACK_GAIN"),
)
FILM = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=0.4"]
HDR10 = (
    "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
)


class Done:
    """One transcode beside its plan."""

    def __init__(self, source: MediaInfo, output: MediaInfo, path: Path, wanted: TranscodeParams) -> None:
        self.source, self.output, self.path = source, output, path
        self.plan = plan_output(source, wanted, name="film.mkv")
        self.differences: list[Difference] = compare(source, output, self.plan, wanted)

    @property
    def unforeseen(self) -> list[str]:
        """What was lost though nobody announced it."""
        return [one.sentence for one in self.differences if not one.announced]


def open_context(source: Path, folder: Path, params: Mapping[str, Any]) -> tuple[LocalTaskContext, TranscodeParams]:
    wanted = msgspec.convert({"speed": "fastest", **params}, TranscodeParams)
    return LocalTaskContext.for_file(source, folder=folder, params=msgspec.to_builtins(wanted)), wanted


async def run(context: LocalTaskContext) -> TaskResult:
    return await KIND.handlers["transcode"](context)


async def transcode(source: Path, params: Mapping[str, Any]) -> Done:
    """Run the handler as a node would; it must not have found anything that was not announced, either."""
    folder = source.parent / f"work-{len(list(source.parent.iterdir()))}"
    context, wanted = open_context(source, folder, params)
    result = await run(context)
    [path] = context.published.values()
    before, after = [await probe(context, place.absolute(), name=place.name) for place in (source, path)]
    done = Done(before, after, path, wanted)
    assert result.warnings == done.plan.warnings
    return done


async def make_marked_sound(folder: Path, *, codec: str) -> Path:
    """Make a Matroska file with a sound track for each disposition that Matroska knows, and with tags."""
    tone, source = folder / "tone.mka", folder / "marked.mkv"
    await run_ffmpeg(["-f", "lavfi", "-i", "sine=duration=0.3", "-c:a", codec, "-ac", "2"], tone)
    words = ["-i", tone.name]
    for number, mark in enumerate(MARKS):
        words += ["-map", "0:0", f"-disposition:{number}", mark, f"-metadata:s:{number}", f"title=Track {mark}"]
    for number, language in enumerate(("deu", "de", "pt-BR")):
        words += [f"-metadata:s:{number}", f"language={language}"]
    words += ["-metadata:s:4", "FOO=bar", *(word for tag in TAGS for word in ("-metadata", f"{tag}=5"))]
    await run_ffmpeg([*words, "-c", "copy"], source)
    return source


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "aac"), ("mov", "aac"), ("mkv", "aac"), ("webm", "libopus"), ("m4a", "aac")]
)
async def test_marks_titles_languages_and_tags_stay_or_were_announced(
    tmp_path: Path, container: str, codec: str
) -> None:
    source = await make_marked_sound(tmp_path, codec=codec)
    done = await transcode(source, {"preset": "copy", "container": container})
    assert done.unforeseen == []
    # And nothing is announced that stayed.
    real = {(one.topic, one.stream) for one in done.differences}
    assert {(loss.topic, loss.stream) for loss in done.plan.losses} == real


@pytest.mark.parametrize(("preset", "named"), [("mp3", {"title", "language"}), ("opus", set[str]())])
async def test_a_sound_file_loses_what_was_said(tmp_path: Path, preset: str, named: set[str]) -> None:
    source = tmp_path / "tone.mka"
    words = ["-f", "lavfi", "-i", "sine=duration=0.3", "-c:a", "flac", "-metadata:s:0", "language=deu"]
    await run_ffmpeg([*words, "-metadata:s:0", "title=Voice", "-metadata", "album=A", "-metadata", "IMDB=tt1"], source)
    done = await transcode(source, {"preset": preset})
    assert {one.topic for one in done.differences} == named
    assert done.unforeseen == []


async def test_a_title_survives_two_passes_through_mp4(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "a.mp4", extra=["-metadata:s:1", "title=Commentary = main"])
    once = await transcode(source, {"preset": "copy"})
    twice = await transcode(once.path, {"preset": "copy"})
    assert [stream.title for stream in twice.output.streams] == ["", "Commentary = main"]


@pytest.mark.parametrize("preset", ["hevc", "av1"])
async def test_hdr10_keeps_colours_display_and_brightness(tmp_path: Path, preset: str) -> None:
    source = tmp_path / "hdr.mkv"
    await run_ffmpeg([*FILM, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", HDR10], source)
    done = await transcode(source, {"preset": preset})
    picture = done.output.streams[0]
    assert done.differences == []
    assert picture.light == (1000, 400)
    assert picture.mastering == pytest.approx(
        (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.005, 1000), abs=0.006
    )


async def test_hlg_stays_hlg(tmp_path: Path) -> None:
    source = tmp_path / "hlg.mkv"
    colours = "log-level=error:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"
    await run_ffmpeg([*FILM, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", colours], source)
    done = await transcode(source, {"preset": "av1"})
    assert (done.output.streams[0].colour, done.differences) == ((1, 9, 18, 9), [])


async def test_hdr_becomes_sdr_on_request_and_says_so(tmp_path: Path) -> None:
    source = tmp_path / "hdr.mkv"
    await run_ffmpeg([*FILM, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", HDR10], source)
    done = await transcode(source, {"preset": "h264", "filters": {"tone_map": {}}})
    picture = done.output.streams[0]
    assert (picture.colour, picture.extras) == ((1, 1, 1, 1), ())
    assert {loss.topic.value for loss in done.plan.losses} == {"hdr", "depth"}
    assert done.unforeseen == []


async def make_woven_clip(folder: Path, order: str) -> Path:
    source = folder / f"woven-{order}.mp4"
    fields = "fieldorder=bff,setfield=bff" if order == "bottom" else "setfield=tff"
    words = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=128x96:rate=50:duration=0.4",
        "-vf",
        f"interlace,{fields},format=yuv420p",
    ]
    await run_ffmpeg([*words, "-c:v", "libx264", "-flags", "+ildct+ilme"], source)
    return source


@pytest.mark.parametrize("order", ["top", "bottom"])
async def test_fields_stay_fields_in_h264(tmp_path: Path, order: str) -> None:
    source = await make_woven_clip(tmp_path, order)
    done = await transcode(source, {"preset": "h264"})
    assert done.source.streams[0].interlaced
    assert (done.output.streams[0].interlaced, done.plan.losses) == (True, ())
    assert [info.streams[0].bottom_first for info in (done.source, done.output)] == [order == "bottom"] * 2
    # What FFmpeg reads before it decodes a picture.
    process = await asyncio.create_subprocess_exec(find_ffmpeg().path, "-i", str(done.path), stderr=PIPE)
    told = (await process.communicate())[1].decode()
    assert f"({order} first)" in told


async def test_colours_of_two_fields_are_not_mixed(tmp_path: Path) -> None:
    """A blue block runs over red; the finer colour of the source is made coarser in each field by itself."""
    source = tmp_path / "studio.mkv"
    colours = [
        word for one in ("red:s=320x192", "blue:s=64x96") for word in ("-f", "lavfi", "-i", f"color={one}:r=50:d=0.8")
    ]
    graph = "[0]format=yuv422p[a];[1]format=yuv422p[b];[a][b]overlay=x='mod(t*400,250)':y=40:format=yuv422,interlace"
    await run_ffmpeg([*colours, "-filter_complex", graph, "-c:v", "ffv1"], source)
    done = await transcode(source, {"preset": "h264", "crf": 1})
    assert [loss.topic.value for loss in done.plan.losses] == ["detail"]
    assert min(await colour_psnr(done.path, source)) > 40


async def colour_psnr(one: Path, other: Path) -> list[float]:
    """Compare the first colour plane of two woven films field by field, in decibels; a mixed one has 25."""
    graph = "[0:v]separatefields[a];[1:v]separatefields,format=yuv420p[b];[a][b]psnr=stats_file=psnr.log"
    words = ["-i", str(one), "-i", str(other), "-filter_complex", graph, "-c:v", "rawvideo"]
    await run_ffmpeg(words, other.with_name("compared.nut"))
    lines = other.with_name("psnr.log").read_text().splitlines()
    assert len(lines) == 40
    return [float(line.partition("psnr_u:")[2].split()[0]) for line in lines]


async def test_fields_that_would_be_mixed_are_announced(tmp_path: Path) -> None:
    source = await make_woven_clip(tmp_path, "top")
    for asked in ({"preset": "hevc"}, {"preset": "h264", "scale": {"width": 64}}):
        done = await transcode(source, asked)
        assert [(one.topic.value, one.announced) for one in done.differences] == [("fields", True)]
    mended = await transcode(source, {"preset": "hevc", "filters": {"deinterlace": "frame"}})
    assert mended.differences == []


@pytest.mark.parametrize(
    ("turn", "bright"),
    [
        (["-display_hflip"], "left"),
        (["-display_vflip"], "right"),
        (["-display_rotation", "180", "-display_hflip"], "right"),
        (["-display_rotation", "90", "-display_hflip"], "top"),
    ],
)
async def test_a_mirrored_picture_is_as_players_show_it(tmp_path: Path, turn: list[str], bright: str) -> None:
    plain, source = tmp_path / "plain.mp4", tmp_path / "mirrored.mp4"
    halves = (
        "color=black:size=64x96:rate=25:duration=0.2[l];color=white:size=64x96:rate=25:duration=0.2[r];[l][r]hstack"
    )
    await run_ffmpeg(["-filter_complex", halves, "-pix_fmt", "yuv420p", "-c:v", "libx264"], plain)
    await run_ffmpeg([*turn, "-i", plain.name, "-c", "copy"], source)
    kept = await transcode(source, {"preset": "copy", "container": "mkv"})
    assert (kept.output.streams[0].mirrored, kept.output.streams[0].rotation) == (
        True,
        kept.source.streams[0].rotation,
    )
    made = await transcode(source, {"preset": "h264"})
    assert not made.output.streams[0].mirrored
    assert where_it_is_bright(made.path) == bright


def where_it_is_bright(path: Path) -> str:
    """Tell which half of a picture of a black and a white half is white."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).reformat(format="gray")
    width, stride, pixels = picture.width, picture.planes[0].line_size, bytes(picture.planes[0])
    rows = [pixels[row * stride : row * stride + width] for row in range(picture.height)]
    if abs(sum(rows[0]) - sum(rows[-1])) > 100 * width:
        return "top" if sum(rows[0]) > sum(rows[-1]) else "bottom"
    return "left" if rows[0][0] > rows[0][-1] else "right"


async def test_a_picture_turned_by_an_odd_angle_is_no_failure_and_announced(tmp_path: Path) -> None:
    plain, source = await make_clip(tmp_path / "plain.mp4"), tmp_path / "turned.mp4"
    await run_ffmpeg(["-display_rotation", "45", "-i", plain.name, "-c", "copy"], source)
    done = await transcode(source, {"preset": "h264"})
    assert [(one.topic.value, one.announced) for one in done.differences] == [("turn", True)]


def add_captions(stream: bytes) -> bytes:
    """Return H.264 with a closed caption before each picture (ATSC A/53 in a message of type 4)."""
    triplets = bytes.fromhex("fc9420 fcc8c9")
    payload = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | 2, 0xFF]) + triplets + b"\xff"
    message = b"\0\0\0\1\x06\x04" + bytes([len(payload)]) + payload + b"\x80"
    units = [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1") if unit.strip(b"\0")]
    pictures = {1, 5}
    return b"".join((message if unit[0] & 31 in pictures else b"") + b"\0\0\0\1" + unit for unit in units)


@pytest.mark.parametrize("preset", ["h264", "hevc", "vp9"])
async def test_captions_inside_the_picture_stay_or_were_announced(tmp_path: Path, preset: str) -> None:
    raw, spoken = tmp_path / "raw.h264", tmp_path / "spoken.h264"
    # One slice and no B-frames, so that a message before a unit belongs to a picture of its own.
    await run_ffmpeg([*FILM, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-bf", "0", "-threads", "1"], raw)
    spoken.write_bytes(add_captions(raw.read_bytes()))
    source = tmp_path / "spoken.mp4"
    await run_ffmpeg(["-r", "25", "-i", spoken.name, "-c", "copy"], source)
    done = await transcode(source, {"preset": preset})
    assert done.source.streams[0].extras == ("captions",)
    assert [one.topic.value for one in done.differences] == ([] if preset == "h264" else ["extras"])
    assert done.unforeseen == []


async def test_an_attachment_without_name_and_type_stays(tmp_path: Path) -> None:
    source = tmp_path / "film.mkv"
    (tmp_path / "notes.txt").write_text("Hello")
    attached = ["-attach", str(tmp_path / "notes.txt"), "-metadata:s:t", "mimetype=text/x-unknown"]
    await make_clip(source, extra=attached)
    done = await transcode(source, {"preset": "hevc"})
    assert [stream.type for stream in done.output.streams] == ["video", "audio", "attachment"]


async def test_a_job_that_only_plans_answers_with_the_plan_and_makes_nothing(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "film.mkv", extra=["-metadata", "IMDB=tt1"])
    context, wanted = open_context(source, tmp_path / "work", {"dry_run": True})
    result = await run(context)
    info = await probe(context, source, name=source.name)
    shown = msgspec.convert(result.result, Preview)
    assert shown == preview(info, wanted, name=source.name)
    assert result.warnings == ("The file loses the tag IMDB, which an mp4 file cannot hold.",)
    assert (result.outputs, context.published) == ((), {})


@pytest.mark.parametrize("begin", ["0.05", "0.3"])
async def test_aac_that_begins_after_its_picture_is_encoded_anew(tmp_path: Path, begin: str) -> None:
    source = tmp_path / "late.mkv"
    sound = ["-itsoffset", begin, "-f", "lavfi", "-i", "sine=duration=2:sample_rate=44100"]
    film = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2.4", *sound]
    await run_ffmpeg([*film, "-c:v", "libx264", "-c:a", "aac"], source)
    done = await transcode(source, {"preset": "phone"})
    before, after = (info.streams[1] for info in (done.source, done.output))
    assert before.start_s is not None
    assert after.start_s is not None
    assert abs(after.start_s - before.start_s) < 0.03


async def test_a_machine_whose_decoders_fail_decodes_on_its_cpu(tmp_path: Path) -> None:
    """On one with a card that works there is nothing to tell."""
    source = await make_clip(tmp_path / "film.mp4")
    context, _ = open_context(source, tmp_path / "work", {"hardware_decode": True})
    result = await run(context)
    assert len(result.outputs) == 1
    assert result.warnings in {(), ("The source was decoded on the CPU: with this node's hardware the encode failed.",)}


async def test_every_way_to_colour_each_line_is_known(tmp_path: Path) -> None:
    found: dict[str, bool] = {}
    for form in ("yuv420p", "yuv411p", "yuv422p10le", "yuv444p", "gbrp", "yuv410p", "bgra"):
        source = tmp_path / f"{form}.mkv"
        codec = "rawvideo" if form == "yuv410p" else "ffv1"
        await run_ffmpeg([*FILM, "-pix_fmt", form, "-c:v", codec], source)
        context, _ = open_context(source, tmp_path / f"look-{form}", {})
        found[form] = (await probe(context, source, name=source.name)).streams[0].colours_lines
    assert found == {
        "yuv420p": False,
        "yuv410p": False,
        **dict.fromkeys(("yuv411p", "yuv422p10le", "yuv444p", "gbrp", "bgra"), True),
    }


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("marks", [("0", "0"), ("0", "default")])
async def test_subtitles_are_shown_unasked_only_where_the_source_says_so(
    tmp_path: Path, container: str, marks: tuple[str, str]
) -> None:
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:00,400\nHello\n")
    clip, source = await make_clip(tmp_path / "clip.mkv"), tmp_path / "film.mkv"
    words = ["-i", clip.name, "-i", "s.srt", "-map", "0", "-map", "1", "-map", "1", "-c", "copy"]
    words += [word for number, mark in enumerate(marks) for word in (f"-disposition:s:{number}", mark)]
    await run_ffmpeg([*words, "-default_mode", "passthrough"], source)
    done = await transcode(source, {"preset": "copy", "container": container})
    assert done.unforeseen == []
    found = ["default" in one.disposition for one in done.output.streams if one.type == "subtitle"]
    assert found == [mark == "default" for mark in marks]
