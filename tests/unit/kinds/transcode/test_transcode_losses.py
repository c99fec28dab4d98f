"""What is lost is said beforehand, each loss once and under its topic; what is kept is not spoken of."""

from __future__ import annotations

from typing import Any

import pytest
from transcode_samples import MKV, media, params, sound, subtitle, video

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.transcode.containers import CONTAINERS
from mediafleet.kinds.transcode.encoder_facts import VIDEO_ENCODERS
from mediafleet.kinds.transcode.losses import EXTRAS, Topic, lost_tags, says_something
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.streams import plan_output

HDR10 = {"pix_fmt": "yuv420p10le", "bit_depth": 10, "colour": (1, 9, 16, 9), "extras": ("light", "mastering")}


def topics(info: MediaInfo, wanted: TranscodeParams | None = None) -> list[tuple[str, int | None]]:
    """Return what the plan of a file says is lost."""
    plan = plan_output(info, wanted or params(), name="film.mkv")
    return [(loss.topic.value, loss.stream) for loss in plan.losses]


@pytest.mark.parametrize("preset", ["hevc", "av1", "vp9"])
def test_hdr10_with_its_display_and_brightness_is_carried_by_every_encoder_of_ten_bits(preset: str) -> None:
    assert topics(media(video(**HDR10)), params(preset=preset)) == ([("depth", 0)] if preset == "vp9" else [])


def test_every_side_data_that_an_encoder_does_not_carry_has_words() -> None:
    for encoder in VIDEO_ENCODERS.values():
        assert encoder.carries <= EXTRAS.keys()


@pytest.mark.parametrize(
    ("preset", "lost"), [("h264", []), ("hevc", [("extras", 0)]), ("av1", [("extras", 0)]), ("vp9", [("extras", 0)])]
)
def test_captions_inside_the_picture_survive_in_h264_only(preset: str, lost: list[Any]) -> None:
    assert topics(media(video(extras=("captions",))), params(preset=preset)) == lost


def test_tone_mapping_is_said_and_takes_the_description_of_hdr_along() -> None:
    asked = params(preset="hevc", filters={"tone_map": {}})
    assert topics(media(video(**HDR10)), asked) == [("hdr", 0)]
    assert topics(media(video()), asked) == []
    # What is made is no HDR any more, so nothing is said of what HDR would lose.
    dim = video(**{**HDR10, "mastering": (0.1,), "bit_depth": 10})
    plan = plan_output(media(dim), params(preset="h264", filters={"tone_map": {}}), name="film.mkv")
    said = " ".join(loss.sentence for loss in plan.losses)
    assert "becomes SDR" in said
    assert "HDR colours" not in said
    assert "its display" not in said


def test_dolby_vision_that_only_the_header_tells_of_is_said_of_the_first_picture() -> None:
    info = media(video(), video(), dolby_vision=True)
    assert topics(info, params(preset="hevc")) == [("dynamic-hdr", 0)]
    assert topics(info, params(preset="copy")) == []


def test_a_picture_that_only_dolby_vision_players_understand_is_not_encoded() -> None:
    info = media(video(**HDR10), sound(), dolby_vision=True, dolby_profile=5)
    with pytest.raises(UnreadableMedia, match=r"profile 5.*preset copy keeps it"):
        topics(info, params(preset="hevc"))
    assert topics(info, params(preset="copy")) == []


@pytest.mark.parametrize(
    ("wanted", "lost"),
    [
        ({"preset": "h264"}, False),
        ({"preset": "h264", "scale": {"height": 480}}, True),
        ({"preset": "hevc"}, True),
        ({"preset": "av1"}, True),
        ({"preset": "av1", "filters": {"deinterlace": "frame"}}, False),
        ({"preset": "copy"}, False),
    ],
)
def test_fields_stay_in_h264_as_long_as_nothing_mixes_their_lines(wanted: dict[str, Any], *, lost: bool) -> None:
    assert topics(media(video(interlaced=True)), params(**wanted)) == ([("fields", 0)] if lost else [])


def test_a_variable_rate_stays_unless_an_even_one_is_asked_for() -> None:
    assert topics(media(video(variable=True))) == []
    assert topics(media(video(variable=True)), params(filters={"fps": 25})) == [("rate", 0)]


@pytest.mark.parametrize(("rotation", "lost"), [(90, []), (180, []), (270, []), (-90, []), (45, [("turn", 0)])])
def test_a_picture_turned_by_no_quarter_loses_its_corners(rotation: int, lost: list[Any]) -> None:
    assert topics(media(video(rotation=rotation))) == lost


@pytest.mark.parametrize(
    ("container", "lost"),
    [
        ("mp4", ["lyrics", "original"]),
        ("mkv", ["captions", "lyrics"]),
        ("webm", ["captions", "dub", "lyrics", "original"]),
        ("mov", ["captions", "dub", "lyrics", "original"]),
    ],
)
def test_dispositions_that_a_container_cannot_say_are_named(container: str, lost: list[str]) -> None:
    marked = sound(codec="aac", disposition=("default", "dub", "original", "lyrics", "captions"))
    preset = "vp9" if container == "webm" else "h264"
    info = media(video(), marked, format=MKV)
    said = plan_output(info, params(preset=preset, container=container), name="film.mkv").losses
    named = said[0].sentence.partition("no longer marked ")[2].partition(", which")[0].split(" and ")
    assert (sorted(named), said[0].topic, len(said)) == (lost, Topic.MARKS, 1)


@pytest.mark.parametrize(
    ("language", "lost"), [("eng", False), ("und", False), ("", False), ("de", True), ("pt-BR", True)]
)
def test_mp4_keeps_languages_of_three_letters(language: str, *, lost: bool) -> None:
    info = media(video(), sound(language=language), format=MKV)
    assert topics(info) == ([("language", 1)] if lost else [])
    assert topics(info, params(container="mkv")) == []


def test_mp3_keeps_neither_language_nor_title() -> None:
    info = media(sound(language="fra", title="Commentary"), format=MKV)
    assert topics(info, params(preset="mp3")) == [("language", 0), ("title", 0)]


def test_tags_that_mp4_has_no_place_for_are_named_once_for_all() -> None:
    info = media(
        video(metadata=("FOO", "language")), format=MKV, metadata={"TITLE": "T", "IMDB": "tt1", "DIRECTOR": "D"}
    )
    plan = plan_output(info, params(), name="film.mkv")
    assert [(loss.topic, loss.stream) for loss in plan.losses] == [(Topic.TAGS, 0), (Topic.TAGS, None)]
    assert plan.losses[1].sentence == "The file loses the tags DIRECTOR, IMDB, which an mp4 file cannot hold."
    assert topics(info, params(preset="hevc")) == []


def test_a_long_list_of_tags_is_cut() -> None:
    info = media(video(), metadata={f"TAG{number:02}": "x" for number in range(30)})
    assert "TAG07 and 22 more" in plan_output(info, params(), name="film.mkv").warnings[0]


@pytest.mark.parametrize(
    "tag",
    ["major_brand", "ENCODER", "BPS-eng", "DURATION", "_STATISTICS_TAGS", "handler_name", "language", "creation_time"],
)
def test_what_a_container_writes_about_itself_is_no_tag_of_anybody(tag: str) -> None:
    assert not says_something(tag)


def test_a_tag_in_a_language_counts_as_the_tag() -> None:
    assert lost_tags(["location-eng", "rating-eng"], CONTAINERS["mp4"]) == ["rating-eng"]


def test_loudness_tags_go_where_the_loudness_is_changed() -> None:
    info = media(sound(codec="flac", metadata=("REPLAYGAIN_TRACK_GAIN",)), format=MKV)
    louder = params(preset="opus", audio={"gain_db": 3})
    assert topics(info, louder) == [("loudness", 0)]
    assert topics(info, params(preset="opus")) == []


def test_sound_that_is_mixed_down_is_said() -> None:
    surround = media(sound(channels=6, layout="5.1", codec="dts"), format=MKV)
    plan = plan_output(surround, params(preset="mp3"), name="film.mkv")
    assert plan.warnings == ("Sound stream 0 (dts) is mixed down from 6 channels to 2.",)
    assert topics(surround, params(preset="opus")) == []


def test_a_job_that_may_lose_nothing_is_refused_with_what_it_would_lose() -> None:
    info = media(video(), subtitle("ass"), format=MKV)
    with pytest.raises(UnreadableMedia, match=r"which the job forbids: Subtitle stream 1.*plain text"):
        topics(info, params(losses="refuse"))
    assert topics(info, params(losses="refuse", container="mkv")) == []


def test_a_display_that_cannot_be_true_may_not_be_kept() -> None:
    chromaticities = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329)
    assert topics(media(video(mastering=(*chromaticities, 0.005, 0.1)))) == [("extras", 0)]
    assert topics(media(video(mastering=(*chromaticities, 0.005, 1000.0)))) == []


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({}, [("exact", 1)]),
        ({"preset": "hevc"}, [("exact", 1)]),
        ({"preset": "archive"}, []),
        ({"preset": "copy", "container": "mkv"}, []),
        ({"preset": "hevc", "audio": {"codec": "copy"}}, []),
        # Named by the user, who need not be told.
        ({"audio": {"codec": "aac"}}, []),
        ({"audio": {"bitrate": 128_000}}, []),
        ({"audio": {"gain_db": 3.0}}, []),
        ({"preset": "opus"}, []),
    ],
)
def test_sound_that_was_exact_and_is_not_any_more_is_a_loss(changes: dict[str, Any], lost: list[Any]) -> None:
    exact = sound(codec="pcm_f32le", lossless=True)
    info = media(exact) if changes.get("preset") == "opus" else media(video(), exact)
    assert topics(info, params(**changes)) == lost


@pytest.mark.parametrize(
    ("changes", "lost"),
    [({}, [("shape", 0)]), ({"scale": {"width": 160}}, []), ({"filters": {"crop": {"left": 1, "top": 1}}}, [])],
)
def test_sides_that_an_encoder_does_not_take_are_said_unless_others_were_asked_for(
    changes: dict[str, Any], lost: list[Any]
) -> None:
    assert topics(media(video(width=321, height=241)), params(**changes)) == lost


def test_transparency_that_only_a_tag_tells_of_is_lost_as_well() -> None:
    clear = video(codec="vp9", metadata=("ALPHA_MODE",))
    assert topics(media(clear, format=MKV), params(preset="vp9")) == [("alpha", 0)]
    assert topics(media(clear, format=MKV), params(preset="copy")) == []
    assert topics(media(clear, format=MKV), params()) == [("alpha", 0)], "and not the tag besides"


def test_a_job_that_forbids_losses_makes_no_aac_of_exact_sound() -> None:
    info = media(video(), sound(codec="pcm_s16le", lossless=True))
    with pytest.raises(UnreadableMedia, match="is kept exactly in its source and becomes aac"):
        plan_output(info, params(losses="refuse"), name="film.mov")
