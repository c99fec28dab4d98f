"""Decides what becomes of each stream of a source: kept as it is, encoded, converted, or dropped and said so."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InvalidParams, UnreadableMedia
from mediafleet.kinds.transcode import chain, failures
from mediafleet.kinds.transcode.containers import (
    CONTAINERS,
    STYLED_SUBTITLES,
    TEXT_SUBTITLES,
    Container,
    same_container,
)
from mediafleet.kinds.transcode.losses import (
    Loss,
    Topic,
    article,
    asks_for_other_sound,
    describe,
    file_losses,
    marking_losses,
    needs_dolby_player,
    picture_losses,
)
from mediafleet.kinds.transcode.params import AUDIO_ENCODERS, TranscodeParams, filters_of, preset_of, scale_of

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo

__all__ = ["Action", "LeftOut", "OutputPlan", "StreamPlan", "describe", "plan_output", "sound_format"]


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
    why: str = ""
    """Half a sentence on why this and nothing else."""


class LeftOut(msgspec.Struct, frozen=True):
    """One stream of the source that has none of its own in the output."""

    source: StreamInfo
    why: str
    """Half a sentence."""
    is_lost: bool = True
    """False where the output says the same in another place."""


class OutputPlan(msgspec.Struct, frozen=True):
    """The whole output."""

    container: Container
    streams: tuple[StreamPlan, ...]
    left_out: tuple[LeftOut, ...] = ()
    losses: tuple[Loss, ...] = ()
    """Everything that the output lacks against the source."""
    notes: tuple[str, ...] = ()
    """What else its user should know, as that no hardware could be used."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each loss, and the notes."""
        return (*(loss.sentence for loss in self.losses), *self.notes)

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
        self.left_out: list[LeftOut] = []
        self.losses: list[Loss] = []

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

    def _keep(self, stream: StreamInfo, action: Action, codec: str, encoder: str = "copy", *, why: str) -> None:
        self.plans.append(StreamPlan(stream, action, codec, encoder, why))
        changes = action is Action.ENCODE and stream.type == "audio" and changes_loudness(self.params)
        self.losses += marking_losses(stream, self.container, changes_loudness=changes)

    def _drop(self, stream: StreamInfo, reason: str) -> None:
        self.left_out.append(LeftOut(stream, reason))
        self.losses.append(Loss(Topic.STREAM, f"{describe(stream)} was left out: {reason}.", stream.index))

    def _lose(self, stream: StreamInfo, topic: Topic, what: str) -> None:
        self.losses.append(Loss(topic, f"{describe(stream)} {what}.", stream.index))

    def _no_room(self, stream: StreamInfo) -> None:
        what = f"{stream.codec or stream.type} streams"
        self._drop(stream, f"{article(self.container.name)} file cannot hold {what}")

    def _add_video(self, stream: StreamInfo) -> None:
        video = self.preset.video
        if self.preset.copies:
            self._copy(stream, why="nothing is encoded")
        elif video is None:
            self._drop(stream, f"the preset {self.params.preset!r} makes sound only")
        # Found by trying: an encode would fail only after it has begun, and not say on which stream.
        elif not stream.decodable or not min(stream.shown_size):
            self._drop(stream, "this node's FFmpeg cannot decode it")
        elif needs_dolby_player(stream, self.info):
            self._drop(
                stream, "only players of Dolby Vision understand its colours (profile 5); the preset copy keeps it"
            )
        elif excess := chain.find_excess(stream, filters_of(self.params), scale_of(self.params), least=video.smallest):
            raise InvalidParams(f"{describe(stream)}: {excess}; choose a smaller 'scale' or 'pad'.")
        else:
            has_dolby_vision = self.info.dolby_vision and not any(plan.source.type == "video" for plan in self.plans)
            self._keep(stream, Action.ENCODE, video.codec, video.encoder, why=f"the preset {self.params.preset}")
            self.losses += picture_losses(stream, self.params, dolby_vision=has_dolby_vision)

    def _copy(self, stream: StreamInfo, *, why: str) -> None:
        if not stream.codec:
            self._drop(stream, "this node's FFmpeg does not know its format")
        elif self.container.holds(stream.type, stream.codec):
            self._keep(stream, Action.COPY, stream.codec, why=why)
        else:
            self._no_room(stream)

    def _add_audio(self, stream: StreamInfo) -> None:
        wanted = self.params.audio.codec
        if wanted == "none":
            self._drop(stream, "no sound was asked for")
        elif sum(plan.source.type == "audio" for plan in self.plans) >= self.container.audio_tracks:
            self._drop(stream, f"{article(self.container.name)} file holds one sound track")
        elif wanted == "copy" or self.preset.copies:
            self._copy(stream, why="nothing is encoded" if self.preset.copies else "asked for")
        elif self._is_good_enough(stream):
            self._copy(stream, why="encoding it twice would only lose")
        elif not stream.codec:
            self._drop(stream, "this node's FFmpeg cannot decode it")
        else:
            self._encode_sound(stream)

    def _encode_sound(self, stream: StreamInfo) -> None:
        codec, encoder = self._sound_format()
        why = "asked for" if self.params.audio.codec == codec else f"the preset {self.params.preset}"
        self._keep(stream, Action.ENCODE, codec, encoder, why=why)
        if stream.lossless and codec != "flac" and not asks_for_other_sound(self.params):
            what = f"is kept exactly in its source and becomes {codec}, which leaves out what few can hear"
            self._lose(stream, Topic.EXACT, f"{what}; the preset archive keeps all of it")
        if "Atmos" in stream.profile:
            self._lose(stream, Topic.OBJECTS, "loses its Dolby Atmos objects; its channels stay")
        channels = output_channels(stream, codec, self.params)
        if channels < stream.channels:
            self._lose(stream, Topic.CHANNELS, f"is mixed down from {stream.channels} channels to {channels}")

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
            self._keep(stream, action, stream.codec, why=f"{article(self.container.name)} file holds it")
        else:
            self._drop(stream, f"{article(self.container.name)} file cannot hold {stream.codec or 'unknown'} cover art")

    def _add_subtitle(self, stream: StreamInfo) -> None:
        if self.container.holds("subtitle", stream.codec):
            self._keep(stream, Action.COPY, stream.codec, why=f"{article(self.container.name)} file holds it")
        elif self.container.text and stream.codec in TEXT_SUBTITLES:
            why = f"{article(self.container.name)} file holds no {stream.codec}"
            self._keep(stream, Action.CONVERT, self.container.text, self.container.text, why=why)
            if stream.codec in STYLED_SUBTITLES:
                self._lose(stream, Topic.STYLE, "was turned into plain text: fonts and positions are lost")
        else:
            self._no_room(stream)

    def _add_attachment(self, stream: StreamInfo) -> None:
        if self.container.attachments:
            self._keep(stream, Action.COPY, stream.codec, why=f"{article(self.container.name)} file holds it")
        else:
            self._drop(stream, f"{article(self.container.name)} file cannot hold attachments")

    def _add_data(self, stream: StreamInfo) -> None:
        # The titles of QuickTime chapters lie in a text track of their own; they arrive as chapters.
        if self.info.chapters and stream.tag in {"text", ""} and stream.packets <= self.info.chapters:
            self.left_out.append(LeftOut(stream, "it holds the titles of the chapters, which stay", is_lost=False))
        elif stream.is_timecode and self.container.muxer in {"mp4", "mov"}:
            # From the picture's `timecode` tag.
            self.left_out.append(LeftOut(stream, "FFmpeg writes it anew", is_lost=False))
        else:
            self._drop(stream, f"{article(self.container.name)} file cannot hold it")


def plan_output(info: MediaInfo, params: TranscodeParams, *, name: str, may_copy_sound: bool = True) -> OutputPlan:
    """Return what becomes of every stream of a source.

    Args:
        info: What the probe found.
        params: What the user asks for.
        name: The source's file name.
        may_copy_sound: False to encode sound also where copying would do, because the source's is damaged.

    Raises:
        InvalidParams: A picture would become too large, or the crop leaves next to nothing of it.
        UnreadableMedia: Nothing of what the preset makes can be made of this source.
    """
    container = CONTAINERS[params.container or preset_of(params).container or same_container(info.format, name)]
    planner = _Planner(info, params, container, may_copy=may_copy_sound)
    for stream in info.streams:
        planner.add(stream)
    losses = (*planner.losses, *file_losses(info, container))
    plan = OutputPlan(container, tuple(planner.plans), tuple(planner.left_out), losses)
    _check_not_empty(plan, info, params, name)
    if losses and params.losses == "refuse":
        raise UnreadableMedia(
            f"{failures.show_name(name)} would lose something, which the job forbids: {losses[0].sentence}"
        )
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


def output_channels(stream: StreamInfo, codec: str, params: TranscodeParams) -> int:
    """Return how many channels sound has when it is encoded."""
    audio = preset_of(params).audio
    channels = params.audio.channels or stream.channels or 2
    most = audio.most_channels if audio and audio.most_channels else channels
    return min(channels, most, 2 if codec == "mp3" else channels)


def changes_loudness(params: TranscodeParams) -> bool:
    """Tell whether sound that is encoded comes out louder or softer than it went in."""
    audio = preset_of(params).audio
    return bool(params.audio.gain_db or params.audio.loudness or (audio and audio.loudness))
