"""The comparison of an output with its source finds what went wrong, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from transcode_samples import MKV, media, params, sound, subtitle, video

from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
from mediafleet.kinds.transcode.streams import plan_output
from mediafleet.kinds.transcode.verify import describe_damage, find_faults, find_truncation

SOURCE = media(video(), sound(), subtitle("mov_text"), chapters=2)
PARAMS = params()


def faults(output: MediaInfo, source: MediaInfo = SOURCE) -> list[str]:
    return find_faults(source, output, plan_output(source, PARAMS, name="a.mp4"), PARAMS)


def changed(number: int, **changes: Any) -> MediaInfo:
    streams = list(SOURCE.streams)
    streams[number] = replace(streams[number], **changes)
    return replace(SOURCE, streams=tuple(streams))


def test_a_faithful_output_has_no_fault() -> None:
    assert faults(SOURCE) == []


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (changed(0, length_s=9.9), "lasts 9.900 s and not 10.000 s"),
        (changed(1, length_s=10.2), "lasts 10.200 s"),
        (changed(1, length_s=None), "is empty"),
        (changed(1, start_s=0.2), "starts 0.200 s too late"),
        (changed(1, start_s=-0.2), "starts 0.200 s too early"),
        (changed(0, width=1920), "is 1920x720 and not 1280x720"),
        (changed(0, rotation=90), "is turned by 90°"),
        (changed(0, sar=(4, 3)), "has the aspect ratio 2.370 and not 1.778"),
        (changed(0, codec="mpeg4"), "became mpeg4 and not h264"),
        (replace(SOURCE, streams=SOURCE.streams[:2]), "Subtitle stream 2 (mov_text, eng) is missing"),
        (replace(SOURCE, streams=()), "Video stream 0 (h264) is missing"),
        (replace(SOURCE, chapters=0), "2 of 2 chapters are missing"),
        (replace(SOURCE, broken="Invalid data"), "its reading stops early"),
    ],
)
def test_every_kind_of_loss_is_found(output: MediaInfo, fault: str) -> None:
    assert fault in "; ".join(faults(output))


@pytest.mark.parametrize("delta", [-0.04, -0.01, 0.0, 0.01, 0.04])
def test_one_frame_more_or_less_is_no_fault(delta: float) -> None:
    assert faults(changed(0, length_s=10.0 + delta)) == []


@given(st.floats(0.1, 100_000), st.floats(0.0, 0.5))
def test_a_length_is_accepted_within_a_frame_or_a_thousandth(length_s: float, off: float) -> None:
    source = media(video(length_s=length_s))
    made = media(video(length_s=length_s * (1 - off)))
    allowed = max(0.04, length_s / 1000)
    missing = length_s * off
    if missing <= allowed:
        assert faults(made, source) == []
    elif missing > allowed + 0.01:
        assert len(faults(made, source)) == 1


def test_a_source_that_starts_late_as_a_whole_may_start_at_nought() -> None:
    late = media(video(start_s=1.5), sound(start_s=1.51), start_s=1.5)
    assert faults(media(video(start_s=0.0), sound(start_s=0.0)), late) == []


def test_a_turned_source_must_come_out_upright() -> None:
    turned = media(video(rotation=90))
    assert faults(media(video(width=720, height=1280)), turned) == []
    assert "is 1280x720 and not 720x1280" in "; ".join(faults(media(video()), turned))


def test_cover_art_is_not_taken_for_the_film() -> None:
    cover = video(codec="png", disposition=("attached_pic",), packets=1, length_s=None, start_s=None)
    source = media(cover, video())
    assert faults(media(video(), cover), source) == []
    assert faults(media(cover), source) == ["Video stream 1 (h264) is missing"]


def truncation(*streams: StreamInfo, **changes: Any) -> str:
    return find_truncation(media(*streams, **changes), name="a.mp4")


def test_a_file_shorter_than_its_header_says_is_incomplete() -> None:
    assert truncation(video(length_s=5.0)) == (
        "“a.mp4” is incomplete: its header announces 10.0 s but only 5.0 s are there; copy or download it again."
    )


def test_a_header_is_not_believed_where_it_cannot_know() -> None:
    assert truncation(video(length_s=5.0), format="mpegts") == ""
    assert truncation(video(length_s=5.0), declared_s=None) == ""
    assert truncation(video(length_s=9.6)) == ""
    assert truncation(video(length_s=5.0), subtitle("subrip", start_s=0.0, length_s=10.0)) == ""


def test_what_is_missing_at_the_end_of_a_source_that_is_taken_is_told_in_seconds() -> None:
    cut = media(video(length_s=9.6), format=MKV)
    assert describe_damage(cut, ["File ended prematurely."], lost=0) == [
        "The source is damaged (File ended prematurely); what was lost is concealed or left out.",
        "The last 0.40 s of the 10.00 s that the source's header announces are missing.",
    ]
    assert len(describe_damage(cut, [], lost=0)) == 1, "also where FFmpeg says nothing of it"
    assert describe_damage(media(video(length_s=9.95), format=MKV), [], lost=0) == []
    # Its last picture has no length of its own, and is shown for a while all the same.
    assert describe_damage(media(video(length_s=9.7, frame_s=0.25), format=MKV), [], lost=0) == []


def test_matroska_counts_its_length_from_nought_and_not_from_its_first_picture() -> None:
    late = media(video(start_s=1.4, length_s=8.6), format=MKV, start_s=1.4)
    assert (describe_damage(late, [], lost=0), find_truncation(late, name="a.mkv")) == ([], "")
    cut = media(video(start_s=1.4, length_s=5.0), format=MKV, start_s=1.4)
    assert "only 5.0 s are there" in find_truncation(cut, name="a.mkv")


def test_sound_that_begins_late_may_have_a_frame_of_its_encoder_before_it_and_one_behind() -> None:
    source = media(video(), sound(start_s=0.05, length_s=9.95, frame_s=0.023))
    made = media(video(), sound(start_s=0.05, length_s=9.981, frame_s=0.023))
    again = params(audio={"codec": "aac"})
    assert find_faults(source, made, plan_output(source, again, name="a.mp4"), again) == []
    copied = params()
    assert find_faults(source, made, plan_output(source, copied, name="a.mp4"), copied) == [
        "Sound stream 1 (aac) lasts 9.981 s and not 9.950 s"
    ]


def test_an_end_that_an_edit_list_hides_is_no_damage() -> None:
    hidden = media(video(length_s=9.5), format="mov,mp4,m4a,3gp,3g2,mj2")
    assert describe_damage(hidden, [], lost=0) == []
    assert "0.50 s" in describe_damage(replace(hidden, broken="partial file"), [], lost=0)[1]


def test_damage_says_how_many_complaints_and_lost_pictures_there_are() -> None:
    said = describe_damage(media(video(packets=30), format=MKV), ["bad block", "bad slice", "no frame"], lost=2)
    assert said == [
        "The source is damaged (bad block, and 2 more such complaints); what was lost is concealed or left out.",
        "2 of 30 pictures could not be decoded.",
    ]
    assert describe_damage(media(video(packets=30), format=MKV), [], lost=2) == [], "a reduced rate"


@pytest.mark.parametrize(("lead_s", "good"), [(0.0672, True), (0.021, False)])
def test_sound_that_is_encoded_may_lose_the_packet_with_which_its_decoder_begins(lead_s: float, *, good: bool) -> None:
    before = sound(codec="dts", length_s=1.089, lead_s=lead_s)
    after = sound(codec="aac", start_s=0.068, length_s=1.021)
    source, output = media(video(), before), media(video(), after)
    assert (find_faults(source, output, plan_output(source, PARAMS, name="a.mkv"), PARAMS) == []) is good
