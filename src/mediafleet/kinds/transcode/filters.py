"""Filters that users may ask for, with typed parameters; what FFmpeg is told about them is made in `chain`.

Each stands at most once and in a fixed order: what a picture is cropped, turned, padded to is then known before it is made,
and can be compared with what was made.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_Margin = Annotated[int, Meta(ge=0, le=8_192)]
_Side = Annotated[int, Meta(ge=0, le=16_384, multiple_of=2)]


class Crop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pixels to cut off each side of the picture as it is shown."""

    left: _Margin = 0
    right: _Margin = 0
    top: _Margin = 0
    bottom: _Margin = 0


class Denoise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Takes noise away, by neighbours in the picture and by pictures before."""

    # Not from 0: FFmpeg's filter takes that for "not given", which is quite strong.
    spatial: Annotated[float, Meta(ge=0.1, le=20)] = 4.0
    temporal: Annotated[float, Meta(ge=0.1, le=20)] = 6.0


class Deband(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Smooths steps in what should be even."""

    threshold: Annotated[float, Meta(ge=0.00003, le=0.5)] = 0.02
    """Largest step that is smoothed, as a share of full brightness."""
    range: Annotated[int, Meta(ge=1, le=64)] = 16
    """Pixels around each that are looked at."""


class Sharpen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Makes edges stronger; below 0 it softens them."""

    amount: Annotated[float, Meta(ge=-1.5, le=1.5)] = 0.8


class ToneMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Makes SDR of HDR pictures; others stay as they are."""

    method: Literal["hable", "mobius", "reinhard", "clip"] = "hable"
    desaturate: Annotated[float, Meta(ge=0, le=10)] = 0.0
    """From which brightness on colours fade to white; 0 for never."""
    nits: Annotated[int, Meta(ge=50, le=1_000)] = 100
    """Brightness of the white that remains."""


class Pad(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Puts the picture in the middle of a larger one; it is never cut."""

    width: _Side = 0
    height: _Side = 0
    colour: Literal["black", "white", "gray"] = "black"


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is done to the picture, in this order; scaling, as `scale` says, comes before `sharpen`."""

    deinterlace: Literal["frame", "field"] | None = None
    """One picture of each two fields, or one of each field."""
    crop: Crop | None = None
    rotate: Literal[90, 180, 270] | None = None
    """Degrees clockwise, on top of the rotation that the file asks for."""
    flip: Literal["horizontal", "vertical"] | None = None
    denoise: Denoise | None = None
    deband: Deband | None = None
    fps: Annotated[float, Meta(ge=1, le=240)] | None = None
    """Pictures a second, evenly; 23.976, 29.97 and 59.94 mean the rates of television."""
    tone_map: ToneMap | None = None
    sharpen: Sharpen | None = None
    pad: Pad | None = None

    @property
    def changes_size(self) -> bool:
        """Whether the picture has other sides afterwards."""
        return self.crop is not None or self.pad is not None or self.rotate is not None

    @property
    def keeps_frames(self) -> bool:
        """Whether each picture of the source becomes one of the output."""
        return self.fps is None and self.deinterlace != "field"


class Loudness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Brings sound to one loudness, EBU R 128."""

    target: Annotated[float, Meta(ge=-70, le=-5)] = -16.0
    """LUFS."""
    range: Annotated[float, Meta(ge=1, le=50)] = 11.0
    """LU between quiet and loud."""
    peak: Annotated[float, Meta(ge=-9, le=0)] = -1.5
    """Highest true peak, dBTP."""


def combine_filters(base: Filters, over: Filters) -> Filters:
    """Return the first's filters with those of the second put over them."""
    values = {name: value for name, value in msgspec.structs.asdict(over).items() if value is not None}
    return msgspec.structs.replace(base, **values)
