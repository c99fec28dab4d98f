"""Sizes and pixel formats of encoded pictures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcode_samples import video

from mediafleet.kinds.transcode.media import StreamInfo
from mediafleet.kinds.transcode.params import Scale
from mediafleet.kinds.transcode.picture import filters, output_sar, output_size, pixel_format, reduced_rate
from mediafleet.kinds.transcode.presets import VideoPreset, load_presets


def picture_of(name: str) -> VideoPreset:
    preset = load_presets()[name].video
    assert preset is not None
    return preset


H264, AV1 = picture_of("h264"), picture_of("av1")
SIDES = st.integers(2, 8192)


@pytest.mark.parametrize(
    ("stream", "scale", "size"),
    [
        (video(), Scale(), (1280, 720)),
        (video(), Scale(max=640), (640, 360)),
        (video(), Scale(max=4000), (1280, 720)),
        (video(), Scale(height=480), (854, 480)),
        (video(), Scale(width=100, height=100), (100, 100)),
        (video(rotation=90), Scale(), (720, 1280)),
        (video(rotation=-180), Scale(), (1280, 720)),
        (video(rotation=270), Scale(max=640), (360, 640)),
        (video(width=853, height=479), Scale(), (854, 480)),
        (video(width=1, height=1), Scale(), (2, 2)),
    ],
)
def test_the_size_is_that_of_the_upright_picture(stream: StreamInfo, scale: Scale, size: tuple[int, int]) -> None:
    assert output_size(stream, scale, least=2) == size


def test_a_picture_too_small_for_av1_grows() -> None:
    assert output_size(video(width=10, height=12), Scale(), least=64) == (64, 76)


def test_no_filter_runs_without_need() -> None:
    assert filters(video(rotation=90), Scale(), H264) == ""
    assert filters(video(), Scale(max=640), H264) == "scale=640:360:flags=bicubic,setsar=1/1"


def test_a_rate_that_av1_refuses_goes_down_to_what_is_really_there() -> None:
    assert reduced_rate(video(fps=600, packets=30, length_s=0.05), 240) == 240
    assert reduced_rate(video(fps=1000, packets=300, length_s=10), 240) == 30
    assert reduced_rate(video(fps=60), 240) == reduced_rate(video(fps=600), 0) == 0
    assert filters(video(fps=600, packets=30, length_s=0.05), Scale(), AV1) == "fps=240"


def test_the_shape_of_pixels_turns_with_the_picture() -> None:
    assert output_sar(video(sar=(64, 45), rotation=90), Scale()) == (45, 64)
    assert output_sar(video(sar=(64, 45)), Scale(width=10, height=10)) == (1, 1)


@given(SIDES, SIDES, st.integers(0, 4096))
def test_encoded_sides_are_even_and_within_the_bound(width: int, height: int, longest: int) -> None:
    made = output_size(video(width=width, height=height), Scale(max=longest), least=2)
    assert all(side >= 2 and side % 2 == 0 for side in made)
    if longest >= 2:
        # A side rounds up by one pixel, or grows to the least that can be encoded.
        least = 2 * max(width, height) / min(width, height)
        assert max(made) <= max(longest, least) + 2


@pytest.mark.parametrize(
    ("source", "depth", "colour_range", "depths", "result"),
    [
        ("yuv420p", 8, 1, (8,), "yuv420p"),
        ("yuvj420p", 8, 2, (8,), "yuvj420p"),
        ("yuv444p", 8, 0, (8,), "yuv420p"),
        ("yuv420p10le", 10, 1, (8,), "yuv420p"),
        ("yuv420p10le", 10, 1, (8, 10), "yuv420p10le"),
        ("yuv420p12le", 12, 1, (8, 10), "yuv420p10le"),
        ("yuv420p", 8, 1, (8, 10), "yuv420p"),
    ],
)
def test_depth_and_range_are_kept_where_players_can_show_them(
    source: str, depth: int, colour_range: int, depths: tuple[int, ...], result: str
) -> None:
    stream = video(pix_fmt=source, bit_depth=depth, colour=(colour_range, 2, 2, 2))
    assert pixel_format(stream, depths) == result
