"""What a user may ask of a transcode."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mediafleet.kinds.transcode.containers import CONTAINERS
from mediafleet.kinds.transcode.presets import Preset, load_presets

_Side = Annotated[int, Meta(ge=0, le=16_384)]
"""Pixels; 0 for not given."""

# The schema names the choices so that forms offer them. A `Literal` would do that too, but then msgspec
# refuses an unknown word before `__post_init__` can name the nearest, and the list would stand here twice.
_PresetName = Annotated[str, Meta(extra_json_schema={"enum": [*load_presets()]})]

AUDIO_ENCODERS = {
    "aac": "aac",
    "mp3": "libmp3lame",
    "opus": "libopus",
    "ac3": "ac3",
    "flac": "flac",
}
"""Sound format → FFmpeg encoder."""


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size of the picture as it is shown, after any rotation; the aspect ratio stays unless both sides are given."""

    width: _Side = 0
    height: _Side = 0
    max: _Side = 0
    """Longest side at most; a smaller picture is left as it is."""

    def __post_init__(self) -> None:
        """Refuse sizes that contradict each other."""
        # Refused and not ranked: whichever won silently, somebody would wait hours for the wrong size.
        if self.max and (self.width or self.height):
            raise ValueError("give either 'max' or 'width' and 'height', not both")


class AudioOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of the sound."""

    codec: Literal["auto", "copy", "none", "aac", "mp3", "opus", "ac3", "flac"] = "auto"
    """`auto` copies what the preset calls good enough and encodes the rest; `none` leaves sound out."""
    bitrate: Annotated[int, Meta(ge=0, le=2_000_000)] = 0
    """Bits a second; 0 for the preset's own."""
    channels: Annotated[int, Meta(ge=0, le=8)] = 0
    """Mix to this many; 0 to keep the source's."""

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if self.codec in {"copy", "none"} and (self.bitrate or self.channels):
            raise ValueError(
                f"'bitrate' and 'channels' mean nothing with the sound codec {self.codec!r}; leave them out"
            )
        if self.codec == "flac" and self.bitrate:
            raise ValueError("FLAC loses nothing and takes no 'bitrate'; leave it out")

    @property
    def is_free(self) -> bool:
        """Whether the user left all choices to the preset."""
        return self == AudioOptions()


class TranscodeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of a transcode."""

    preset: _PresetName = "h264"
    """`h264`, `hevc`, `av1`, `mp3` or `copy`."""
    container: Literal["", "mp4", "mov", "mkv", "webm", "m4a", "mp3"] = ""
    """The preset's own where empty."""
    crf: Annotated[int, Meta(ge=0, le=63)] | None = None
    """Quality on the encoder's own scale, lower is better; the preset's where not given."""
    bitrate: Annotated[int, Meta(ge=0, le=400_000_000)] = 0
    """Video bits a second, instead of `crf`."""
    scale: Scale = Scale()
    audio: AudioOptions = AudioOptions()
    speed: Literal["fastest", "fast", "medium", "slow", "slowest"] = "medium"
    """How much time the encoder takes; slower makes smaller files."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, in words."""
        preset = self._known_preset()
        self._check_video(preset)
        self._check_container(preset)

    def _known_preset(self) -> Preset:
        presets = load_presets()
        if preset := presets.get(self.preset):
            return preset
        nearest = get_close_matches(self.preset, presets, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(presets)}"
        # A ValueError, which msgspec turns into its own error and completes with the path of the field.
        raise ValueError(f"there is no preset {self.preset!r}; {hint}")

    def _check_video(self, preset: Preset) -> None:
        if self.crf is not None and self.bitrate:
            raise ValueError("give either 'crf' or 'bitrate', not both")
        if preset.video is None:
            if self.crf is not None or self.bitrate or self.scale != Scale():
                raise ValueError(
                    f"the preset {self.preset!r} encodes no picture; leave out 'crf', 'bitrate' and 'scale'"
                )
        elif self.crf is not None and self.crf > preset.video.crf_max:
            raise ValueError(f"'crf' of {preset.video.encoder} goes from 0 to {preset.video.crf_max}, not {self.crf}")
        if preset.copies and not (self.audio.is_free or self.audio.codec in {"copy", "none"}):
            raise ValueError("the preset 'copy' encodes no sound; leave out the sound options or choose another preset")

    def _check_container(self, preset: Preset) -> None:
        container = CONTAINERS.get(self.container or preset.container)
        # The preset `copy` keeps the source's container, which is only known on the node.
        if container is None:
            return
        if preset.video and not container.holds("video", preset.video.codec):
            raise ValueError(f"a {container.name} file cannot hold {preset.video.codec}; choose 'mkv' or 'mp4'")
        wanted = self.audio.codec
        if wanted in AUDIO_ENCODERS and not container.holds("audio", wanted):
            raise ValueError(f"a {container.name} file cannot hold {wanted} sound; choose 'mkv' or another sound codec")
        if wanted == "none" and preset.video is None and not preset.copies:
            raise ValueError(f"the preset {self.preset!r} makes only sound, so the sound codec cannot be 'none'")


def preset_of(params: TranscodeParams) -> Preset:
    """Return the preset that the params name."""
    return load_presets()[params.preset]
