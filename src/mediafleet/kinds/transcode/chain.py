"""Turns typed filters into FFmpeg's filter chains, and says what size a picture has behind them. Pure.

Numbers and words of closed lists are all that comes in, so nothing has to be escaped; no text of a user's is ever put
into a chain.
"""

from __future__ import annotations

from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.transcode import picture
from mediafleet.kinds.transcode.caps import CAPS

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.filters import Crop, Filters, Loudness, Pad, ToneMap
    from mediafleet.kinds.transcode.media import StreamInfo
    from mediafleet.kinds.transcode.params import Scale
    from mediafleet.kinds.transcode.presets import VideoPreset

_LEAST_LEFT = 16
"""Pixels of a side that a crop must leave."""
_CHROMA_SHARE = 0.75
"""Colour is denoised less than brightness: its edges are soft already."""
_TELEVISION = {round(1000 * rate / 1001, 2): Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120)}
"""Rates that nobody writes exactly, by their first two decimals."""
_HDR_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}
_UNKNOWN = 2
_SDR_COLOUR = (1, 1, 1, 1)
_UNTURNED = {90: "transpose=dir=clock", 180: "hflip,vflip", 270: "transpose=dir=cclock"}
_FLIPS = {"horizontal": "hflip", "vertical": "vflip"}
_LOUDEST_RATE = 48_000
"""Hz, where the source's rate is not known: the loudness filter itself would leave 192,000."""


def exact_rate(fps: float) -> Fraction:
    """Return pictures a second as television counts them: 29.97 is 30000/1001."""
    return _TELEVISION.get(round(fps, 2)) or Fraction(fps).limit_denominator(1001)


def number(value: float) -> str:
    """Return a number as FFmpeg reads it everywhere: with a point, without an exponent.

    Raises:
        ValueError: It is infinite or none at all.
    """
    if not isfinite(value):
        raise ValueError(f"{value} is no number for a filter")
    return f"{value:.6f}".rstrip("0").rstrip(".")


def arriving(stream: StreamInfo, filters: Filters) -> StreamInfo:
    """Return the picture as it arrives at its scaling: upright, cropped, turned and at its rate.

    Raises:
        InvalidParams: The crop leaves next to nothing.
    """
    width, height = _cropped(stream.shown_size, filters.crop)
    sar = stream.shown_sar
    if filters.rotate in {90, 270}:
        width, height, sar = height, width, (sar[1], sar[0])
    changes: dict[str, object] = {"width": width, "height": height, "sar": sar, "rotation": 0}
    rate = float(exact_rate(filters.fps)) if filters.fps else stream.fps * (2 if filters.deinterlace == "field" else 1)
    if rate != stream.fps:
        changes |= {"fps": rate, "packets": round(rate * (stream.length_s or 0)) or stream.packets}
    if filters.tone_map and stream.is_hdr:
        changes["colour"] = _SDR_COLOUR
    return msgspec.structs.replace(stream, **changes)


def output_shape(
    stream: StreamInfo, filters: Filters, scale: Scale, *, least: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return width and height of the encoded picture, and the shape of its pixels.

    Args:
        stream: The source.
        filters: What is done to it.
        scale: The size that is wanted.
        least: Shortest side that the encoder takes.

    Raises:
        InvalidParams: The crop leaves next to nothing.
    """
    arrived = arriving(stream, filters)
    size = picture.output_size(arrived, scale, least=least)
    return _padded(size, filters.pad), picture.output_sar(arrived, scale)


def find_excess(stream: StreamInfo, filters: Filters, scale: Scale, *, least: int) -> str:
    """Return half a sentence if the encoded picture would be larger than nodes take, else ""; arguments as above."""
    (width, height), _ = output_shape(stream, filters, scale, least=least)
    if width * height <= CAPS.pixels:
        return ""
    return f"it would become {width}x{height}, more than the {CAPS.pixels:,} pixels of the largest known formats"


def picture_chain(stream: StreamInfo, filters: Filters, scale: Scale, preset: VideoPreset) -> str:
    """Return the filter chain of a picture, "" where none is needed. FFmpeg turns a rotated picture upright before it.

    Raises:
        InvalidParams: The crop leaves next to nothing.
    """
    arrived = arriving(stream, filters)
    parts = [*_before_scaling(stream, filters), picture.filters(arrived, scale, preset)]
    if filters.sharpen:
        parts.append(f"unsharp=luma_msize_x=5:luma_msize_y=5:luma_amount={number(filters.sharpen.amount)}")
    if filters.pad:
        parts.append(_pad(picture.output_size(arrived, scale, least=preset.smallest), filters.pad))
    return ",".join(part for part in parts if part)


def ticks(stream: StreamInfo, filters: Filters) -> Fraction:
    """Return the seconds of one tick in which no picture's time has to be rounded."""
    if filters.fps:
        return 1 / exact_rate(filters.fps)
    # The second field of a picture lies halfway to the next picture, which may be half a tick.
    return Fraction(*stream.time_base) / (2 if filters.deinterlace == "field" else 1)


def sound_chain(loudness: Loudness | None, gain_db: float, *, sample_rate: int) -> list[str]:
    """Return the filters of a sound track.

    Args:
        loudness: What to bring it to, if anything.
        gain_db: Louder or softer by so much, before that.
        sample_rate: The source's, Hz; 0 where it is not known.
    """
    chain = [f"volume=volume={number(gain_db)}dB"] if gain_db else list[str]()
    if loudness:
        aim = f"I={number(loudness.target)}:LRA={number(loudness.range)}:TP={number(loudness.peak)}"
        # The filter works at 192 kHz, which few encoders take and nobody hears.
        chain += [f"loudnorm={aim}", f"aresample={sample_rate or _LOUDEST_RATE}"]
    return chain


def _before_scaling(stream: StreamInfo, filters: Filters) -> list[str]:
    parts: list[str] = []
    if filters.deinterlace:
        parts.append(f"bwdif=mode=send_{filters.deinterlace}:parity=auto:deint=all")
    if filters.crop:
        width, height = _cropped(stream.shown_size, filters.crop)
        # Exactly: else the filter rounds to pairs of pixels, and the size would not be the one that is expected.
        parts.append(f"crop=w={width}:h={height}:x={filters.crop.left}:y={filters.crop.top}:exact=1")
    if filters.rotate:
        parts.append(_UNTURNED[filters.rotate])
    if filters.flip:
        parts.append(_FLIPS[filters.flip])
    return [*parts, *_cleaning(filters), *_timing(filters), *_toning(stream, filters.tone_map)]


def _cleaning(filters: Filters) -> list[str]:
    parts: list[str] = []
    if denoise := filters.denoise:
        strengths = [denoise.spatial, denoise.spatial * _CHROMA_SHARE]
        strengths += [denoise.temporal, denoise.temporal * _CHROMA_SHARE]
        names = ("luma_spatial", "chroma_spatial", "luma_tmp", "chroma_tmp")
        said = (f"{name}={number(value)}" for name, value in zip(names, strengths, strict=True))
        parts.append(f"hqdn3d={':'.join(said)}")
    if deband := filters.deband:
        limit = number(deband.threshold)
        parts.append(f"deband=1thr={limit}:2thr={limit}:3thr={limit}:range={deband.range}")
    return parts


def _timing(filters: Filters) -> list[str]:
    if not filters.fps:
        return []
    rate = exact_rate(filters.fps)
    return [f"fps=fps={rate.numerator}/{rate.denominator}"]


def _toning(stream: StreamInfo, wanted: ToneMap | None) -> list[str]:
    if wanted is None or not stream.is_hdr:
        return []
    _, primaries, transfer, matrix = stream.colour
    hints = f"tin={_HDR_TRANSFERS[transfer]}"
    # Many HDR files leave these out, and the filter refuses to guess.
    hints += ":pin=bt2020" if primaries == _UNKNOWN else ""
    hints += ":min=bt2020nc" if matrix == _UNKNOWN else ""
    return [
        f"zscale={hints}:t=linear:npl={wanted.nits}",
        "format=gbrpf32le",
        "zscale=p=bt709",
        f"tonemap=tonemap={wanted.method}:desat={number(wanted.desaturate)}",
        "zscale=t=bt709:m=bt709:r=limited",
        # Ten bits as long as filters follow; the encoder's own format is set behind them.
        "format=yuv420p10le",
        "sidedata=mode=delete:type=MASTERING_DISPLAY_METADATA",
        "sidedata=mode=delete:type=CONTENT_LIGHT_LEVEL",
    ]


def _cropped(size: tuple[int, int], crop: Crop | None) -> tuple[int, int]:
    if crop is None:
        return size
    width, height = size[0] - crop.left - crop.right, size[1] - crop.top - crop.bottom
    if min(width, height) < _LEAST_LEFT:
        raise InvalidParams(
            f"The crop leaves too little of a picture of {size[0]}x{size[1]}; at least {_LEAST_LEFT} pixels of each "
            "side must stay."
        )
    return width, height


def _padded(size: tuple[int, int], pad: Pad | None) -> tuple[int, int]:
    return (max(size[0], pad.width), max(size[1], pad.height)) if pad else size


def _pad(size: tuple[int, int], pad: Pad) -> str:
    width, height = _padded(size, pad)
    if (width, height) == size:
        return ""
    # Even: an odd place would put colour half a pixel beside its brightness.
    x, y = ((outer - inner) // 4 * 2 for outer, inner in ((width, size[0]), (height, size[1])))
    return f"pad=width={width}:height={height}:x={x}:y={y}:color={pad.colour}"
