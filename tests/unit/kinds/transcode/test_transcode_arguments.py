"""Whole FFmpeg command lines, compared word by word."""

from __future__ import annotations

from pathlib import Path

import pytest
from transcode_samples import MKV, media, params, sound, subtitle, video

from mediafleet.kinds.transcode.arguments import (
    check_arguments,
    cover_arguments,
    encode_arguments,
    shown_command,
    trial_arguments,
)
from mediafleet.kinds.transcode.caps import CAPS
from mediafleet.kinds.transcode.demuxers import ALLOWED
from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.streams import plan_output

QUIET = "-hide_banner -nostdin -nostats -loglevel level+info"
TOLD = f"{QUIET} -progress pipe:1 -stats_period 0.5"
SAFE = f"-protocol_whitelist file -format_whitelist {ALLOWED} -max_pixels {CAPS.pixels}"
COVER = video(codec="mjpeg", disposition=("attached_pic",), packets=1)


def command(info: MediaInfo, wanted: TranscodeParams | None = None) -> str:
    wanted = wanted or params()
    plan = plan_output(info, wanted, name="film.mkv")
    output = Path("/w") / f"output.{plan.container.name}"
    return " ".join(encode_arguments(plan, wanted, source=Path("/w/input.mkv"), output=output, info=info))


def test_a_film_with_everything_as_h264() -> None:
    source = media(video(), sound(), sound(codec="dts", channels=6), subtitle("subrip"), format=MKV)
    assert command(source) == (
        f"{TOLD} -y {SAFE} -f matroska -i file:/w/input.mkv -map 0:0 -map 0:1 -map 0:2 -map 0:3 -map_metadata 0 -map_chapters 0 "
        "-c:0 libx264 -preset:0 medium -crf:0 21 -pix_fmt:0 yuv420p -fps_mode:0 vfr -enc_time_base:0 1/12800 "
        "-c:1 copy -c:2 aac -b:2 480000 -c:3 mov_text -disposition:3 0 "
        "-max_muxing_queue_size 4096 -movflags +faststart -strict unofficial -f mp4 file:/w/output.mp4"
    )


def test_a_scaled_hevc_in_mp4_at_a_bit_rate() -> None:
    wish = params(
        preset="hevc", container="mp4", bitrate=2_000_000, scale={"max": 640}, speed="slow", audio={"codec": "none"}
    )
    deep = video(pix_fmt="yuv420p10le", bit_depth=10, rotation=90, time_base=(1, 90000))
    assert command(media(deep, sound()), wish) == (
        f"{TOLD} -y {SAFE} -f mov -i file:/w/input.mkv -map 0:0 -map_metadata 0 -map_chapters 0 "
        "-c:0 libx265 -preset:0 slow -b:0 2000000 -pix_fmt:0 yuv420p10le "
        "-filter:0 scale=360:640:flags=bicubic,setsar=1/1 -fps_mode:0 vfr -enc_time_base:0 1/90000 -tag:0 hvc1 "
        "-max_muxing_queue_size 4096 -movflags +faststart -strict unofficial -f mp4 file:/w/output.mp4"
    )


def test_an_encoder_that_keeps_fields_is_told_which_comes_first() -> None:
    bottom = video(interlaced=True, bottom_first=True)
    assert " -flags:0 +ildct+ilme -x264-params:0 bff=1 " in command(media(bottom))
    assert "bff" not in command(media(video(interlaced=True)))
    assert "bff" not in command(media(bottom), params(filters={"deinterlace": "frame"}))
    assert "bff" not in command(media(bottom), params(preset="hevc"))


def test_finer_colour_of_two_fields_is_made_coarser_in_each() -> None:
    woven = video(interlaced=True, colours_lines=True, bit_depth=10)
    assert "-filter:0 scale=interl=1,format=yuv420p " in command(media(woven))
    assert "-filter:0 scale=interl=1,format=yuv420p10le " in command(media(woven), params(preset="hevc"))
    assert "-filter" not in command(media(video(interlaced=True)))
    assert "-filter" not in command(media(video(colours_lines=True)))


def test_an_av1_with_surround_sound_in_opus() -> None:
    surround = sound(codec="dts", channels=6, layout="5.1(side)")
    assert command(media(video(), surround), params(preset="av1", crf=40)) == (
        f"{TOLD} -y {SAFE} -f mov -i file:/w/input.mkv -map 0:0 -map 0:1 -map_metadata 0 -map_chapters 0 "
        "-c:0 libsvtav1 -preset:0 8 -crf:0 40 -pix_fmt:0 yuv420p -fps_mode:0 vfr -enc_time_base:0 1/12800 "
        "-c:1 libopus -b:1 384000 -filter:1 aformat=channel_layouts=5.1 "
        "-max_muxing_queue_size 4096 -default_mode passthrough -f matroska file:/w/output.mkv"
    )


def test_an_mp3_mixes_down_and_fills_gaps() -> None:
    assert command(media(sound(codec="flac", channels=6), format="flac"), params(preset="mp3")) == (
        f"{TOLD} -y {SAFE} -f flac -i file:/w/input.mkv -map 0:0 -map_metadata 0 -map_chapters 0 "
        "-c:0 libmp3lame -b:0 192000 -ac:0 2 -filter:0 aresample=async=1:min_hard_comp=0.02 "
        "-max_muxing_queue_size 4096 -f mp3 file:/w/output.mp3"
    )


def test_a_copy_into_matroska_drops_stale_tags_and_attaches_the_cover() -> None:
    tagged = video(metadata=("BPS-eng", "DURATION", "_STATISTICS_TAGS"))
    assert command(media(tagged, COVER), params(preset="copy", container="mkv")) == (
        f"{TOLD} -y {SAFE} -f mov -i file:/w/input.mkv -map 0:0 -map_metadata 0 -map_chapters 0 "
        "-c:0 copy -metadata:s:0 BPS-eng= -metadata:s:0 _STATISTICS_TAGS= "
        "-attach file:/w/cover-1.jpg -metadata:s:1 mimetype=image/jpeg -metadata:s:1 filename=cover.jpg "
        "-max_muxing_queue_size 4096 -default_mode passthrough -f matroska file:/w/output.mkv"
    )


def test_covers_are_taken_out_in_one_run() -> None:
    info = media(video(), COVER, video(codec="png", disposition=("attached_pic",)))
    plan = plan_output(info, params(preset="hevc"), name="a.mp4")
    one = "-map 0:1 -c copy -frames:v 1 -f image2 -update 1 file:/w/cover-1.jpg"
    two = "-map 0:2 -c copy -frames:v 1 -f image2 -update 1 file:/w/cover-2.png"
    made = cover_arguments(plan, source=Path("/w/input.mp4"), folder=Path("/w"), info=info)
    assert " ".join(made) == f"{QUIET} -y {SAFE} -f mov -i file:/w/input.mp4 {one} {two}"


def test_the_check_decodes_everything_and_stops_at_the_first_error() -> None:
    assert " ".join(check_arguments(Path("/w/output.mp4"), muxer="mp4")) == (
        f"{TOLD} -xerror {SAFE} -f mov -i file:/w/output.mp4 -map 0:v? -map 0:a? "
        "-fps_mode vfr -enc_time_base:v 1/1000000 -f null -"
    )


@pytest.mark.parametrize("options", [{}, {"preset": "copy"}, {"preset": "hevc"}, {"audio": {"bitrate": 1}}])
def test_nothing_from_the_source_becomes_a_word_of_the_command(options: dict[str, object]) -> None:
    """Titles, languages and file names are the source's; on a command line they could be options."""
    evil = "-attach /etc/passwd"
    info = media(
        video(title=evil, language=evil, layout=evil, profile=evil),
        sound(title=evil, language=evil, layout=evil),
        StreamInfo(index=0, type="attachment", codec="ttf", title=evil),
        metadata={"title": evil},
    )
    assert evil not in command(info, params(**options))


def test_every_input_is_opened_with_the_white_lists() -> None:
    for line in (command(media(video())), " ".join(check_arguments(Path("/x"), muxer="matroska"))):
        assert line.index("-protocol_whitelist file -format_whitelist") < line.index(" -i file:/")


def test_the_white_list_names_no_format_that_names_files() -> None:
    lists = {
        "hls",
        "dash",
        "concat",
        "concatf",
        "sdp",
        "rtsp",
        "imf",
        "image2",
        "lavfi",
        "tty",
        "webm_dash_manifest",
        "avisynth",
    }
    assert lists.isdisjoint(ALLOWED.split(","))


def test_a_trial_encode_is_two_frames_of_nothing() -> None:
    quiet = "-hide_banner -nostdin -nostats -loglevel error"
    assert " ".join(trial_arguments("libx264", is_video=True)) == (
        f"{quiet} -f lavfi -i color=gray:s=256x256:r=25 -frames:v 2 -c:v libx264 -f null -"
    )
    assert "-c:a aac" in " ".join(trial_arguments("aac", is_video=False))
    assert "hwupload" in " ".join(trial_arguments("h264_vaapi", is_video=True))


def test_the_shown_command_has_the_names_that_the_user_knows() -> None:
    assert shown_command("ffmpeg", ["-i", "file:/w/input"], names={"file:/w/input": "file:a.mkv"}) == [
        "ffmpeg",
        "-i",
        "file:a.mkv",
    ]
