"""What the records about a file say of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcode_samples import media, sound, subtitle, video

from mediafleet.kinds.transcode.media import StreamInfo

TIMES = st.floats(0.001, 500)


@pytest.mark.parametrize(
    ("stream", "is_cover", "is_timed"),
    [
        (video(), False, True),
        (video(disposition=("attached_pic",)), True, False),
        (sound(), False, True),
        (sound(disposition=("attached_pic",)), False, True),
        (subtitle("subrip"), False, False),
        (StreamInfo(0, "data"), False, False),
    ],
)
def test_cover_art_is_a_picture_that_does_not_play(stream: StreamInfo, *, is_cover: bool, is_timed: bool) -> None:
    assert (stream.is_cover, stream.is_timed) == (is_cover, is_timed)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "data", "tag": "tmcd"}, True),
        ({"type": "data", "metadata": ("timecode",)}, True),
        ({"type": "data", "tag": "text"}, False),
        ({"type": "video", "metadata": ("timecode",)}, False),
    ],
)
def test_a_timecode_track_is_known_by_its_tag_or_its_time(fields: dict[str, Any], *, expected: bool) -> None:
    assert StreamInfo(0, **fields).is_timecode == expected


@pytest.mark.parametrize(("transfer", "expected"), [(16, True), (18, True), (1, False), (2, False), (17, False)])
def test_hdr_is_told_by_the_transfer_curve_alone(transfer: int, *, expected: bool) -> None:
    assert video(colour=(1, 9, transfer, 9)).is_hdr == expected


@pytest.mark.parametrize(
    ("range_", "pix_fmt", "expected"),
    [(2, "yuv420p", True), (0, "yuvj420p", True), (1, "yuv420p", False), (0, "yuv420p", False)],
)
def test_full_range_is_said_by_the_header_or_by_the_old_pixel_formats(
    range_: int, pix_fmt: str, *, expected: bool
) -> None:
    assert video(colour=(range_, 1, 1, 1), pix_fmt=pix_fmt).is_full_range == expected


@pytest.mark.parametrize(
    ("rotation", "turned"), [(0, False), (90, True), (-90, True), (180, False), (270, True), (-180, False)]
)
def test_a_quarter_turn_swaps_the_sides_and_the_shape_of_pixels(rotation: int, *, turned: bool) -> None:
    stream = video(rotation=rotation, sar=(4, 3))
    assert stream.shown_size == ((720, 1280) if turned else (1280, 720))
    assert stream.shown_sar == ((3, 4) if turned else (4, 3))


def test_a_film_lasts_as_long_as_its_picture_and_sound() -> None:
    """Subtitles may go on after the end; they count only into what was found."""
    info = media(video(), sound(length_s=10.5), subtitle("subrip", start_s=0.0, length_s=60.0))
    assert (info.duration_s, info.measured_s) == (10.5, 60.0)


def test_a_length_is_counted_from_the_start_of_the_file() -> None:
    assert media(video(start_s=3600.0), start_s=3600.0).duration_s == 10.0


def test_a_file_without_any_packet_lasts_as_long_as_it_claims_or_not_at_all() -> None:
    empty = video(start_s=None, length_s=None)
    assert media(empty, declared_s=7.0).duration_s == 7.0
    assert media(empty, declared_s=None).duration_s == 0.0


def test_only_subtitles_last_as_long_as_themselves() -> None:
    assert media(subtitle("subrip", start_s=1.0, length_s=2.0), declared_s=99.0).duration_s == 3.0


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=5))
def test_a_film_lasts_until_its_last_picture_and_never_longer_than_what_was_found(
    spans: list[tuple[float, float]],
) -> None:
    streams = [video(start_s=start, length_s=length) for start, length in spans]
    info = media(*streams, subtitle("subrip", start_s=0.0, length_s=300.0))
    assert info.duration_s == max(start + length for start, length in spans)
    assert info.duration_s <= info.measured_s
