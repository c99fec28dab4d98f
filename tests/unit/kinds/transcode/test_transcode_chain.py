"""What FFmpeg is told of filters, and what size a picture has behind them."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transcode_samples import params, video

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.transcode import chain
from mediafleet.kinds.transcode.filters import Crop, Filters, Loudness, Pad, ToneMap, combine_filters
from mediafleet.kinds.transcode.media import StreamInfo
from mediafleet.kinds.transcode.params import Scale
from mediafleet.kinds.transcode.presets import VideoPreset, load_presets
from mediafleet.kinds.transcode.program import find_ffmpeg

HDR = video(pix_fmt="yuv420p10le", bit_depth=10, colour=(1, 9, 16, 9))


def h264() -> VideoPreset:
    preset = load_presets()["h264"].video
    assert preset is not None
    return preset


def told(stream: StreamInfo | None = None, scale: Scale | None = None, **filters: Any) -> str:
    return chain.picture_chain(stream or video(), msgspec.convert(filters, Filters), scale or Scale(), h264())


def shape(stream: StreamInfo, scale: Scale | None = None, **filters: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return chain.output_shape(stream, msgspec.convert(filters, Filters), scale or Scale(), least=2)


def test_a_picture_that_nothing_is_done_to_has_no_chain() -> None:
    assert told() == ""


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"deinterlace": "field"}, "bwdif=mode=send_field:parity=auto:deint=all"),
        ({"crop": {"top": 140, "bottom": 140}}, "crop=w=1280:h=440:x=0:y=140:exact=1"),
        ({"rotate": 270}, "transpose=dir=cclock"),
        ({"rotate": 180}, "hflip,vflip"),
        ({"flip": "horizontal"}, "hflip"),
        ({"denoise": {"spatial": 2}}, "hqdn3d=luma_spatial=2:chroma_spatial=1.5:luma_tmp=6:chroma_tmp=4.5"),
        ({"deband": {}}, "deband=1thr=0.02:2thr=0.02:3thr=0.02:range=16"),
        ({"fps": 23.976}, "fps=fps=24000/1001"),
        ({"fps": 12.5}, "fps=fps=25/2"),
        ({"sharpen": {"amount": -0.25}}, "unsharp=luma_msize_x=5:luma_msize_y=5:luma_amount=-0.25"),
        ({"pad": {"width": 1920, "height": 1080}}, "pad=width=1920:height=1080:x=320:y=180:color=black"),
        ({"pad": {"width": 640}}, ""),
        ({"tone_map": {}}, ""),
    ],
)
def test_each_filter_is_told_with_numbers_only(filters: dict[str, Any], words: str) -> None:
    assert told(**filters) == words


def test_filters_stand_in_one_order_with_scaling_among_them() -> None:
    words = told(scale=Scale(max=320), pad={"width": 320}, sharpen={}, rotate=90, crop={"left": 2}, deinterlace="frame")
    names = [part.partition("=")[0] for part in words.split(",")]
    assert names == ["bwdif", "crop", "transpose", "scale", "setsar", "unsharp", "pad"]


def test_hdr_becomes_sdr_and_loses_what_described_it() -> None:
    words = told(HDR, tone_map={"method": "mobius", "nits": 200})
    assert words.startswith(
        "zscale=tin=smpte2084:t=linear:npl=200,format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=mobius"
    )
    assert words.endswith("type=CONTENT_LIGHT_LEVEL")
    assert not chain.arriving(HDR, Filters(tone_map=ToneMap())).is_hdr


def test_hdr_that_does_not_say_its_colours_is_taken_for_bt2020() -> None:
    vague = video(bit_depth=10, colour=(0, 2, 18, 2))
    assert told(vague, tone_map={}).startswith("zscale=tin=arib-std-b67:pin=bt2020:min=bt2020nc:t=linear")


def test_a_size_is_known_before_it_is_made() -> None:
    film = video(sar=(4, 3))
    assert shape(film) == ((1280, 720), (4, 3))
    assert shape(film, rotate=90) == ((720, 1280), (3, 4))
    assert shape(film, crop={"left": 1}) == ((1280, 720), (4, 3)), "odd sides become even"
    assert shape(film, Scale(max=640), crop={"top": 180, "bottom": 180}) == ((640, 180), (4, 3))
    assert shape(film, Scale(max=640), pad={"width": 800, "height": 100}) == ((800, 360), (4, 3))
    assert shape(video(rotation=90), crop={"top": 280}) == ((720, 1000), (1, 1)), "cut as the picture is shown"


@pytest.mark.parametrize("crop", [{"top": 720}, {"left": 640, "right": 640}, {"top": 400, "bottom": 305}])
def test_a_crop_that_leaves_nothing_is_refused(crop: dict[str, int]) -> None:
    with pytest.raises(InvalidParams, match="leaves too little of a picture of 1280x720"):
        shape(video(), crop=crop)


def test_times_are_counted_so_that_no_picture_moves() -> None:
    film = video(time_base=(1, 25))
    assert chain.ticks(film, Filters()) == Fraction(1, 25)
    assert chain.ticks(film, Filters(deinterlace="field")) == Fraction(1, 50)
    assert chain.ticks(film, Filters(fps=29.97)) == Fraction(1001, 30000)


def test_filters_that_make_other_pictures_say_so() -> None:
    assert Filters(crop=Crop(left=2), deinterlace="frame").keeps_frames
    assert not Filters(deinterlace="field").keeps_frames
    assert not Filters(fps=25).keeps_frames


def test_a_users_filters_go_over_a_presets() -> None:
    both = combine_filters(Filters(fps=25, flip="vertical"), Filters(fps=30, pad=Pad(width=4)))
    assert both == Filters(fps=30, flip="vertical", pad=Pad(width=4))


def test_sound_is_made_louder_before_it_is_measured() -> None:
    words = chain.sound_chain(Loudness(target=-23), -3.5, sample_rate=44_100)
    assert words == ["volume=volume=-3.5dB", "loudnorm=I=-23:LRA=11:TP=-1.5", "aresample=44100"]
    assert chain.sound_chain(None, 0, sample_rate=0) == []
    assert chain.sound_chain(Loudness(), 0, sample_rate=0)[-1] == "aresample=48000"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_never_gets_into_a_chain(value: float) -> None:
    with pytest.raises(ValueError, match="is no number"):
        chain.number(value)


@given(st.floats(-1000, 1000))
def test_numbers_are_written_without_exponents(value: float) -> None:
    written = chain.number(value)
    assert set(written) <= set("-.0123456789")
    assert float(written) == pytest.approx(value, abs=1e-6)


CROPS = st.builds(Crop, *[st.integers(0, 40)] * 4)
FILTERS = st.builds(
    Filters,
    deinterlace=st.sampled_from([None, "frame", "field"]),
    crop=st.none() | CROPS,
    rotate=st.sampled_from([None, 90, 180, 270]),
    flip=st.sampled_from([None, "horizontal", "vertical"]),
    fps=st.sampled_from([None, 5.0, 23.976, 60.0]),
    pad=st.none() | st.builds(Pad, st.integers(0, 150).map(lambda n: n * 2), st.integers(0, 150).map(lambda n: n * 2)),
)


# Each example starts an FFmpeg: few of them, and none is too slow.
@settings(max_examples=25, deadline=None)
@given(FILTERS, st.sampled_from([0, 64, 100, 301]), st.sampled_from([(128, 96), (131, 97), (96, 200)]))
def test_ffmpeg_makes_the_size_that_was_foretold(filters: Filters, most: int, size: tuple[int, int]) -> None:
    source = video(width=size[0], height=size[1])
    words = chain.picture_chain(source, filters, Scale(max=most), h264()) or "null"
    lavfi = f"testsrc=size={size[0]}x{size[1]}:rate=25:duration=0.2,format=yuv420p,{words},showinfo"
    command = [find_ffmpeg().path, "-nostdin", "-f", "lavfi", "-i", lavfi, "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    width, height = chain.output_shape(source, filters, Scale(max=most), least=2)[0]
    assert f" s:{width}x{height} " in done.stderr


def test_params_reach_the_chain() -> None:
    assert params(filters={"crop": {"left": 8}}).filters.crop == Crop(left=8)
