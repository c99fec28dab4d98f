"""Real files in chunks beside the same files whole, with a real FFmpeg: nothing may tell the results apart."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest

from mediafleet.domain.plan import TaskSpec
from mediafleet.kinds.transcode.arguments import encode_arguments
from mediafleet.kinds.transcode.chunk_arguments import ChunkJob
from mediafleet.kinds.transcode.chunk_checks import check_borders, max_shift
from mediafleet.kinds.transcode.chunk_run import Tools, encode_chunk, encode_sound, join, open_job
from mediafleet.kinds.transcode.chunks import Chunk, NeedsWholeFile
from mediafleet.kinds.transcode.index import FrameIndex, read_index
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.running import FfmpegRun
from mediafleet.kinds.transcode.split import even_count, join_units, make_survey
from mediafleet.kinds.transcode.streams import OutputPlan, plan_output
from mediafleet.kinds.transcode.verify import find_faults
from mediafleet.testing import LocalTaskContext, make_clip, run_ffmpeg

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media" / "video"
MOVING = ("-f", "lavfi", "-i")
H264 = ("-c:v", "libx264", "-preset", "ultrafast")
MILLISECOND = Fraction(1, 1000)


@dataclass
class Bench:
    """One source with what is needed to transcode it."""

    tools: Tools
    source: Path
    info: MediaInfo
    plan: OutputPlan
    params: TranscodeParams

    @property
    def context(self) -> LocalTaskContext:
        context = self.tools.starter
        assert isinstance(context, LocalTaskContext)
        return context

    async def whole(self) -> Path:
        output = self.tools.folder / f"whole.{self.plan.container.name}"
        words = encode_arguments(self.plan, self.params, source=self.source, output=output, info=self.info)
        done = await FfmpegRun(self.context, [self.tools.ffmpeg.path, *words], "whole", 60).finish()
        assert done.exit_code == 0, done.log
        return output

    async def chunked(self, *, slots: int = 2, least_s: Fraction = Fraction(1, 2)) -> tuple[Path, tuple[Chunk, ...]]:
        output = self.tools.folder / f"joined.{self.plan.container.name}"
        job = await open_job(self.tools, self.source, self.plan, self.params, self.info)
        made = await transcode_in_chunks(
            self.tools, job, source=self.source, output=output, slots=slots, least_s=least_s
        )
        return output, made

    async def index(self, path: Path) -> FrameIndex:
        return await read_index(self.context, path, 0, name=path.name)


def cut(job: ChunkJob, *, slots: int = 1, least_s: Fraction = Fraction(1, 2)) -> tuple[Chunk, ...]:
    """Return the chunks of a source for so many slots."""
    found = make_survey(job.info, job.index, unit_s=least_s)
    return join_units(found, even_count(found, slots, least_s=least_s), least_s=least_s)


async def transcode_in_chunks(
    tools: Tools, job: ChunkJob, *, source: Path, output: Path, slots: int, least_s: Fraction
) -> tuple[Chunk, ...]:
    """Do on this machine, one after another, what a fleet does with many nodes; return the chunks."""
    chunks = cut(job, slots=slots, least_s=least_s)
    check_borders([await encode_chunk(tools, job, chunk, source=source) for chunk in chunks])
    sound = await encode_sound(tools, job, source=source) if job.sounds else None
    await join(tools, job, chunks, source=source, sound=sound, output=output)
    return chunks


async def open_bench(source: Path, folder: Path, **wanted: Any) -> Bench:
    params = msgspec.convert({"speed": "fastest", **wanted}, TranscodeParams)
    context = LocalTaskContext(TaskSpec("transcode", 1, "transcode", "a", "default"), folder=folder / "work")
    info = await probe(context, source, name=source.name)
    plan = plan_output(info, params, name=source.name)
    return Bench(Tools(context, find_ffmpeg(), context.workspace, source.name, cores=1), source, info, plan, params)


def heard(path: Path) -> list[tuple[Fraction, str]]:
    """Return for each sound track when it begins against the first picture, and a digest of its samples."""
    with av.open(str(path)) as container:
        count, picture = len(container.streams.audio), container.streams.video[0]
        begins = (picture.start_time or 0) * (picture.time_base or Fraction(1))
    found: list[tuple[Fraction, str]] = []
    for number in range(count):
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=number))
        digest = hashlib.sha256(b"".join(bytes(frame.planes[0])[: frame.samples] for frame in frames))
        found.append(((frames[0].pts or 0) * (frames[0].time_base or Fraction(1)) - begins, digest.hexdigest()))
    return found


def told(info: MediaInfo) -> list[Any]:
    """Return what a player shows of a file's streams.

    Limited range and range not given are the same: only Matroska notes the first, and chunks come by way of MP4.
    """
    lines = [
        (
            s.type,
            s.codec,
            s.language,
            s.title,
            s.disposition,
            s.packets,
            s.rotation,
            s.sar,
            (s.is_full_range, *s.colour[1:]),
            s.pix_fmt,
        )
        for s in info.streams
    ]
    return [*lines, info.chapters, info.metadata.get("title")]


async def likeness(bench: Bench, one: Path, other: Path) -> float:
    """Return the SSIM of two pictures, compared by number and not by time."""
    graph = "[0:v:0]setpts=N[a];[1:v:0]setpts=N[b];[a][b]ssim"
    words = [bench.tools.ffmpeg.path, "-hide_banner", "-nostdin", "-i", str(one), "-i", str(other), "-lavfi", graph]
    done = await FfmpegRun(bench.context, [*words, "-f", "null", "-"], "ssim", 60).finish()
    found = re.search(r"All:([\d.]+)", done.log)
    assert found, done.log
    return float(found[1])


async def compare(bench: Bench, *, slots: int = 2, least_s: Fraction = Fraction(1, 2)) -> tuple[Chunk, ...]:
    """Make the file both ways and hold one to the other."""
    whole = await bench.whole()
    joined, chunks = await bench.chunked(slots=slots, least_s=least_s)
    one, other = await bench.index(whole), await bench.index(joined)
    assert len(one.pts) == len(other.pts)
    begins = one.pts[0] * one.tick
    assert max_shift(one, other, offset=begins) <= MILLISECOND
    apart = [
        (abs(there[0] - here[0]), there[1] == here[1]) for here, there in zip(heard(whole), heard(joined), strict=True)
    ]
    assert all(shift <= MILLISECOND and same for shift, same in apart)
    inspected = await probe(bench.context, joined, name="joined")
    assert told(inspected) == told(await probe(bench.context, whole, name="whole"))
    assert find_faults(bench.info, inspected, bench.plan, bench.params) == []
    assert await likeness(bench, whole, joined) > 0.93
    return chunks


@pytest.mark.parametrize(
    ("preset", "container"),
    [
        ("h264", "mp4"),
        ("h264", "mkv"),
        ("h264", "mov"),
        ("hevc", "mkv"),
        ("hevc", "mp4"),
        ("av1", "mkv"),
        ("av1", "mp4"),
    ],
)
async def test_chunked_and_whole_are_the_same_film(tmp_path: Path, preset: str, container: str) -> None:
    sounds = ["-map", "0:v", "-map", "1:a", "-map", "1:a", "-metadata:s:a:1", "language=fra", "-c:a", "flac"]
    source = await make_clip(tmp_path / "film.mkv", seconds=6, extra=[*sounds, *H264, "-g", "30"])
    chunks = await compare(await open_bench(source, tmp_path, preset=preset, container=container))
    assert len(chunks) == 8


@pytest.mark.parametrize(("seen_s", "heard_s"), [("1.25", "1.5637"), ("1.5637", "1.25"), ("0", "0.3137")])
async def test_picture_and_sound_that_begin_late_keep_their_distance(tmp_path: Path, seen_s: str, heard_s: str) -> None:
    source = tmp_path / "late.mkv"
    picture = ["-itsoffset", seen_s, *MOVING, "testsrc2=s=128x96:r=25:d=3"]
    sound = ["-itsoffset", heard_s, *MOVING, "sine=r=44100:d=2"]
    await run_ffmpeg([*picture, *sound, *H264, "-g", "20", "-c:a", "pcm_s16le"], source)
    await compare(await open_bench(source, tmp_path))


async def test_a_variable_rate_stays_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "vfr.mp4"
    uneven = "testsrc2=s=128x96:r=60:d=4,select='not(mod(n\\,3))+gt(mod(n\\,50)\\,30)'"
    await run_ffmpeg([*MOVING, uneven, "-fps_mode", "vfr", *H264, "-g", "20", "-bf", "2"], source)
    bench = await open_bench(source, tmp_path)
    assert len({after - before for before, after in pairwise((await bench.index(source)).pts)}) > 1
    await compare(bench)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "open-gop=1:keyint=15:bframes=4"),
            id="open GOP of HEVC",
        ),
        pytest.param(
            ("-c:v", "libx264", "-preset", "fast", "-x264-params", "open-gop=1:keyint=15:bframes=4:b-pyramid=normal"),
            id="open GOP and B-pyramid of H.264",
        ),
        pytest.param(("-c:v", "mpeg2video", "-g", "12", "-bf", "2"), id="open GOP of MPEG-2"),
    ],
)
@pytest.mark.parametrize("ending", ["mp4", "ts", "mkv"])
async def test_no_picture_is_lost_between_open_groups(tmp_path: Path, words: tuple[str, ...], ending: str) -> None:
    source = tmp_path / f"film.{ending}"
    await run_ffmpeg([*MOVING, "testsrc2=s=128x96:r=25:d=3", *words], source)
    await compare(await open_bench(source, tmp_path), slots=3, least_s=Fraction(1, 5))


async def test_an_edit_list_hides_the_same_pictures(tmp_path: Path) -> None:
    plain = await make_clip(tmp_path / "plain.mp4", seconds=4, extra=[*H264, "-g", "20", "-bf", "2"])
    source = tmp_path / "cut.mp4"
    await run_ffmpeg(["-ss", "0.5", "-i", str(plain), "-c", "copy"], source)
    bench = await open_bench(source, tmp_path)
    with av.open(str(source)) as container:
        assert any(packet.is_discard for packet in container.demux(video=0))
    await compare(bench)


async def test_a_turned_picture_is_turned_once(tmp_path: Path) -> None:
    plain = await make_clip(tmp_path / "plain.mp4", seconds=3, extra=[*H264, "-g", "20"])
    await run_ffmpeg(["-display_rotation", "90", "-i", str(plain), "-c", "copy"], tmp_path / "turned.mp4")
    bench = await open_bench(tmp_path / "turned.mp4", tmp_path, scale={"max": 96})
    await compare(bench)


async def test_subtitles_chapters_and_titles_come_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:02,900\nHello\n")
    marks = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}000\nEND={n + 1}000\ntitle=Part {n}\n" for n in range(2))
    (tmp_path / "m.txt").write_text(f";FFMETADATA1\ntitle=A title\n{marks}")
    clip = await make_clip(tmp_path / "clip.mkv", seconds=3, extra=[*H264, "-g", "20", "-c:a", "aac"])
    inputs = [word for path in (clip, tmp_path / "s.srt", tmp_path / "m.txt") for word in ("-i", str(path))]
    names = ["-metadata:s:a:0", "language=eng", "-metadata:s:v:0", "title=Main", "-disposition:s:0", "forced"]
    await run_ffmpeg(
        [*inputs, "-map", "0", "-map", "1", "-map_metadata", "2", "-c", "copy", *names], tmp_path / "rich.mkv"
    )
    bench = await open_bench(tmp_path / "rich.mkv", tmp_path, container="mkv")
    await compare(bench)


async def test_a_seek_that_lands_late_is_noticed(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "film.mp4", seconds=4, sound=False, extra=[*H264, "-g", "20"])
    bench = await open_bench(source, tmp_path)
    job = await open_job(bench.tools, source, bench.plan, bench.params, bench.info)
    chunk = cut(job)[1]
    late = msgspec.structs.replace(chunk, seek=chunk.start + 20 * 512 + 2048)
    with pytest.raises(NeedsWholeFile, match="Chunk 2"):
        await encode_chunk(bench.tools, job, late, source=source)
    assert (await encode_chunk(bench.tools, job, chunk, source=source)).number == 1


async def test_a_place_to_enter_that_gives_no_whole_picture_is_noticed(tmp_path: Path) -> None:
    """A film that is refreshed stripe by stripe has marks to enter at where the picture is not complete yet."""
    source = tmp_path / "refreshed.mkv"
    words = ["-x264-params", "intra-refresh=1:keyint=25", "-c:v", "libx264", "-preset", "fast", "-bf", "0"]
    await run_ffmpeg([*MOVING, "testsrc2=s=320x240:r=25:d=4", *words], source)
    bench = await open_bench(source, tmp_path)
    job = await open_job(bench.tools, source, bench.plan, bench.params, bench.info)
    # Whether such a picture counts as a key picture is the demuxer's opinion; here it is ours.
    marks = tuple((time, time) for time in job.index.pts[::25])
    job = msgspec.structs.replace(job, index=msgspec.structs.replace(job.index, keys=marks))
    chunks = cut(job)
    with pytest.raises(NeedsWholeFile, match="Chunk 2"):
        await encode_chunk(bench.tools, job, chunks[1], source=source)


async def test_a_chunk_of_other_pictures_does_not_fit_its_neighbour(tmp_path: Path) -> None:
    """Same length, same times, same settings: only the picture at the border tells."""
    source = await make_clip(tmp_path / "film.mp4", seconds=4, sound=False, extra=[*H264, "-g", "20"])
    changed = ["-vf", "hue=h=40", *H264, "-g", "20"]
    other = await make_clip(tmp_path / "other.mp4", seconds=4, sound=False, extra=changed)
    bench = await open_bench(source, tmp_path)
    job = await open_job(bench.tools, source, bench.plan, bench.params, bench.info)
    one, two, *_ = cut(job)
    first, second = [await encode_chunk(bench.tools, job, chunk, source=source) for chunk in (one, two)]
    check_borders([first, second])
    with pytest.raises(NeedsWholeFile, match="Chunk 2 decoded another picture"):
        check_borders([first, await encode_chunk(bench.tools, job, two, source=other)])


async def test_a_chunk_that_was_changed_behind_our_back_is_noticed_in_the_join(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "film.mp4", seconds=4, sound=False, extra=[*H264, "-g", "20"])
    bench = await open_bench(source, tmp_path)
    job = await open_job(bench.tools, source, bench.plan, bench.params, bench.info)
    chunks = cut(job)
    for chunk in chunks:
        await encode_chunk(bench.tools, job, chunk, source=source)
    short = msgspec.structs.replace(
        chunks[1], end=chunks[1].last, last=chunks[1].last - 512, frames=chunks[1].frames - 1
    )
    await encode_chunk(bench.tools, job, short, source=source)
    output = bench.tools.folder / "joined.mp4"
    with pytest.raises(NeedsWholeFile, match="99 pictures and not 100"):
        await join(bench.tools, job, chunks, source=source, sound=None, output=output)


async def test_a_damaged_source_is_left_to_the_whole_file(tmp_path: Path) -> None:
    source = await make_clip(tmp_path / "film.mkv", seconds=4, sound=False, extra=[*H264, "-g", "20"])
    data = bytearray(source.read_bytes())
    for place in range(len(data) // 3, len(data) // 3 + 4000):
        data[place] = 0
    source.write_bytes(data)
    bench = await open_bench(source, tmp_path)
    with pytest.raises(NeedsWholeFile):
        await bench.chunked()


async def test_damaged_sound_is_left_to_the_whole_file(tmp_path: Path) -> None:
    """It says what is damaged, and never takes the source's place; a chunked one must not know less."""
    source = await make_clip(tmp_path / "film.mkv", seconds=4, extra=[*H264, "-g", "20", "-c:a", "ac3"])
    with av.open(str(source)) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(audio=0) if packet.size]
    data = bytearray(source.read_bytes())
    for pos, size in packets[30:60]:
        data[pos + size // 2 : pos + size - 4] = b"\xa5" * (size - 4 - size // 2)
    source.write_bytes(data)
    bench = await open_bench(source, tmp_path, container="mkv", audio={"codec": "opus"})
    with pytest.raises(NeedsWholeFile, match="sound is damaged"):
        await bench.chunked()


@pytest.mark.media
@pytest.mark.skipif(not MEDIA.is_dir(), reason="the shared test media are not beside this checkout")
@pytest.mark.parametrize(
    "name",
    ["bpyramid.mp4", "multi_kf.mkv", "iibbibb_editlist.mp4", "bbb_1080p_mpeg2.ts", "rotated_270.mp4", "cockatoo.mp4"],
)
async def test_awkward_films_pass(tmp_path: Path, name: str) -> None:
    await compare(await open_bench(MEDIA / name, tmp_path), least_s=Fraction(1, 5))
