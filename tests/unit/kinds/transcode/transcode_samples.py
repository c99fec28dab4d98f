"""Streams and files as the probe would describe them, for tests of what is decided about them."""

from __future__ import annotations

from typing import Any

import msgspec

from mediafleet.kinds.transcode.chunks import plan_units
from mediafleet.kinds.transcode.index import FrameIndex
from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.split import Survey

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
MKV = "matroska,webm"
_TICKS = 512


def video(**changes: Any) -> StreamInfo:
    """An H.264 picture of 1280x720 at 25 fps, ten seconds long."""
    fields: dict[str, Any] = {
        "index": 0,
        "type": "video",
        "codec": "h264",
        "disposition": ("default",),
        "time_base": (1, 12800),
        "start_s": 0.0,
        "length_s": 10.0,
        "frame_s": 0.04,
        "packets": 250,
        "width": 1280,
        "height": 720,
        "fps": 25.0,
        "pix_fmt": "yuv420p",
        "decodable": True,
    }
    return StreamInfo(**(fields | changes))


def sound(**changes: Any) -> StreamInfo:
    """AAC in stereo, ten seconds long."""
    fields: dict[str, Any] = {
        "index": 1,
        "type": "audio",
        "codec": "aac",
        "time_base": (1, 48000),
        "start_s": 0.0,
        "length_s": 10.0,
        "frame_s": 0.021,
        "packets": 470,
        "sample_rate": 48000,
        "channels": 2,
        "layout": "stereo",
    }
    return StreamInfo(**(fields | changes))


def subtitle(codec: str, **changes: Any) -> StreamInfo:
    """A subtitle stream with three lines."""
    fields: dict[str, Any] = {"index": 2, "type": "subtitle", "codec": codec, "packets": 3, "language": "eng"}
    return StreamInfo(**(fields | changes))


def media(*streams: StreamInfo, **changes: Any) -> MediaInfo:
    """A file with these streams, renumbered in order."""
    numbered = tuple(msgspec.structs.replace(stream, index=number) for number, stream in enumerate(streams))
    fields: dict[str, Any] = {"format": MP4, "declared_s": 10.0}
    return MediaInfo(streams=numbered, **(fields | changes))


def params(**values: Any) -> TranscodeParams:
    """Params as they arrive from a user."""
    return msgspec.convert(values, TranscodeParams)


def film(seconds: int, *, key_every: int = 25) -> FrameIndex:
    """25 pictures a second with a key picture each second, or every so many pictures."""
    pts = tuple(range(0, seconds * 25 * _TICKS, _TICKS))
    return FrameIndex((1, 25 * _TICKS), pts, tuple((time, time) for time in pts[::key_every]), _TICKS)


def survey(seconds: int = 600, *, key_every: int = 25) -> Survey:
    """What a look at such a film tells."""
    index = film(seconds, key_every=key_every)
    units = plan_units(index, demuxer="matroska")
    return Survey(media(video()), index.time_base, index.pts[0], units)
