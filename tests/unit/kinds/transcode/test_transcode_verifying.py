"""Lost pictures, wrong containers, low quality and growth are found, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from transcode_samples import MKV, media, params, sound, video

from mediafleet.domain.errors import CapabilityMissing
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.streams import plan_output
from mediafleet.kinds.transcode.verifying import (
    find_growth,
    find_lost_pictures,
    find_wrong_container,
    reason_to_keep,
)
from mediafleet.kinds.transcode.vmaf import compared_track, find_low_quality, read_score

SOURCE = media(video(), sound())


def losses(packets: int, *, source: MediaInfo = SOURCE, decoded: int | None = None, **wanted: Any) -> list[str]:
    options = params(**wanted)
    plan = plan_output(source, options, name="a.mp4")
    made = media(video(packets=packets), sound())
    return find_lost_pictures(source, made, plan, options, decoded=packets if decoded is None else decoded)


def test_all_pictures_are_there() -> None:
    assert losses(250) == []


def test_missing_pictures_are_counted() -> None:
    assert losses(240) == ["10 of 250 pictures are missing"]


def test_pictures_that_shared_a_time_with_another_are_not_missed() -> None:
    options = params()
    plan = plan_output(SOURCE, options, name="a.mp4")
    made = media(video(packets=240), sound())
    assert find_lost_pictures(SOURCE, made, plan, options, decoded=240, dropped=10) == []


def test_pictures_that_cannot_be_decoded_are_counted() -> None:
    assert losses(250, decoded=249) == ["only 249 of its 250 pictures come out of it"]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (SOURCE, {"filters": {"fps": 12.5}}),
        (SOURCE, {"filters": {"deinterlace": "field"}}),
        (replace(SOURCE, broken="it ends early"), {}),
        # The preset goes no faster than 30 pictures a second.
        (media(video(fps=60.0, packets=600), sound()), {"preset": "phone"}),
        # Two fields, two packets, one picture.
        (media(video(packets=500), format="mpegts"), {}),
        (media(video(), sound()), {"preset": "copy"}),
    ],
)
def test_where_nobody_can_say_how_many_there_should_be_none_are_missed(
    source: MediaInfo, wanted: dict[str, Any]
) -> None:
    assert losses(125, source=source, **wanted) == []


def test_other_formats_are_counted_in_a_stream_too() -> None:
    assert losses(125, source=media(video(codec="mpeg4"), format="mpegts")) == ["125 of 250 pictures are missing"]


def test_a_result_in_another_container_than_planned_is_found() -> None:
    options = params(container="mkv")
    plan = plan_output(SOURCE, options, name="a.mp4")
    assert find_wrong_container(replace(SOURCE, format=MKV), plan) == []
    assert find_wrong_container(SOURCE, plan) == [f"it is a file of the format {SOURCE.format} and not matroska"]


def test_a_result_that_is_not_smaller_is_told_only_where_that_was_asked() -> None:
    source, same = replace(SOURCE, size=1000), replace(SOURCE, size=1000)
    assert "1,000 bytes" in find_growth(source, same, params(verify={"smaller": True}), name="a.mkv")
    assert find_growth(source, replace(same, size=999), params(verify={"smaller": True}), name="a.mkv") == ""
    assert find_growth(source, same, params(), name="a.mkv") == ""


def test_a_source_stays_for_growth_and_for_damage_and_only_where_it_would_be_replaced() -> None:
    replacing = params(replace={})
    assert reason_to_keep(replacing, "", []) == ""
    assert reason_to_keep(replacing, "Not smaller.", []) == "Not smaller. The original stays."
    assert "damaged" in reason_to_keep(replacing, "", ["The source is damaged near 3.0 s."])
    assert reason_to_keep(params(), "Not smaller.", ["damaged"]) == ""


def test_the_score_is_read_and_held_to_what_was_asked() -> None:
    score = read_score("[Parsed_libvmaf_7 @ 0x55] [info] VMAF score: 93.812459\n")
    assert score == pytest.approx(93.812459)
    assert find_low_quality(score, 93) == []
    assert find_low_quality(score, 95) == ["its mean VMAF is 93.8 and not at least 95"]
    assert find_low_quality(read_score("Error"), 1) == ["its quality could not be measured"]


def test_an_ffmpeg_without_vmaf_leaves_the_task_to_another_node() -> None:
    with pytest.raises(CapabilityMissing, match="libvmaf"):
        read_score("[error] No such filter: 'libvmaf'")


def test_quality_is_that_of_a_track_that_was_encoded() -> None:
    assert compared_track(plan_output(SOURCE, params(preset="copy"), name="a.mp4")) is None
    assert compared_track(plan_output(SOURCE, params(), name="a.mp4")) is not None


def test_quality_is_asked_only_of_presets_that_encode_pictures() -> None:
    with pytest.raises(Exception, match=r"there is no 'verify\.vmaf_min' to reach"):
        params(preset="copy", verify={"vmaf_min": 90})
