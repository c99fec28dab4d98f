"""The presets, read once from `presets.toml` beside this file."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec


class VideoPreset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How pictures are encoded."""

    codec: str
    """Name of the format, as FFmpeg's decoders are called."""
    encoder: str
    """FFmpeg encoder; a node needs the capability `encoder:<name>`."""
    crf: int
    """Default quality; lower is better and larger."""
    crf_max: int
    bit_depths: tuple[int, ...]
    """Depths that players of this preset can be trusted to show."""
    speeds: dict[str, str]
    """Our word → the encoder's own `-preset`."""
    smallest: int = 2
    """Pixels of the shortest side that the encoder takes."""
    fastest_fps: int = 0
    """Most pictures a second that the encoder takes; 0 for any number."""


class AudioPreset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How sound is encoded."""

    codec: str
    encoder: str
    channel_bps: int
    """Default bit rate of one channel."""
    keep: tuple[str, ...] = ()
    """Formats that are copied unchanged instead, since encoding twice only loses."""


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a preset makes; without `video` and `audio` everything is copied."""

    summary: str
    container: str
    """Default container; the source's own where empty."""
    video: VideoPreset | None = None
    audio: AudioPreset | None = None

    @property
    def copies(self) -> bool:
        """Whether nothing is encoded."""
        return self.video is None and self.audio is None

    @property
    def encoders(self) -> tuple[str, ...]:
        """FFmpeg encoders that the preset needs."""
        return tuple(part.encoder for part in (self.video, self.audio) if part is not None)


@cache
def load_presets() -> dict[str, Preset]:
    """Return the presets by name, in the order in which they are explained to people."""
    text = files("mediafleet.kinds.transcode").joinpath("presets.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=dict[str, Preset])
