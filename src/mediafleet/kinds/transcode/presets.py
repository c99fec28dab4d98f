"""Presets: what to make, by a name. The built-in ones lie in `presets.toml` beside this file.

A user's own are read by `preset_files` where a job is accepted; from then on the job carries what its preset says.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mediafleet.kinds.transcode.containers import CONTAINERS
from mediafleet.kinds.transcode.encoder_facts import AUDIO_ENCODERS, VIDEO_ENCODERS, Speed, VideoEncoder, Words
from mediafleet.kinds.transcode.filters import Filters, Loudness
from mediafleet.kinds.transcode.options import VideoOptions, find_misfit

Goal = Literal["compatible", "small", "archive", "sound", "repack"]
"""What a preset is made for: to play everywhere, to take little room, to keep, to be heard, or to change nothing."""
ContainerName = Literal["mp4", "mov", "mkv", "webm", "m4a", "mp3", "opus"]
EncoderName = Literal["libx264", "libx265", "libsvtav1", "libvpx-vp9"]
SoundName = Literal["aac", "mp3", "opus", "ac3", "flac"]
_Format = Annotated[str, Meta(pattern="^[a-z0-9_]{1,40}$")]


class VideoLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the picture never goes beyond, whatever the source has; 0 for no limit."""

    longest_side: Annotated[int, Meta(ge=0, le=16_384)] = 0
    """Pixels; a larger picture is made smaller."""
    fps: Annotated[int, Meta(ge=0, le=240)] = 0
    """Pictures a second; of a faster source some are left out."""


class VideoPreset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How pictures are encoded."""

    encoder: EncoderName
    """FFmpeg encoder; a node needs the capability `encoder:<name>`."""
    crf: Annotated[int, Meta(ge=0, le=63)]
    """Default quality; lower is better and larger."""
    bit_depths: Annotated[tuple[Literal[8, 10], ...], Meta(min_length=1, max_length=2)] = (8,)
    """Depths that players of this preset can be trusted to show."""
    options: VideoOptions = VideoOptions()
    limits: VideoLimits = VideoLimits()

    def __post_init__(self) -> None:
        """Refuse what the encoder does not take."""
        facts = self.facts
        if self.crf > facts.crf_max:
            raise ValueError(f"'crf' of {self.encoder} goes from 0 to {facts.crf_max}, not {self.crf}")
        if not {*self.bit_depths} <= {*facts.bit_depths}:
            raise ValueError(f"'bit_depths' of {self.encoder} are {', '.join(map(str, facts.bit_depths))}")
        if misfit := find_misfit(self.options, facts, name=self.encoder):
            raise ValueError(misfit)

    @property
    def facts(self) -> VideoEncoder:
        """What is known of the encoder."""
        return VIDEO_ENCODERS[self.encoder]

    @property
    def codec(self) -> str:
        """Name of the format, as FFmpeg's decoders are called."""
        return self.facts.codec

    @property
    def crf_max(self) -> int:
        """Worst quality that the encoder takes."""
        return self.facts.crf_max

    @property
    def speeds(self) -> dict[Speed, Words]:
        """Our word → FFmpeg's options."""
        return self.facts.speeds

    @property
    def smallest(self) -> int:
        """Pixels of the shortest side that the encoder takes."""
        return self.facts.smallest

    @property
    def fastest_fps(self) -> int:
        """Most pictures a second of encoder and preset; 0 for any number."""
        return min((rate for rate in (self.facts.fastest_fps, self.limits.fps) if rate), default=0)


class AudioPreset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How sound is encoded."""

    codec: SoundName
    channel_bps: Annotated[int, Meta(ge=8_000, le=512_000)] = 80_000
    """Default bit rate of one channel."""
    keep: tuple[_Format, ...] = ()
    """Formats that are copied unchanged instead, since encoding twice only loses."""
    most_channels: Annotated[int, Meta(ge=0, le=8)] = 0
    """Sound with more is mixed down to these; 0 for no limit."""
    loudness: Loudness | None = None

    def __post_init__(self) -> None:
        """Refuse to keep what must be changed."""
        if self.keep and (self.most_channels or self.loudness):
            raise ValueError("'keep' leaves sound as it is, which 'most_channels' and 'loudness' cannot change")

    @property
    def encoder(self) -> str:
        """FFmpeg's encoder of the format."""
        return AUDIO_ENCODERS[self.codec]


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a preset makes; without `video` and `audio` everything is copied."""

    summary: Annotated[str, Meta(min_length=1, max_length=200)]
    goal: Goal
    container: ContainerName | Literal[""] = ""
    """Default container; the source's own where empty."""
    containers: tuple[ContainerName, ...] = ()
    """Containers that may be asked for instead; any that can hold it where empty."""
    video: VideoPreset | None = None
    audio: AudioPreset | None = None
    filters: Filters = Filters()

    def __post_init__(self) -> None:
        """Refuse a preset that contradicts itself."""
        if not self.container and not self.copies:
            raise ValueError("a preset that encodes needs a 'container'")
        if self.video is None and self.filters != Filters():
            raise ValueError("a preset without 'video' has no picture that 'filters' could change")
        if self.containers and self.container and self.container not in self.containers:
            raise ValueError(f"'containers' leaves out {self.container!r}, its own 'container'")
        for name in {*self.containers, *([self.container] if self.container else [])}:
            if self.video and not CONTAINERS[name].holds("video", self.video.codec):
                raise ValueError(f"a {name} file cannot hold {self.video.codec}")

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
    """Return the built-in presets by name, in the order in which they are explained to people."""
    text = files("mediafleet.kinds.transcode").joinpath("presets.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=dict[str, Preset])
