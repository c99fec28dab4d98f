"""Size, pixel format and filters of an encoded picture: arithmetic only."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.media import StreamInfo
    from mediafleet.kinds.transcode.params import Scale
    from mediafleet.kinds.transcode.presets import VideoPreset


def even(side: float, *, least: int) -> int:
    """Return the nearest even number of pixels, upwards from the middle: 4:2:0 stores colour for pairs."""
    # Not `round`, which goes to the even neighbour at a half: 1, 3 and 5 would become 0, 4 and 4.
    return max(least, int(side / 2 + 0.5) * 2)


def output_size(stream: StreamInfo, scale: Scale, *, least: int) -> tuple[int, int]:
    """Return width and height of the encoded picture, after rotation, in pixels of the source's shape.

    Args:
        stream: The source.
        scale: What the user wants.
        least: Shortest side that the encoder takes; a smaller picture grows.
    """
    width, height = stream.shown_size
    factor_x, factor_y = _factors(width, height, scale)
    # Sides that the user scaled differently are not scaled again: `even` lifts the one that is too short.
    if factor_x == factor_y and min(width, height) * factor_x < least:
        factor_x = factor_y = least / min(width, height)
    return even(width * factor_x, least=least), even(height * factor_y, least=least)


def _factors(width: int, height: int, scale: Scale) -> tuple[float, float]:
    if scale.width and scale.height:
        return scale.width / width, scale.height / height
    if scale.width or scale.height:
        factor = scale.width / width if scale.width else scale.height / height
        return factor, factor
    factor = min(1.0, scale.max / max(width, height)) if scale.max else 1.0
    return factor, factor


def output_sar(stream: StreamInfo, scale: Scale) -> tuple[int, int]:
    """Return the shape of an encoded pixel: the source's, or square where the user set both sides."""
    return (1, 1) if scale.width and scale.height else stream.shown_sar


def filters(stream: StreamInfo, scale: Scale, preset: VideoPreset) -> str:
    """Return the filter chain, "" where none is needed. FFmpeg turns a rotated picture upright before it."""
    chain: list[str] = []
    if rate := reduced_rate(stream, preset.fastest_fps):
        chain.append(f"fps={rate}")
    # Pictures are left out before they are scaled, which saves scaling them.
    size = output_size(stream, scale, least=preset.smallest)
    if size != stream.shown_size:
        sar = output_sar(stream, scale)
        chain.append(f"scale={size[0]}:{size[1]}:flags=bicubic,setsar={sar[0]}/{sar[1]}")
    return ",".join(chain)


def field_filter(stream: StreamInfo, form: str) -> str:
    """Return what makes a pixel format of each field by itself, "" for whole pictures and where colour stays as fine.

    Else FFmpeg halves the lines of colour across both fields: colours of moving things fall 20 dB (PSNR), and flicker.
    """
    if not stream.interlaced or not stream.colours_lines:
        return ""
    return f"scale=interl=1,format={form}"


def reduced_rate(stream: StreamInfo, fastest_fps: int) -> int:
    """Return the pictures a second to go down to where an encoder would refuse the source's rate, else 0."""
    if not fastest_fps or stream.fps <= fastest_fps:
        return 0
    # The rate that FFmpeg guesses from a coarse clock may be far above the true one.
    measured = stream.packets / stream.length_s if stream.length_s else stream.fps
    return min(fastest_fps, max(1, ceil(measured)))


def pixel_format(stream: StreamInfo, bit_depths: tuple[int, ...]) -> str:
    """Return the pixel format to encode: 4:2:0, as many bits as source and preset share, and the source's range."""
    if stream.bit_depth > min(bit_depths) and max(bit_depths) > min(bit_depths):
        return "yuv420p10le"
    return "yuvj420p" if stream.is_full_range and stream.bit_depth <= min(bit_depths) else "yuv420p"
