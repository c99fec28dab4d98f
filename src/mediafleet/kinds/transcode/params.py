"""What a user may ask of a transcode."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mediafleet.kinds.transcode.containers import CONTAINERS
from mediafleet.kinds.transcode.encoder_facts import AUDIO_ENCODERS, VIDEO_ENCODERS, Speed
from mediafleet.kinds.transcode.filters import Filters, Loudness, Pad, combine_filters
from mediafleet.kinds.transcode.hardware_facts import encoders_of
from mediafleet.kinds.transcode.options import VideoOptions, combine, find_misfit
from mediafleet.kinds.transcode.presets import ContainerName, Preset, VideoPreset, load_presets
from mediafleet.kinds.transcode.split import Sharing

__all__ = [
    "AUDIO_ENCODERS",
    "AudioOptions",
    "Replace",
    "Scale",
    "TranscodeParams",
    "Verify",
    "filters_of",
    "options_of",
    "preset_of",
    "scale_of",
]

_Side = Annotated[int, Meta(ge=0, le=16_384)]
"""Pixels; 0 for not given."""

# The schema names the built-in ones, so that forms suggest them; users have others beside them.
_PresetName = Annotated[str, Meta(max_length=40, extra_json_schema={"examples": [*load_presets()]})]


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
    gain_db: Annotated[float, Meta(ge=-60, le=60)] = 0.0
    """Louder or softer by so many decibels."""
    loudness: Loudness | None = None
    """Bring all sound to one loudness."""

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if self.codec in {"copy", "none"} and (self.bitrate or self.channels or self.gain_db or self.loudness):
            raise ValueError(
                f"'bitrate', 'channels', 'gain_db' and 'loudness' mean nothing with the sound codec {self.codec!r}; "
                "leave them out"
            )
        if self.codec == "flac" and self.bitrate:
            raise ValueError("FLAC loses nothing and takes no 'bitrate'; leave it out")

    @property
    def is_free(self) -> bool:
        """Whether the user left all choices to the preset."""
        return self == AudioOptions()


class Replace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result takes the source's place."""

    days: Annotated[int, Meta(ge=0, le=36_500)] = 30
    """How long the source is kept in the folder `.mediafleet-trash` beside it."""


class Verify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a result must pass beside what every result must."""

    vmaf_min: Annotated[float, Meta(ge=0, le=100)] | None = None
    """Mean VMAF against the source, at least; costs another decode of both."""
    smaller: bool = False
    """Whether a result that is not smaller than its source is refused."""


class TranscodeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of a transcode."""

    preset: _PresetName = "h264"
    """What to make: `h264`, `hevc`, `av1`, `vp9`, `mp3`, `opus`, `copy`, `archive`, `phone`, or one of your own."""
    recipe: Preset | None = None
    """What the preset says; filled in where the job is accepted, if the preset is none of the built-in ones."""
    container: ContainerName | Literal[""] = ""
    """The preset's own where empty."""
    crf: Annotated[int, Meta(ge=0, le=63)] | None = None
    """Quality on the encoder's own scale, lower is better; the preset's where not given."""
    bitrate: Annotated[int, Meta(ge=0, le=400_000_000)] = 0
    """Video bits a second, instead of `crf`."""
    passes: Literal[1, 2] = 1
    """How often the film is looked at to share out `bitrate`: twice takes nearly twice as long and puts bits where they count."""
    scale: Scale = Scale()
    audio: AudioOptions = AudioOptions()
    speed: Speed = "medium"
    """How much time the encoder takes; slower makes smaller files."""
    video: VideoOptions = VideoOptions()
    """Options of the picture's encoder, over those of the preset."""
    filters: Filters = Filters()
    """What is done to the picture, over what the preset does."""
    chunks: Sharing = Sharing.AUTO
    """Whether several nodes may encode one file, a range each: `auto` where there is room and it is faster."""
    verify: Verify = Verify()
    """What the result must pass."""
    replace: Replace | None = None
    """Whether the result takes the source's place; a result that is not good enough leaves the source there."""
    restore: Annotated[str, Meta(max_length=80)] = ""
    """A job whose source is brought back instead; the input is the file as it is kept."""
    hardware: Literal["never", "prefer", "require"] = "never"
    """Whether the picture is encoded on a graphics card: if one works and loses nothing more, or on nothing else."""
    hardware_decode: bool = False
    """Let FFmpeg decode on a graphics card where it can; what it cannot, the CPU decodes."""
    losses: Literal["warn", "refuse"] = "warn"
    """What becomes of a job whose output would lack anything of its source: it warns, or makes nothing."""
    dry_run: bool = False
    """Only say what would become of each stream; the plan is the job's result."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, in words."""
        preset = self._known_preset()
        if preset.video is None:
            self._check_no_picture()
        else:
            self._check_quality(preset.video)
            self._check_limits(preset.video)
        if preset.copies and not (self.audio.is_free or self.audio.codec in {"copy", "none"}):
            raise ValueError(
                f"the preset {self.preset!r} encodes no sound; leave out the sound options or choose another preset"
            )
        if self.audio.bitrate and self.audio.codec == "auto" and preset.audio and preset.audio.codec == "flac":
            raise ValueError(f"the preset {self.preset!r} loses no sound and takes no 'bitrate'; leave it out")
        if self.verify.vmaf_min is not None and preset.video is None:
            raise ValueError(
                f"the preset {self.preset!r} encodes no picture, so there is no 'verify.vmaf_min' to reach"
            )
        self._check_container(preset)
        if self.hardware == "require" and preset.video and not encoders_of(preset.video.codec):
            raise ValueError(f"no hardware encoder of {preset.video.codec} is known; 'hardware' cannot be 'require'")

    def _known_preset(self) -> Preset:
        presets = load_presets()
        if preset := self.recipe or presets.get(self.preset):
            return preset
        nearest = get_close_matches(self.preset, presets, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(presets)}"
        # A ValueError, which msgspec turns into its own error and completes with the path of the field.
        raise ValueError(f"there is no preset {self.preset!r}; {hint}")

    def _check_no_picture(self) -> None:
        is_asked = self.crf is not None or self.bitrate or self.passes > 1 or self.scale != Scale()
        if is_asked or self.video != VideoOptions() or self.filters != Filters():
            raise ValueError(
                f"the preset {self.preset!r} encodes no picture; leave out 'crf', 'bitrate', 'scale', 'video' and 'filters'"
            )

    def _check_quality(self, video: VideoPreset) -> None:
        if self.crf is not None and self.bitrate:
            raise ValueError("give either 'crf' or 'bitrate', not both")
        if self.crf is not None and self.crf > video.crf_max:
            raise ValueError(f"'crf' of {video.encoder} goes from 0 to {video.crf_max}, not {self.crf}")
        options = combine(video.options, self.video)
        if misfit := find_misfit(options, video.facts, name=video.encoder):
            raise ValueError(f"video: {misfit}")
        if self.bitrate and options.max_bitrate and self.bitrate > options.max_bitrate:
            raise ValueError(f"'bitrate' is {self.bitrate}, more than 'max_bitrate', {options.max_bitrate}")
        if self.bitrate and options.max_bitrate and video.facts.options["max_bitrate"].only_with_crf:
            raise ValueError(f"{video.encoder} takes either 'bitrate' or 'max_bitrate', not both")
        self._check_passes(video)

    def _check_passes(self, video: VideoPreset) -> None:
        if self.passes == 1:
            return
        if not self.bitrate:
            raise ValueError("'passes' share out a bit rate; give 'bitrate' as well")
        if video.facts.passes < self.passes:
            able = ", ".join(name for name, facts in VIDEO_ENCODERS.items() if facts.passes >= self.passes)
            raise ValueError(f"{video.encoder} does not work in two passes here; {able} do")
        if self.hardware != "never":
            raise ValueError("hardware encoders share out a bit rate in one pass; leave out 'passes' or 'hardware'")

    def _check_limits(self, video: VideoPreset) -> None:
        longest, scale, pad = video.limits.longest_side, self.scale, self.filters.pad or Pad()
        asked = max(scale.max, scale.width, scale.height, pad.width, pad.height)
        if longest and asked > longest:
            raise ValueError(f"the preset {self.preset!r} goes up to {longest} pixels a side, not {asked}")
        # The side that is not given follows the source, and may then be any length.
        if longest and bool(scale.width) != bool(scale.height):
            raise ValueError(f"the preset {self.preset!r} limits both sides; give 'scale.max', or 'width' and 'height'")
        rate = self.filters.fps or 0
        if video.fastest_fps and rate > video.fastest_fps:
            raise ValueError(
                f"the preset {self.preset!r} goes up to {video.fastest_fps} pictures a second, not {rate:g}"
            )

    def _check_container(self, preset: Preset) -> None:
        if self.container and preset.containers and self.container not in preset.containers:
            raise ValueError(f"the preset {self.preset!r} is for {', '.join(preset.containers)}, not {self.container}")
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
    """Return what the params' preset says."""
    return params.recipe or load_presets()[params.preset]


def options_of(params: TranscodeParams) -> VideoOptions:
    """Return the options of the picture's encoder: the user's over the preset's."""
    video = preset_of(params).video
    return combine(video.options, params.video) if video else params.video


def filters_of(params: TranscodeParams) -> Filters:
    """Return what is done to the picture: the user's filters over the preset's."""
    return combine_filters(preset_of(params).filters, params.filters)


def scale_of(params: TranscodeParams) -> Scale:
    """Return the size that is wanted: the user's, or what the preset's limit leaves."""
    video = preset_of(params).video
    if params.scale != Scale() or video is None:
        return params.scale
    return Scale(max=video.limits.longest_side)
