"""Decides what becomes of each stream of a source: kept as it is, encoded, converted, or dropped and said so."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.transcode import failures, picture
from mediafleet.kinds.transcode.containers import (
    CONTAINERS,
    STYLED_SUBTITLES,
    TEXT_SUBTITLES,
    Container,
    same_container,
)
from mediafleet.kinds.transcode.params import AUDIO_ENCODERS, TranscodeParams, preset_of

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
    from mediafleet.kinds.transcode.presets import VideoPreset


class Action(StrEnum):
    """What becomes of a stream."""

    COPY = "copy"
    """Its packets are taken over unchanged."""
    ENCODE = "encode"
    ATTACH = "attach"
    """Cover art is taken out into a file, and that is attached to the output."""
    CONVERT = "convert"
    """Subtitles are written in another text format."""


class StreamPlan(msgspec.Struct, frozen=True):
    """One stream of the output."""

    source: StreamInfo
    action: Action
    codec: str
    """Format in the output."""
    encoder: str
    """FFmpeg's word after `-c`: an encoder, or `copy`."""


class OutputPlan(msgspec.Struct, frozen=True):
    """The whole output."""

    container: Container
    streams: tuple[StreamPlan, ...]
    warnings: tuple[str, ...] = ()
    """One sentence for everything that the output lacks against the source."""

    @property
    def covers(self) -> tuple[StreamPlan, ...]:
        """Cover art that goes into the output as attached files."""
        return tuple(plan for plan in self.streams if plan.action is Action.ATTACH)

    @property
    def tracks(self) -> tuple[StreamPlan, ...]:
        """All other streams, in the output's order."""
        return tuple(plan for plan in self.streams if plan.action is not Action.ATTACH)

    @property
    def copies_sound(self) -> bool:
        """Whether sound is taken over unchanged."""
        return any(plan.source.type == "audio" and plan.action is Action.COPY for plan in self.streams)


class _Planner:
    """Walks over the streams of one source and collects plans and warnings."""

    def __init__(self, info: MediaInfo, params: TranscodeParams, container: Container, *, may_copy: bool) -> None:
        self.info = info
        self.params = params
        self.preset = preset_of(params)
        self.container = container
        self.may_copy = may_copy
        self.plans: list[StreamPlan] = []
        self.warnings: list[str] = []

    def add(self, stream: StreamInfo) -> None:
        """Plan one stream."""
        if stream.is_cover:
            self._add_cover(stream)
        # A header may promise a stream that never comes; FFmpeg may
        # hold all others back for it until its queue is full.
        elif stream.type in {"video", "audio"} and not stream.packets:
            self._drop(stream, "it is empty")
        elif stream.type == "video":
            self._add_video(stream)
        elif stream.type == "audio":
            self._add_audio(stream)
        elif stream.type == "subtitle":
            self._add_subtitle(stream)
        elif stream.type == "attachment":
            self._add_attachment(stream)
        else:
            self._add_data(stream)

    def _keep(self, stream: StreamInfo, action: Action, codec: str, encoder: str = "copy") -> None:
        self.plans.append(StreamPlan(stream, action, codec, encoder))

    def _drop(self, stream: StreamInfo, reason: str) -> None:
        self.warnings.append(f"{describe(stream)} was left out: {reason}.")

    def _no_room(self, stream: StreamInfo) -> None:
        what = f"{stream.codec or stream.type} streams"
        self._drop(stream, f"{_article(self.container.name)} file cannot hold {what}")

    def _add_video(self, stream: StreamInfo) -> None:
        video = self.preset.video
        if self.preset.copies:
            self._copy(stream)
        elif video is None:
            self._drop(stream, f"the preset {self.params.preset!r} makes sound only")
        # Found by trying: an encode would fail only after it has begun, and not say on which stream.
        elif not stream.decodable:
            self._drop(stream, "this node's FFmpeg cannot decode it")
        else:
            self._keep(stream, Action.ENCODE, video.codec, video.encoder)
            self.warnings += _picture_losses(stream, video)

    def _copy(self, stream: StreamInfo) -> None:
        if not stream.codec:
            self._drop(stream, "this node's FFmpeg does not know its format")
        elif self.container.holds(stream.type, stream.codec):
            self._keep(stream, Action.COPY, stream.codec)
        else:
            self._no_room(stream)

    def _add_audio(self, stream: StreamInfo) -> None:
        wanted = self.params.audio.codec
        if wanted == "none":
            self._drop(stream, "no sound was asked for")
        elif sum(plan.source.type == "audio" for plan in self.plans) >= self.container.audio_tracks:
            self._drop(stream, f"{_article(self.container.name)} file holds one sound track")
        elif wanted == "copy" or self.preset.copies or self._is_good_enough(stream):
            self._copy(stream)
        elif not stream.codec:
            self._drop(stream, "this node's FFmpeg cannot decode it")
        else:
            codec, encoder = self._sound_format()
            self._keep(stream, Action.ENCODE, codec, encoder)
            if "Atmos" in stream.profile:
                self.warnings.append(f"{describe(stream)} loses its Dolby Atmos objects; its channels stay.")

    def _is_good_enough(self, stream: StreamInfo) -> bool:
        if self.preset.audio is None or not self.may_copy or not self.params.audio.is_free:
            return False
        return stream.codec in self.preset.audio.keep and self.container.holds("audio", stream.codec)

    def _sound_format(self) -> tuple[str, str]:
        if self.params.audio.codec in AUDIO_ENCODERS:
            return self.params.audio.codec, AUDIO_ENCODERS[self.params.audio.codec]
        return sound_format(self.params, self.container)

    def _add_cover(self, stream: StreamInfo) -> None:
        if stream.codec in self.container.covers:
            action = Action.ATTACH if self.container.attaches_covers else Action.COPY
            self._keep(stream, action, stream.codec)
        else:
            self._drop(
                stream, f"{_article(self.container.name)} file cannot hold {stream.codec or 'unknown'} cover art"
            )

    def _add_subtitle(self, stream: StreamInfo) -> None:
        if self.container.holds("subtitle", stream.codec):
            self._keep(stream, Action.COPY, stream.codec)
        elif self.container.text and stream.codec in TEXT_SUBTITLES:
            self._keep(stream, Action.CONVERT, self.container.text, self.container.text)
            if stream.codec in STYLED_SUBTITLES:
                self.warnings.append(f"{describe(stream)} was turned into plain text: fonts and positions are lost.")
        else:
            self._no_room(stream)

    def _add_attachment(self, stream: StreamInfo) -> None:
        if self.container.attachments:
            self._keep(stream, Action.COPY, stream.codec)
        else:
            self._drop(stream, f"{_article(self.container.name)} file cannot hold attachments")

    def _add_data(self, stream: StreamInfo) -> None:
        # The titles of QuickTime chapters lie in a text track of their own; they arrive as chapters.
        if self.info.chapters and stream.tag in {"text", ""} and stream.packets <= self.info.chapters:
            return
        if stream.is_timecode and self.container.muxer in {"mp4", "mov"}:
            return  # FFmpeg writes the timecode track anew from the picture's `timecode` tag.
        self._drop(stream, f"{_article(self.container.name)} file cannot hold it")


def plan_output(info: MediaInfo, params: TranscodeParams, *, name: str, may_copy_sound: bool = True) -> OutputPlan:
    """Return what becomes of every stream of a source.

    Args:
        info: What the probe found.
        params: What the user asks for.
        name: The source's file name.
        may_copy_sound: False to encode sound also where copying would do, because the source's is damaged.

    Raises:
        UnreadableMedia: Nothing of what the preset makes can be made of this source.
    """
    container = CONTAINERS[params.container or preset_of(params).container or same_container(info.format, name)]
    planner = _Planner(info, params, container, may_copy=may_copy_sound)
    for stream in info.streams:
        planner.add(stream)
    if info.chapters and not container.chapters:
        planner.warnings.append(
            f"{info.chapters} chapters were left out: {_article(container.name)} file cannot hold them."
        )
    plan = OutputPlan(container, tuple(planner.plans), tuple(planner.warnings))
    _check_not_empty(plan, info, params, name)
    return plan


def _check_not_empty(plan: OutputPlan, info: MediaInfo, params: TranscodeParams, name: str) -> None:
    # Covers and subtitles do not count: a film without picture and sound is none.
    kept = {stream.source.type for stream in plan.streams if stream.source.is_timed}
    lost = [stream for stream in info.streams if stream.is_timed and stream.type == "video" and stream.packets]
    preset = preset_of(params)
    # Before the general sentence, whose reasons would only name the pictures that were left out.
    if preset.audio and not preset.video and all(stream.type != "audio" for stream in info.streams):
        raise UnreadableMedia(
            f"{failures.show_name(name)} has no sound, so nothing can be made with the preset {params.preset!r}."
        )
    if (preset.video and lost and "video" not in kept) or not kept:
        reasons = " ".join(plan.warnings) or "It has neither picture nor sound."
        raise UnreadableMedia(
            f"Nothing of {failures.show_name(name)} can be transcoded with the preset {params.preset!r}: {reasons}"
        )


def sound_format(params: TranscodeParams, container: Container) -> tuple[str, str]:
    """Return codec and encoder of encoded sound: the preset's, or the container's where that cannot be held."""
    audio = preset_of(params).audio
    if audio is not None and (container.audio_encoder is None or container.holds("audio", audio.codec)):
        return audio.codec, audio.encoder
    return container.audio_encoder or ("aac", "aac")


def describe(stream: StreamInfo) -> str:
    """Return a few words by which a user knows the stream."""
    words = {"video": "Video", "audio": "Sound", "subtitle": "Subtitle", "attachment": "Attachment", "data": "Data"}
    what = "Cover art" if stream.is_cover else words.get(stream.type, "Unknown")
    if stream.is_timecode:
        what = "Timecode"
    details = [stream.codec or stream.tag, stream.language if stream.language != "und" else "", stream.title]
    inside = ", ".join(part for part in details if part)
    return f"{what} stream {stream.index}" + (f" ({inside})" if inside else "")


def _article(container: str) -> str:
    return f"an {container}" if container[0] in "am" else f"a {container}"


def _picture_losses(stream: StreamInfo, video: VideoPreset) -> list[str]:
    who, losses, depth = describe(stream), list[str](), max(video.bit_depths)
    if stream.dolby_vision:
        losses.append(f"{who} loses its Dolby Vision data; the base picture stays.")
    if stream.hdr10_plus:
        losses.append(f"{who} loses its HDR10+ data, which changes from scene to scene; plain HDR10 stays.")
    if stream.bit_depth > depth:
        what = " and its HDR colours may show bands; the presets hevc and av1 keep them" if stream.is_hdr else ""
        losses.append(f"{who} goes from {stream.bit_depth} to {depth} bits{what}.")
    if any(mark in stream.pix_fmt for mark in ("444", "422", "gbr", "rgb")):
        losses.append(
            f"{who} keeps less of its colour detail: {stream.pix_fmt} becomes 4:2:0, as {video.codec} players expect."
        )
    if stream.pix_fmt.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16")):
        losses.append(f"{who} loses its transparency.")
    if rate := picture.reduced_rate(stream, video.fastest_fps):
        losses.append(
            f"{who} goes down to {rate} pictures a second: encoder and preset take at most {video.fastest_fps}."
        )
    return losses
