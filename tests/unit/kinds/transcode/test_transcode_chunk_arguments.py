"""Command lines of chunks, sound and join, compared word by word."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from transcode_samples import MKV, media, params, sound, subtitle, video

from mediafleet.kinds.transcode.caps import CAPS
from mediafleet.kinds.transcode.chunk_arguments import (
    ChunkJob,
    check_chunkable,
    chunk_arguments,
    join_arguments,
    join_list,
    sound_arguments,
)
from mediafleet.kinds.transcode.chunks import Chunk, NeedsWholeFile
from mediafleet.kinds.transcode.demuxers import ALLOWED
from mediafleet.kinds.transcode.index import FrameIndex
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.streams import plan_output

TOLD = "-hide_banner -nostdin -nostats -loglevel level+info -progress pipe:1 -stats_period 0.5 -y"
SAFE = f"-protocol_whitelist file -format_whitelist {ALLOWED} -max_pixels {CAPS.pixels}"
JOINED = "-protocol_whitelist file -format_whitelist concat,mov,mp4,m4a,3gp,3g2,mj2 -safe 1 -f concat"
INDEX = FrameIndex((1, 1000), (83, 125, 167, 208, 250, 292), ((83, 0), (208, 125)), 42)
FIRST = Chunk(0, start=83, last=167, end=208, frames=3)
LAST = Chunk(1, start=208, last=292, end=334, frames=3, is_last=True, seek=150)
FILM = media(video(time_base=(1, 1000)), sound(codec="dts"), sound(codec="mp3"), subtitle("subrip"), format=MKV)
SOURCE = Path("/w/input.mkv")


def job_of(info: MediaInfo = FILM, wanted: TranscodeParams | None = None, index: FrameIndex = INDEX) -> ChunkJob:
    wanted = wanted or params()
    return ChunkJob(plan_output(info, wanted, name="film.mkv"), wanted, info, index)


def chunk_line(job: ChunkJob, chunk: Chunk, *, cores: int = 1) -> str:
    paths = {"source": SOURCE, "output": Path("/w/c.mp4"), "edges": Path("/w/e.txt")}
    return " ".join(chunk_arguments(job, chunk, **paths, cores=cores))


def test_an_encoder_that_counts_all_cores_of_a_machine_is_told_how_many_are_its_own() -> None:
    alone, beside = params(preset="av1"), params(preset="av1", video={"lookahead": 20})
    assert " -svtav1-params:0 lp=3 " in chunk_line(job_of(wanted=alone), FIRST, cores=3)
    assert " -svtav1-params:0 lookahead=20:lp=6 " in chunk_line(job_of(wanted=beside), FIRST, cores=64)
    assert "lp=" not in chunk_line(job_of(), FIRST, cores=3)


def test_the_first_chunk_begins_at_the_files_beginning() -> None:
    assert chunk_line(job_of(), FIRST) == (
        f"{TOLD} -copyts -noaccurate_seek {SAFE} -f matroska -i file:/w/input.mkv -filter_complex "
        "[0:0]split[a][b];"
        "[a]trim=start_pts=83:end_pts=208,setpts=PTS-(83)[picture];"
        "[b]trim=start_pts=83:end_pts=209,select=eq(pts\\,83)+eq(pts\\,208)[edges] "
        "-map [picture] -map_metadata -1 -map_chapters -1 "
        "-c:0 libx264 -preset:0 medium -crf:0 21 -pix_fmt:0 yuv420p -fps_mode:0 vfr -enc_time_base:0 1/1000 "
        "-strict unofficial -f mp4 file:/w/c.mp4 "
        "-map [edges] -c:v rawvideo -fps_mode passthrough -enc_time_base 1/1000 -f framehash -hash md5 file:/w/e.txt"
    )


def test_a_later_chunk_is_entered_before_it_begins_and_the_last_has_no_end() -> None:
    line = chunk_line(job_of(), LAST)
    assert "-noaccurate_seek -seek_timestamp 1 -ss 150000us -protocol_whitelist" in line
    assert "[a]trim=start_pts=208,setpts=PTS-(208)[picture];[b]trim=start_pts=208,select" in line


def test_a_picture_is_scaled_behind_the_cut() -> None:
    line = chunk_line(job_of(wanted=params(scale={"max": 640})), FIRST)
    assert "setpts=PTS-(83),scale=640:360:flags=bicubic,setsar=1/1[picture]" in line
    assert "-filter:0" not in line


def test_a_start_before_nought_is_taken_off_as_well() -> None:
    assert "setpts=PTS-(-80)[" in chunk_line(job_of(), msgspec.structs.replace(FIRST, start=-80))


def test_only_sound_that_is_encoded_is_encoded_beside_the_chunks() -> None:
    line = " ".join(sound_arguments(job_of(), source=SOURCE, output=Path("/w/s")))
    assert line == (
        f"{TOLD} {SAFE} -f matroska -i file:/w/input.mkv -map 0:1 -map_metadata -1 -map_chapters -1 "
        "-c:0 aac -b:0 160000 -strict unofficial -f mp4 -movie_timescale 7056000 file:/w/s"
    )
    webby = params(container="mkv", audio={"codec": "opus"})
    assert "-f matroska file:/w/s" in " ".join(
        sound_arguments(job_of(wanted=webby), source=SOURCE, output=Path("/w/s"))
    )


def test_the_join_takes_each_stream_from_where_it_is_and_all_names_from_the_source() -> None:
    job = job_of(msgspec.structs.replace(FILM, start_s=0.02))
    line = " ".join(
        join_arguments(job, chunks=Path("/w/l"), sound=Path("/w/s"), source=SOURCE, output=Path("/w/o.mp4"))
    )
    assert line == (
        f"{TOLD} -copyts -itsoffset 63000us {JOINED} -i file:/w/l "
        f"-itsoffset -20000us {SAFE} -f matroska -i file:/w/input.mkv {SAFE} -i file:/w/s "
        "-map_metadata 1 -map_chapters 1 "
        "-map 0:0 -map_metadata:s:0 1:s:0 -disposition:0 default -c:0 copy "
        "-map 2:0 -map_metadata:s:1 1:s:1 -disposition:1 0 -c:1 copy "
        "-map 1:2 -map_metadata:s:2 1:s:2 -disposition:2 0 -c:2 copy "
        "-map 1:3 -map_metadata:s:3 1:s:3 -disposition:3 0 -c:3 mov_text "
        "-max_muxing_queue_size 4096 -movflags +faststart -strict unofficial -f mp4 file:/w/o.mp4"
    )


def test_hevc_keeps_the_name_by_which_players_know_it() -> None:
    job = job_of(wanted=params(preset="hevc", container="mp4"))
    line = " ".join(join_arguments(job, chunks=Path("/w/l"), sound=None, source=SOURCE, output=Path("/w/o.mp4")))
    assert "-c:0 copy -tag:0 hvc1" in line


def test_lengths_in_the_list_are_exact_and_their_rounding_does_not_add_up() -> None:
    index = msgspec.structs.replace(INDEX, time_base=(1001, 30000))
    chunks = [Chunk(n, start=n, last=n, end=n + 1, frames=1) for n in range(3000)]
    lines = join_list(job_of(index=index), chunks, [f"c{n}" for n in range(3000)]).splitlines()
    assert lines[:5] == ["ffconcat version 1.0", "file c0", "duration 33367us", "file c1", "duration 33366us"]
    assert sum(int(line.split()[1].removesuffix("us")) for line in lines[2::2]) == 100_100_000


@pytest.mark.parametrize(
    ("info", "wanted", "words"),
    [
        (media(video(), video()), params(), "2 pictures"),
        (media(sound()), params(preset="mp3"), "0 pictures"),
        (media(video(), sound()), params(preset="copy"), "0 pictures"),
        (media(video()), params(bitrate=1_000_000), "bit rate"),
        (media(video(fps=300.0)), params(preset="av1"), "frame rate"),
    ],
)
def test_what_must_see_the_whole_file_is_not_chunked(info: MediaInfo, wanted: TranscodeParams, words: str) -> None:
    with pytest.raises(NeedsWholeFile, match=words):
        check_chunkable(plan_output(info, wanted, name="film.mkv"), wanted)


def test_cover_art_is_no_picture_to_chunk() -> None:
    covered = media(video(codec="mjpeg", disposition=("attached_pic",), packets=1), video())
    assert check_chunkable(plan_output(covered, params(), name="f.mp4"), params()).source.index == 1
