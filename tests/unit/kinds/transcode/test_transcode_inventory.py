"""Whatever differs between a source and its output is found, and held against what was announced."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from transcode_samples import MKV, media, params, sound, subtitle, video

from mediafleet.kinds.transcode.inventory import Difference, compare
from mediafleet.kinds.transcode.losses import Topic
from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.streams import plan_output

MASTERING = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.005, 1000.0)
RICH: dict[str, Any] = {
    "pix_fmt": "yuv420p10le",
    "bit_depth": 10,
    "colour": (1, 9, 16, 9),
    "extras": ("light", "mastering"),
    "mastering": MASTERING,
    "light": (1000, 400),
    "language": "eng",
    "title": "Film",
    "variable": True,
}


def changed(stream: StreamInfo, **changes: Any) -> StreamInfo:
    return msgspec.structs.replace(stream, **changes)


def differences(
    source: MediaInfo, output: MediaInfo, wanted: TranscodeParams | None = None
) -> list[tuple[Topic, int | None, bool]]:
    """Return topic, stream and whether it was announced, of each difference."""
    asked = wanted or params(preset="hevc")
    found = compare(source, output, plan_output(source, asked, name="film.mkv"), asked)
    return [(one.topic, one.stream, one.announced) for one in found]


def test_an_output_that_has_everything_differs_in_nothing() -> None:
    info = media(
        video(**RICH), sound(language="fra"), subtitle("subrip"), chapters=3, metadata={"TITLE": "T"}, format=MKV
    )
    assert differences(info, info) == []


@pytest.mark.parametrize(
    ("change", "topic"),
    [
        ({"bit_depth": 8, "pix_fmt": "yuv420p"}, Topic.DEPTH),
        ({"colour": (1, 1, 16, 9)}, Topic.COLOUR),
        ({"colour": (2, 9, 16, 9)}, Topic.COLOUR),
        ({"colour": (1, 9, 1, 9)}, Topic.COLOUR),
        ({"extras": ("light",)}, Topic.EXTRAS),
        ({"mastering": (*MASTERING[:9], 400.0)}, Topic.EXTRAS),
        ({"light": (1000, 200)}, Topic.EXTRAS),
        ({"language": "und"}, Topic.LANGUAGE),
        ({"title": ""}, Topic.TITLE),
        ({"packets": 249}, Topic.RATE),
        ({"variable": False}, Topic.RATE),
    ],
)
def test_each_thing_that_a_picture_lost_without_a_word_is_found(change: dict[str, Any], topic: Topic) -> None:
    before = video(**RICH)
    assert differences(media(before), media(changed(before, **change))) == [(topic, 0, False)]


@pytest.mark.parametrize(("before", "is_found"), [((), True), (("forced",), True), (("default",), False)])
def test_a_subtitle_that_players_would_show_unasked_is_found(before: tuple[str, ...], *, is_found: bool) -> None:
    film = media(video(), sound(), subtitle("subrip", disposition=before), format=MKV)
    shown = subtitle("subrip", disposition=(*before, "default") if is_found else before)
    found = differences(film, media(video(disposition=("default",)), sound(), shown, format=MKV))
    assert found == ([(Topic.MARKS, shown.index, False)] if is_found else [])


def test_numbers_of_the_display_may_be_rounded() -> None:
    before = video(**RICH)
    rounded = tuple(value * 1.001 for value in MASTERING)
    assert differences(media(before), media(changed(before, mastering=rounded))) == []


@pytest.mark.parametrize(
    ("before", "after", "topic"),
    [
        (video(dolby_vision=True), video(), Topic.DYNAMIC_HDR),
        (video(hdr10_plus=True), video(), Topic.DYNAMIC_HDR),
        (video(interlaced=True), video(), Topic.FIELDS),
        (video(pix_fmt="yuv444p"), video(), Topic.DETAIL),
        (video(pix_fmt="yuva420p"), video(), Topic.ALPHA),
        (video(extras=("captions",)), video(), Topic.EXTRAS),
        (video(rotation=45), video(), Topic.TURN),
    ],
)
def test_what_an_encoder_cannot_keep_is_found_and_was_announced(
    before: StreamInfo, after: StreamInfo, topic: Topic
) -> None:
    assert differences(media(before), media(after)) == [(topic, 0, True)]


def test_what_was_asked_for_is_no_difference() -> None:
    hdr, sdr = video(**RICH), video(language="eng", title="Film", pix_fmt="yuv420p10le", bit_depth=10, variable=True)
    toned = params(preset="hevc", filters={"tone_map": {}})
    assert differences(media(hdr), media(sdr), toned) == [(Topic.HDR, 0, True)]
    woven, even = video(interlaced=True), video(packets=500)
    assert differences(media(woven), media(even), params(filters={"deinterlace": "field"})) == []


def test_sound_is_compared_by_channels_and_objects() -> None:
    source = media(sound(codec="eac3", channels=6, profile="Dolby Digital Plus + Dolby Atmos"), format=MKV)
    wanted = params(preset="mp3")
    made = media(sound(codec="mp3", channels=2))
    assert differences(source, made, wanted) == [(Topic.CHANNELS, 0, True), (Topic.OBJECTS, 0, True)]


def test_exact_sound_that_became_another_is_seen_and_announced() -> None:
    source, made = media(sound(codec="flac", lossless=True), format=MKV), media(sound(codec="aac"))
    assert differences(source, made, params(audio={"codec": "aac"})) == []
    film, seen = media(video(), *source.streams), media(video(), *made.streams)
    assert differences(film, seen, params()) == [(Topic.EXACT, 1, True)]


def test_a_stream_that_is_missing_is_announced_only_where_the_plan_left_it_out() -> None:
    info = media(video(), subtitle("hdmv_pgs_subtitle"), format=MKV)
    alone = media(video())
    assert differences(info, alone, params()) == [(Topic.STREAM, 1, True)]
    assert differences(info, alone, params(container="mkv")) == [(Topic.STREAM, 1, False)]


def test_marks_tags_and_chapters_are_compared() -> None:
    info = media(
        sound(disposition=("comment",), metadata=("FOO", "ENCODER")), chapters=2, metadata={"IMDB": "tt1"}, format=MKV
    )
    bare = media(sound(), chapters=1)
    wanted = params(preset="copy", container="mkv")
    assert differences(info, bare, wanted) == [
        (Topic.MARKS, 0, False),
        (Topic.TAGS, 0, False),
        (Topic.CHAPTERS, None, False),
        (Topic.TAGS, None, False),
    ]
    assert differences(
        info, media(sound(disposition=("comment",)), chapters=2), params(preset="copy", container="mp4")
    ) == [
        (Topic.TAGS, 0, True),
        (Topic.TAGS, None, True),
    ]


def test_tags_of_the_file_may_lie_in_the_one_stream_of_an_opus_file() -> None:
    info = media(sound(), metadata={"ALBUM": "A"}, format=MKV)
    assert differences(info, media(sound(codec="opus", metadata=("album",))), params(preset="opus")) == []


def test_styles_of_subtitles_are_lost_in_any_other_format() -> None:
    info = media(video(), subtitle("ass"), format=MKV)
    assert differences(info, media(video(), subtitle("mov_text")), params()) == [(Topic.STYLE, 1, True)]


def test_a_loss_that_nobody_foresaw_is_told_in_one_sentence() -> None:
    one = Difference(Topic.LANGUAGE, "language", "eng", "none", stream=2)
    assert one.sentence == "Stream 2 lost something that was not foreseen: its language was eng and is none."
    assert msgspec.structs.replace(one, stream=None).sentence.startswith("The file lost")


@pytest.mark.parametrize(("preset", "announced"), [("hevc", True), ("copy", False)])
def test_dolby_vision_that_only_the_header_told_of_is_missed_too(preset: str, *, announced: bool) -> None:
    source, bare = media(video(), dolby_vision=True), media(video())
    wanted = params(preset=preset)
    assert differences(source, bare, wanted) == [(Topic.DYNAMIC_HDR, 0, announced)]
    assert differences(source, media(video(), dolby_vision=True), wanted) == []
