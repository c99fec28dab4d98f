"""What a user may ask for, and with which words nonsense is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcode_samples import params

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.transcode import KIND
from mediafleet.kinds.transcode.containers import CONTAINERS
from mediafleet.kinds.transcode.filters import Filters
from mediafleet.kinds.transcode.options import VideoOptions
from mediafleet.kinds.transcode.params import Scale, TranscodeParams, filters_of, options_of, preset_of, scale_of
from mediafleet.kinds.transcode.presets import load_presets


def test_nothing_needs_to_be_said() -> None:
    assert params() == TranscodeParams(preset="h264")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"preset": "h265"}, "did you mean 'h264'"),
        ({"preset": "zzz"}, "there are h264, hevc, av1, vp9, mp3, opus, copy, archive, phone"),
        ({"crf": 20, "bitrate": 1_000_000}, "either 'crf' or 'bitrate'"),
        ({"crf": 60}, "from 0 to 51, not 60"),
        ({"crf": -1}, ">= 0"),
        ({"preset": "copy", "crf": 20}, "encodes no picture"),
        ({"preset": "mp3", "scale": {"max": 720}}, "encodes no picture"),
        ({"preset": "copy", "audio": {"codec": "aac"}}, "'copy' encodes no sound"),
        ({"container": "webm"}, "a webm file cannot hold h264"),
        ({"container": "avi"}, "'container' must be one of"),
        ({"preset": "mp3", "audio": {"codec": "none"}}, "cannot be 'none'"),
        ({"preset": "mp3", "audio": {"codec": "flac"}}, "cannot hold flac"),
        ({"scale": {"max": 100, "width": 50}}, "either 'max' or"),
        ({"scale": {"width": 20_000}}, "<= 16384"),
        ({"audio": {"codec": "none", "bitrate": 1}}, "mean nothing"),
        ({"audio": {"codec": "flac", "bitrate": 1}}, "takes no 'bitrate'"),
        ({"audio": {"channels": 9}}, "<= 8"),
        ({"audio": {"codec": "copy", "loudness": {}}}, "'loudness' mean nothing"),
        ({"audio": {"gain_db": 61}}, "<= 60"),
        ({"preset": "archive", "audio": {"bitrate": 64_000}}, "loses no sound"),
        ({"preset": "copy", "filters": {"fps": 25}}, "encodes no picture"),
        ({"preset": "opus", "video": {"tune": "film"}}, "encodes no picture"),
        ({"preset": "hevc", "video": {"tune": "film"}}, "'tune' of libx265 is one of animation, grain"),
        ({"preset": "av1", "video": {"b_frames": 3}}, "libsvtav1 takes no 'b_frames'; it takes keyframe_every"),
        ({"preset": "vp9", "video": {"lookahead": 26}}, "'lookahead' of libvpx-vp9 goes from 0 to 25, not 26"),
        ({"video": {"tune": "zerolatency", "lookahead": 9}}, "'zerolatency' rules out"),
        ({"bitrate": 9_000_000, "video": {"max_bitrate": 8_000_000}}, "more than 'max_bitrate'"),
        ({"preset": "vp9", "bitrate": 10_000, "video": {"max_bitrate": 20_000}}, "either 'bitrate' or 'max_bitrate'"),
        ({"preset": "phone", "scale": {"max": 1920}}, "up to 1280 pixels a side, not 1920"),
        ({"preset": "phone", "scale": {"width": 640}}, "limits both sides"),
        ({"preset": "phone", "filters": {"pad": {"width": 1920}}}, "up to 1280 pixels a side, not 1920"),
        ({"preset": "phone", "filters": {"fps": 60}}, "up to 30 pictures a second, not 60"),
        ({"preset": "phone", "container": "mkv"}, "'phone' is for mp4, not mkv"),
        ({"filters": {"rotate": 45}}, "rotate"),
        ({"filters": {"denoise": {"spatial": 0}}}, ">= 0.1"),
        ({"filters": {"pad": {"width": 101}}}, "multiple of 2"),
        ({"qualty": 3}, "there is no 'qualty'"),
        ({"scale": {"heigth": 3}}, "'scale' has no field 'heigth'"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParams, match=r"do not fit the kind 'transcode'|There is no preset") as refusal:
        KindRegistry([KIND]).check_params("transcode", values)
    assert words in refusal.value.message


def test_the_schema_names_every_preset_so_that_a_form_offers_them() -> None:
    fields = msgspec.json.schema(TranscodeParams)["$defs"]["TranscodeParams"]["properties"]
    assert fields["preset"]["examples"] == [*load_presets()]


def test_checked_params_can_be_read_again_on_the_node() -> None:
    checked = KindRegistry([KIND]).check_params("transcode", {"preset": "av1", "scale": {"max": 720}})
    assert msgspec.convert(checked, TranscodeParams).scale.max == 720


@given(st.sampled_from(sorted(load_presets())), st.sampled_from(["", *sorted(CONTAINERS)]))
def test_every_accepted_container_holds_what_the_preset_makes(preset: str, container: str) -> None:
    try:
        accepted = params(preset=preset, container=container)
    except msgspec.ValidationError:
        return
    video = preset_of(accepted).video
    name = container or preset_of(accepted).container
    assert video is None or CONTAINERS[name].holds("video", video.codec)


def test_every_preset_is_complete() -> None:
    presets = load_presets()
    assert list(presets) == ["h264", "hevc", "av1", "vp9", "mp3", "opus", "copy", "archive", "phone"]
    for name, preset in presets.items():
        assert preset.summary.endswith("."), name
        assert preset.container in {"", *CONTAINERS}, name
        if preset.video is not None:
            assert set(preset.video.speeds) == {"fastest", "fast", "medium", "slow", "slowest"}, name
        assert preset.copies == (not preset.encoders), name


def test_what_a_user_sets_goes_over_what_the_preset_sets() -> None:
    wish = params(preset="phone", video={"level": "3.1"}, filters={"fps": 24})
    assert options_of(wish) == VideoOptions(profile="high", level="3.1", max_bitrate=4_000_000)
    assert filters_of(wish) == Filters(fps=24)
    assert scale_of(wish) == Scale(max=1280)
    assert scale_of(params(preset="phone", scale={"max": 640})) == Scale(max=640)
    assert scale_of(params(preset="mp3")) == Scale()
