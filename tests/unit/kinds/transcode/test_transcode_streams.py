"""What becomes of each stream: everything that fits is kept, everything else is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcode_samples import MKV, media, params, sound, subtitle, video

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.transcode.containers import CONTAINERS, same_container
from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.streams import OutputPlan, describe, plan_output

COVER = video(codec="mjpeg", disposition=("attached_pic",), packets=1)
FONT = StreamInfo(index=0, type="attachment", codec="ttf", title="a.ttf")
TIMECODE = StreamInfo(index=0, type="data", metadata=("timecode",), packets=1)


def plan(info: MediaInfo, wanted: TranscodeParams | None = None, name: str = "film.mkv") -> OutputPlan:
    return plan_output(info, wanted or params(), name=name)


def actions(made: OutputPlan) -> list[str]:
    return [f"{stream.source.type} {stream.action} {stream.codec}" for stream in made.streams]


def test_the_usual_film_loses_nothing() -> None:
    made = plan(media(video(), sound(), subtitle("mov_text")))
    assert actions(made) == ["video encode h264", "audio copy aac", "subtitle copy mov_text"]
    assert made.warnings == ()


def test_every_track_of_a_kind_is_kept() -> None:
    made = plan(media(video(), video(), sound(), sound(), sound(), subtitle("mov_text"), subtitle("mov_text")))
    assert len(made.streams) == 7


def test_text_subtitles_are_converted_to_what_the_container_holds() -> None:
    to_mp4 = plan(media(video(), subtitle("subrip"), format=MKV))
    to_mkv = plan(media(video(), subtitle("mov_text")), params(preset="hevc"))
    assert actions(to_mp4)[1] == "subtitle convert mov_text"
    assert actions(to_mkv)[1] == "subtitle convert subrip"
    assert to_mp4.warnings == to_mkv.warnings == ()


def test_lost_styles_of_subtitles_are_said() -> None:
    made = plan(media(video(), subtitle("ass"), format=MKV))
    assert made.warnings == ("Subtitle stream 1 (ass, eng) was turned into plain text: fonts and positions are lost.",)


def test_bitmap_subtitles_stay_where_they_can() -> None:
    source = media(video(), subtitle("hdmv_pgs_subtitle"), format=MKV)
    assert actions(plan(source, params(container="mkv")))[1] == "subtitle copy hdmv_pgs_subtitle"
    dropped = plan(source)
    assert len(dropped.streams) == 1
    assert dropped.warnings == (
        "Subtitle stream 1 (hdmv_pgs_subtitle, eng) was left out: an mp4 file cannot hold hdmv_pgs_subtitle streams.",
    )


def test_fonts_stay_in_matroska_and_are_named_elsewhere() -> None:
    source = media(video(), FONT, format=MKV)
    assert len(plan(source, params(preset="hevc")).streams) == 2
    assert "Attachment stream 1 (ttf, a.ttf) was left out" in plan(source).warnings[0]


def test_cover_art_is_no_film() -> None:
    made = plan(media(sound(), COVER), params(preset="mp3"))
    assert actions(made) == ["audio encode mp3", "video copy mjpeg"]
    assert made.warnings == ()


def test_an_empty_stream_is_named_and_left_out() -> None:
    made = plan(media(video(), video(packets=0, length_s=None), sound()))
    assert len(made.streams) == 2
    assert made.warnings == ("Video stream 1 (h264) was left out: it is empty.",)


def test_a_picture_nobody_can_decode_fails_the_job() -> None:
    with pytest.raises(UnreadableMedia, match="cannot decode it") as failure:
        plan(media(video(codec="", decodable=False), sound()))
    assert "“film.mkv”" in failure.value.message


def test_a_second_picture_nobody_can_decode_is_left_out() -> None:
    made = plan(media(video(), video(decodable=False)))
    assert len(made.streams) == 1
    assert "cannot decode" in made.warnings[0]


def test_a_file_without_sound_cannot_become_an_mp3() -> None:
    with pytest.raises(UnreadableMedia, match="has no sound"):
        plan(media(video()), params(preset="mp3"))


def test_a_sound_file_can_become_an_mp4() -> None:
    assert actions(plan(media(sound(codec="dts", channels=8)))) == ["audio encode aac"]


def test_an_mp3_takes_the_first_sound_track_and_names_the_others() -> None:
    made = plan(media(video(), sound(), sound(language="fra")), params(preset="mp3"))
    assert actions(made) == ["audio encode mp3"]
    assert made.warnings[1] == "Sound stream 2 (aac, fra) was left out: an mp3 file holds one sound track."


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({}, "audio copy aac"),
        ({"codec": "copy"}, "audio copy aac"),
        ({"bitrate": 64_000}, "audio encode aac"),
        ({"channels": 1}, "audio encode aac"),
        ({"codec": "mp3"}, "audio encode mp3"),
        ({"codec": "opus"}, "audio encode opus"),
    ],
)
def test_sound_is_encoded_only_when_there_is_a_reason(options: dict[str, object], outcome: str) -> None:
    assert actions(plan(media(video(), sound()), params(audio=options)))[1] == outcome


def test_sound_that_was_not_wanted_is_still_said() -> None:
    made = plan(media(video(), sound()), params(audio={"codec": "none"}))
    assert made.warnings == ("Sound stream 1 (aac) was left out: no sound was asked for.",)


def test_damaged_sound_is_encoded_anew() -> None:
    made = plan_output(media(video(), sound()), params(), name="a.mp4", may_copy_sound=False)
    assert actions(made)[1] == "audio encode aac"
    assert not made.copies_sound


def test_lost_atmos_is_said() -> None:
    made = plan(media(video(), sound(codec="eac3", profile="Dolby Digital Plus + Dolby Atmos")))
    assert made.warnings == ("Sound stream 1 (eac3) loses its Dolby Atmos objects; its channels stay.",)


def test_what_a_picture_loses_is_said() -> None:
    deep = video(codec="hevc", bit_depth=10, pix_fmt="yuv422p10le", colour=(1, 9, 16, 9), dolby_vision=True)
    said = " ".join(plan(media(deep)).warnings)
    for words in ("Dolby Vision", "10 to 8 bits", "HDR", "4:2:0"):
        assert words in said
    assert "bits" not in " ".join(plan(media(deep), params(preset="hevc")).warnings)
    assert plan(media(deep), params(preset="copy")).warnings == ()


def test_lost_hdr10_plus_is_said_and_copied_hdr10_plus_is_not() -> None:
    scenes = video(codec="hevc", bit_depth=10, colour=(1, 9, 16, 9), hdr10_plus=True)
    assert "HDR10+" in " ".join(plan(media(scenes), params(preset="hevc")).warnings)
    assert plan(media(scenes), params(preset="copy")).warnings == ()


def test_a_timecode_track_stays_in_mp4_and_is_named_elsewhere() -> None:
    assert plan(media(video(), TIMECODE)).warnings == ()
    said = plan(media(video(), TIMECODE), params(preset="av1")).warnings
    assert said == ("Timecode stream 1 was left out: an mkv file cannot hold it.",)


def test_the_text_track_of_chapters_is_not_missed() -> None:
    titles = StreamInfo(index=0, type="data", packets=0)
    assert plan(media(video(), titles, chapters=3)).warnings == ()
    assert "Data stream 1" in plan(media(video(), titles)).warnings[0]


@pytest.mark.parametrize(
    ("demuxer", "name", "container"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", "a.mp4", "mp4"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "a.MOV", "mov"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "noname", "mp4"),
        ("matroska,webm", "a.webm", "webm"),
        ("matroska,webm", "a.mp4", "mkv"),
        ("mpegts", "a.ts", "mkv"),
        ("mpegts", "a.mov", "mkv"),
        ("mp3", "a.mp3", "mp3"),
    ],
)
def test_a_copy_stays_in_its_own_container(demuxer: str, name: str, container: str) -> None:
    assert same_container(demuxer, name) == container


STREAMS = st.one_of(
    st.sampled_from(["h264", "hevc", "vp8", "prores", "mjpeg"]).map(lambda codec: video(codec=codec)),
    st.sampled_from(["aac", "dts", "vorbis", "pcm_s16le"]).map(lambda codec: sound(codec=codec)),
    st.sampled_from(["subrip", "ass", "mov_text", "dvd_subtitle", "hdmv_pgs_subtitle", "webvtt"]).map(subtitle),
    st.sampled_from([COVER, FONT, TIMECODE, video(packets=0)]),
)
WISHES = st.one_of(
    st.sampled_from(["h264", "hevc", "av1"]).flatmap(
        lambda preset: st.sampled_from(["mp4", "mkv"]).map(lambda container: params(preset=preset, container=container))
    ),
    st.sampled_from(sorted(CONTAINERS)).map(lambda container: params(preset="copy", container=container)),
)


@given(st.lists(STREAMS, max_size=6), WISHES)
def test_no_stream_vanishes_without_a_word(streams: list[StreamInfo], wanted: TranscodeParams) -> None:
    info = media(*streams)
    try:
        made = plan(info, wanted)
    except UnreadableMedia:
        return
    kept = {stream.source.index for stream in made.streams}
    said = " ".join(made.warnings)
    for stream in info.streams:
        is_rewritten = stream.is_timecode and made.container.name in {"mp4", "mov"}
        assert stream.index in kept or f"{describe(stream)} was left out" in said or is_rewritten
