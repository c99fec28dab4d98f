"""Whole transcodes of real files, each made here for one trouble it carries, with a real FFmpeg."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import av
import msgspec
import pytest

from mediafleet.domain.errors import MediafleetError, OutputRejected, TransientFailure, UnreadableMedia
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.transcode import KIND, TranscodeHandler
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import Ffmpeg, find_ffmpeg
from mediafleet.testing import LocalTaskContext, make_clip, run_ffmpeg

FASTEST = {"speed": "fastest"}
SRT = "1\n00:00:00,100 --> 00:00:00,900\nHello\n"
MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media" / "video"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="the shared test media are not beside this checkout")


class Done:
    """A finished transcode and a look into its output."""

    def __init__(self, context: LocalTaskContext, result: TaskResult, info: MediaInfo) -> None:
        self.context = context
        self.result = result.result
        self.warnings = result.warnings
        self.info = info
        self.kinds = [f"{stream.type} {stream.codec}" for stream in info.streams]

    @property
    def path(self) -> Path:
        return next(iter(self.context.published.values()))


async def transcode(source: Path, folder: Path, params: Mapping[str, Any] = FASTEST) -> Done:
    """Run the handler on a file as a node would, and probe what it published."""
    context = open_context(source, folder, params)
    result = await KIND.handlers["transcode"](context)
    path = next(iter(context.published.values()))
    return Done(context, result, await probe(context, path, name=path.name))


def open_context(source: Path, folder: Path, params: Mapping[str, Any] = FASTEST) -> LocalTaskContext:
    checked = msgspec.to_builtins(msgspec.convert(params, KIND.params))
    return LocalTaskContext.for_file(source, folder=folder / "work", params=checked)


def left_running(context: LocalTaskContext) -> list[int]:
    """Return the children of a context whose process group still has members."""
    return [child.pid for child in context.started if Path(f"/proc/{child.pid}").exists()]


async def test_a_film_becomes_a_verified_mp4(tmp_path: Path) -> None:
    done = await transcode(await make_clip(tmp_path / "film.mkv", seconds=2), tmp_path)
    assert list(done.context.published) == ["film.mp4"]
    assert done.kinds == ["video h264", "audio aac"]
    assert done.info.duration_s == pytest.approx(2.0, abs=0.05)
    assert done.warnings == ()
    assert done.context.stages == ["probing", "encoding", "verifying", "publishing"]
    fractions = [report.fraction for report in done.context.reports]
    assert fractions == sorted(fractions)
    assert {"probe_s", "encode_s", "verify_s", "fps", "dropped", "streams", "command"} <= done.result.keys()
    assert done.result["command"][-1] == "file:film.mp4"
    assert done.result["fps"] == pytest.approx(done.result["frames"] / done.result["encode_s"], rel=0.02)


@pytest.mark.parametrize(
    ("preset", "name", "codecs"),
    [
        ("hevc", "film.mkv", ["video hevc", "audio aac"]),
        ("av1", "film.mkv", ["video av1", "audio aac"]),
        ("mp3", "film.mp3", ["audio mp3"]),
        ("copy", "film.mp4", ["video h264", "audio aac"]),
    ],
)
async def test_every_preset_makes_what_it_says(tmp_path: Path, preset: str, name: str, codecs: list[str]) -> None:
    source = await make_clip(tmp_path / "film.mp4", size="128x96")
    done = await transcode(source, tmp_path, {"preset": preset, "speed": "fastest"})
    assert list(done.context.published) == [name]
    assert done.kinds == codecs


@pytest.mark.parametrize(
    "name",
    [
        "a b.mp4",
        'it\'s "it".mp4',
        "фильм 映画.mp4",
        "-y.mp4",
        "two\nlines.mp4",
        "%03d.mp4",
        "x" * 250 + ".mp4",
        "a;b|c$d`e.mp4",
        ".mp4",
    ],
)
async def test_any_file_name_works(tmp_path: Path, name: str) -> None:
    plain = await make_clip(tmp_path / "plain.mp4", sound=False)
    source = plain.rename(tmp_path / name)
    done = await transcode(source, tmp_path)
    assert done.path.parent == done.context.outputs
    assert done.path.stem[:200] == Path(name).stem[:200]


async def test_a_name_that_is_no_text_works(tmp_path: Path) -> None:
    plain = await make_clip(tmp_path / "plain.mp4", sound=False)
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    plain.rename(source)
    assert (await transcode(source, tmp_path)).kinds == ["video h264"]


HDR10 = (
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
)


def light_of(path: Path) -> tuple[list[int], set[str]]:
    """Return colours (primaries, transfer, matrix) and the side data of the first picture."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
        codec = container.streams.video[0].codec_context
        # PyAV types this as a mapping of names; iterating it gives the pieces themselves.
        pieces = cast("Iterable[Any]", picture.side_data)
        kinds = {str(piece.type.name) for piece in pieces} - {"SEI_UNREGISTERED"}
        return [int(codec.color_primaries), int(codec.color_trc), int(codec.colorspace)], kinds


async def test_hdr10_stays_hdr10(tmp_path: Path) -> None:
    source = tmp_path / "hdr.mkv"
    moving = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=1", "-pix_fmt", "yuv420p10le"]
    await run_ffmpeg([*moving, "-c:v", "libx265", "-x265-params", HDR10], source)
    assert light_of(source) == ([9, 16, 9], {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"})
    done = await transcode(source, tmp_path, {"preset": "hevc", "speed": "fastest"})
    assert light_of(done.path) == light_of(source)
    assert done.warnings == ()


@needs_media
async def test_what_of_hdr10_plus_cannot_be_kept_is_said(tmp_path: Path) -> None:
    done = await transcode(MEDIA / "hdr10_hevc_1080p.mp4", tmp_path, {"preset": "hevc", "speed": "fastest"})
    assert "MASTERING_DISPLAY_METADATA" in light_of(done.path)[1]
    assert any("loses its HDR10+ data" in warning for warning in done.warnings)


@pytest.mark.parametrize("preset", ["h264", "hevc", "copy"])
async def test_subtitles_chapters_tags_and_second_tracks_stay(tmp_path: Path, preset: str) -> None:
    source = await make_rich_clip(tmp_path)
    done = await transcode(source, tmp_path, {"preset": preset, "speed": "fastest"})
    kinds = [kind.split()[0] for kind in done.kinds if not kind.startswith("data")]
    assert kinds == ["video", "audio", "audio", "subtitle"]
    assert [stream.language for stream in done.info.streams[1:3]] == ["eng", "fra"]
    assert done.info.chapters == 2
    assert done.info.metadata["title"] == "A title"


async def make_rich_clip(folder: Path) -> Path:
    """Make a Matroska file with two sound tracks, a subtitle, two chapters and a title."""
    clip = await make_clip(folder / "clip.mkv", seconds=2)
    (folder / "s.srt").write_text(SRT)
    chapters = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}000\nEND={n + 1}000\ntitle=Part {n}\n" for n in range(2))
    (folder / "m.txt").write_text(f";FFMETADATA1\ntitle=A title\n{chapters}")
    inputs = [word for name in ("clip.mkv", "s.srt", "m.txt") for word in ("-i", str(folder / name))]
    maps = ["-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1", "-map_metadata", "2", "-map_chapters", "2"]
    languages = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra"]
    await run_ffmpeg([*inputs, *maps, *languages, "-c", "copy"], folder / "rich.mkv")
    clip.unlink()
    return folder / "rich.mkv"


@pytest.mark.parametrize(("preset", "ending"), [("h264", "mp4"), ("mp3", "mp3"), ("hevc", "mkv")])
async def test_cover_art_stays_cover_art(tmp_path: Path, preset: str, ending: str) -> None:
    clip = await make_clip(tmp_path / "clip.mp4")
    await run_ffmpeg(["-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1"], tmp_path / "cover.png")
    inputs = ["-i", str(clip), "-i", str(tmp_path / "cover.png"), "-map", "0", "-map", "1"]
    await run_ffmpeg([*inputs, "-c", "copy", "-disposition:v:1", "attached_pic"], tmp_path / "covered.mp4")
    done = await transcode(tmp_path / "covered.mp4", tmp_path, {"preset": preset, "speed": "fastest"})
    assert done.path.suffix == f".{ending}"
    assert [stream.codec for stream in done.info.streams if stream.is_cover] == ["png"]


async def test_fonts_stay_in_matroska(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"font")
    extra = ["-attach", str(tmp_path / "a.ttf"), "-metadata:s:t", "mimetype=font/ttf"]
    source = await make_clip(tmp_path / "clip.mkv", extra=extra)
    kept = await transcode(source, tmp_path, {"preset": "hevc", "speed": "fastest"})
    assert [stream.title for stream in kept.info.streams if stream.type == "attachment"] == ["a.ttf"]
    dropped = await transcode(source, tmp_path)
    assert "a.ttf) was left out: an mp4 file cannot hold attachments." in dropped.warnings[0]


async def test_a_turned_picture_is_upright_afterwards(tmp_path: Path) -> None:
    plain = await make_clip(tmp_path / "plain.mp4", size="128x96", sound=False)
    await run_ffmpeg(["-display_rotation", "90", "-i", str(plain), "-c", "copy"], tmp_path / "turned.mp4")
    for preset in ("h264", "copy"):
        stream = (await transcode(tmp_path / "turned.mp4", tmp_path, {"preset": preset})).info.streams[0]
        assert stream.shown_size == (96, 128)
        assert stream.rotation == (90 if preset == "copy" else 0)


async def test_pixels_that_are_not_square_keep_their_shape(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "wide.mp4", size="720x576", extra=["-vf", "setsar=64/45"], sound=False)
    for params in ({**FASTEST}, {**FASTEST, "scale": {"max": 360}}, {"preset": "av1", "speed": "fastest"}):
        stream = (await transcode(source, tmp_path, params)).info.streams[0]
        assert stream.width * stream.sar[0] / (stream.height * stream.sar[1]) == pytest.approx(16 / 9, rel=0.01)


async def test_odd_sides_full_range_and_rich_colour_become_playable(tmp_path: Path) -> None:
    extra = ["-c:v", "ffv1", "-pix_fmt", "yuvj444p", "-color_range", "pc"]
    source = await make_clip(
        tmp_path / "odd.mkv", extra=["-vf", "format=yuv444p,crop=127:95:exact=1", *extra], sound=False
    )
    done = await transcode(source, tmp_path)
    stream = done.info.streams[0]
    assert (stream.width, stream.height) == (128, 96)
    assert stream.pix_fmt in {"yuv420p", "yuvj420p"}
    assert stream.is_full_range
    assert "4:2:0" in done.warnings[0]


async def test_ten_bits_stay_where_the_preset_can_hold_them(tmp_path: Path) -> None:
    extra = ["-c:v", "ffv1", "-pix_fmt", "yuv420p10le"]
    source = await make_clip(tmp_path / "deep.mkv", extra=extra, sound=False)
    deep = await transcode(source, tmp_path, {"preset": "hevc", "speed": "fastest"})
    flat = await transcode(source, tmp_path)
    assert (deep.info.streams[0].pix_fmt, deep.warnings) == ("yuv420p10le", ())
    assert (flat.info.streams[0].pix_fmt, flat.warnings) == (
        "yuv420p",
        ("Video stream 0 (ffv1) goes from 10 to 8 bits.",),
    )


async def test_a_variable_frame_rate_stays_variable(tmp_path: Path) -> None:
    extra = ["-vf", "setpts='PTS+0.5*gt(N,10)/TB'", "-fps_mode", "vfr"]
    source = await make_clip(tmp_path / "vfr.mkv", seconds=1, extra=extra, sound=False)
    done = await transcode(source, tmp_path)
    assert done.info.streams[0].packets == 25
    assert done.info.duration_s == pytest.approx(1.5, abs=0.05)


async def test_sound_that_starts_late_stays_late(tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "clip.mkv", seconds=2)
    inputs = ["-i", str(clip), "-itsoffset", "0.7", "-i", str(clip), "-map", "0:v", "-map", "1:a", "-c:v", "copy"]
    await run_ffmpeg([*inputs, "-c:a", "ac3"], tmp_path / "late.mkv")
    done = await transcode(tmp_path / "late.mkv", tmp_path)
    assert done.info.streams[1].start_s == pytest.approx(0.7, abs=0.06)


async def test_sound_shorter_than_the_picture_is_no_fault(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "short.mp4", seconds=2, extra=["-af", "atrim=0:1"])
    done = await transcode(source, tmp_path)
    assert done.info.streams[1].length_s == pytest.approx(1.0, abs=0.05)


async def test_a_size_and_a_bit_rate_can_be_asked_for(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "clip.mp4", size="320x240")
    wish = {
        **FASTEST,
        "scale": {"max": 160},
        "bitrate": 300_000,
        "audio": {"codec": "mp3", "channels": 2},
        "container": "mkv",
    }
    done = await transcode(source, tmp_path, wish)
    assert done.kinds == ["video h264", "audio mp3"]
    assert (done.info.streams[0].width, done.info.streams[1].channels) == (160, 2)


LISTS = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile '{secret}'\n",
    "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{secret}</BaseURL></MPD>',
    "list.pls": "[playlist]\nFile1={secret}\n",
}


@pytest.mark.parametrize("name", sorted(LISTS))
async def test_a_list_of_other_files_is_refused_and_none_is_read(tmp_path: Path, name: str) -> None:
    secret = await make_clip(tmp_path / "secret.ts")
    os.utime(secret, ns=(1, 1_000_000_000))
    source = tmp_path / name
    source.write_text(LISTS[name].format(secret=secret))
    context = open_context(source, tmp_path)
    with pytest.raises(UnreadableMedia, match="list of other files"):
        await KIND.handlers["transcode"](context)
    assert secret.stat().st_atime_ns == 1
    assert not context.published


async def test_pictures_by_pattern_are_refused(tmp_path: Path) -> None:
    await run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1"], tmp_path / "img001.png")
    (tmp_path / "img%03d.png").write_bytes((tmp_path / "img001.png").read_bytes())
    with pytest.raises(UnreadableMedia):
        await transcode(tmp_path / "img%03d.png", tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"hello, world\n" * 100, os.urandom(70_000)])
async def test_what_is_no_media_fails_with_one_sentence(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "no media.mp4"
    source.write_bytes(content)
    with pytest.raises(UnreadableMedia, match=r"“no media\.mp4”") as failure:
        await transcode(source, tmp_path)
    assert "\n" not in failure.value.message
    assert not failure.value.retryable


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
async def test_a_file_that_was_cut_off_is_not_taken_for_whole(tmp_path: Path, ending: str) -> None:
    whole = await make_clip(
        tmp_path / f"whole.{ending}", seconds=6, extra=["-movflags", "+faststart"] if ending == "mp4" else []
    )
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(UnreadableMedia, match=r"is incomplete: its header announces 6\.0 s"):
        await transcode(cut, tmp_path)


async def test_damage_that_ffmpeg_can_conceal_is_said(tmp_path: Path) -> None:
    source = await make_damaged_clip(tmp_path)
    done = await transcode(source, tmp_path)
    assert any(warning.startswith("The source is damaged") for warning in done.warnings)
    with pytest.raises(OutputRejected, match=r"does not decode without errors.*can repair it"):
        await transcode(source, tmp_path, {"preset": "copy"})


async def make_damaged_clip(folder: Path) -> Path:
    """Make a clip some of whose pictures carry garbage, while its headers are whole."""
    source = await make_clip(folder / "damaged.mkv", seconds=3, size="320x240", sound=False)
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    source.write_bytes(content)
    return source


async def test_an_ffmpeg_that_stands_still_is_stopped_and_tried_again(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "clip.mp4", sound=False)
    stuck = tmp_path / "stuck.py"
    stuck.write_text(
        f"#!{sys.executable}\nimport time\n"
        "while True:\n    print('out_time_us=40000\\nframe=1\\nprogress=continue', flush=True)\n    time.sleep(0.02)\n"
    )
    stuck.chmod(0o755)
    context = open_context(source, tmp_path)
    with pytest.raises(TransientFailure, match=r"no progress on “clip\.mp4” for 0\.3 s") as failure:
        await TranscodeHandler(ffmpeg=Ffmpeg(str(stuck), "9.0"), stall_s=0.3)(context)
    assert failure.value.retryable
    assert left_running(context) == []


async def test_cancelling_leaves_no_ffmpeg_behind(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "clip.mp4", seconds=20, size="640x480", sound=False)
    context = open_context(source, tmp_path, {"speed": "slowest"})
    encoding = asyncio.Event()
    context.on_report = lambda report: encoding.set() if report.fraction > 0.01 else None
    task = asyncio.create_task(KIND.handlers["transcode"](context), name="transcode")
    await asyncio.wait_for(encoding.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left_running(context) == []
    assert not context.published


async def test_an_output_that_lacks_something_is_not_published(tmp_path: Path) -> None:
    """An FFmpeg that ends well but writes half of the film."""
    source = await make_clip(tmp_path / "clip.mp4", seconds=4)
    halving = tmp_path / "halving.py"
    program = (await asyncio.to_thread(find_ffmpeg)).path
    halving.write_text(
        f"#!{sys.executable}\nimport os, sys\nwords = sys.argv[1:]\n"
        f"if 'null' not in words:\n    words[-1:-1] = ['-t', '2']\nos.execv({program!r}, [{program!r}, *words])\n"
    )
    halving.chmod(0o755)
    context = open_context(source, tmp_path)
    with pytest.raises(OutputRejected, match=r"lasts 2\.0\d\d s and not 4\.0"):
        await TranscodeHandler(ffmpeg=Ffmpeg(str(halving), "9.0"))(context)
    assert not context.published


@needs_media
@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("drm_widevine.mp4", "is encrypted (DRM)"),
        ("bad_free_box.mp4", "is damaged or incomplete"),
        ("dovi_p10_av1_4k.mp4", "cannot decode it"),
    ],
)
async def test_shared_media_that_cannot_be_played_fail_with_a_sentence(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(MediafleetError) as failure:
        await transcode(MEDIA / name, tmp_path)
    assert said in failure.value.message
    assert name in failure.value.message


@needs_media
@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "length_s", "streams", "said"),
    [
        ("nasa_multi_stream.mp4", 13.056, 6, ""),
        ("empty_track.mp4", 1.089, 2, "it is empty"),
        ("editlist_positive_shift.mp4", 10.005, 2, ""),
        ("iibbibb_editlist.mp4", 12.0, 1, "4:2:0"),
        ("subs_vobsub.mkv", 1.009, 3, ""),
        ("bad_invalid_nalu.mp4", 1.001, 1, "The source is damaged"),
        ("failing_audio.mp4", 11.233, 2, ""),
        ("-video-with-dash-.mp4", 5.0, 1, "4:2:0"),
        ("dovi_p9_avc_1080p60.mp4", 1.284, 1, "Dolby Vision"),
        ("aux_tracks.mp4", 0.04, 1, "4:2:0"),
        ("bbb_1080p_mpeg2.ts", 2.513, 2, ""),
    ],
)
async def test_awkward_shared_media_come_out_whole(
    tmp_path: Path, name: str, length_s: float, streams: int, said: str
) -> None:
    done = await transcode(MEDIA / name, tmp_path)
    assert done.info.duration_s == pytest.approx(length_s, abs=0.05)
    assert len(done.info.streams) == streams
    assert said in " ".join(done.warnings)
    assert bool(said) == bool(done.warnings)
