"""`listen`: finds out where somebody speaks and in which language, and cuts the speech into pieces."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mediafleet.domain.errors import InvalidParams
from mediafleet.domain.plan import TaskResult
from mediafleet.engines.diarization import Turn
from mediafleet.engines.offer import Need, Role
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, RecognizerFacts
from mediafleet.engines.voice_activity import Span
from mediafleet.engines.wire import Coding, Drop, Hear, Recognize, TellApart
from mediafleet.engines.wire import Heard as Probabilities
from mediafleet.kinds.subtitle.orders import Film, Heard, PieceFile, write
from mediafleet.kinds.subtitle.params import Speakers, SubtitleParams
from mediafleet.kinds.subtitle.pieces import Piece, share_channels
from mediafleet.kinds.subtitle.sound import (
    WINDOW_S,
    choose_track,
    even_arguments,
    extract_arguments,
    read_levels,
    read_range,
    read_windows,
)
from mediafleet.kinds.subtitle.tracks import find_there
from mediafleet.kinds.subtitle.turns import Hearing, find_own, mute_others, name_of, name_turns
from mediafleet.kinds.subtitle.workspace import link_source
from mediafleet.kinds.transcode.failures import show_name
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.running import FfmpegRun

if TYPE_CHECKING:
    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
    from mediafleet.kinds.transcode.progress import Position

_EXTRACTED, _HEARD = 0.5, 0.95
"""Shares of the progress bar at which the sound is out of its film, and has been listened to."""
_STALL_S = 120.0
_SAMPLE_S = 30.0
"""Speech by which a language is told."""
_MOST_CHANNELS = 16
"""Of recordings with a microphone each; every one is listened to for itself."""
_USUAL_FPS = Fraction(24)
_SLOWEST_FPS, _FASTEST_FPS = 10, 240
"""What lies outside is a slide show, or a time base that was taken for a rate."""


class Voice(NamedTuple):
    """Sound that is listened to for itself: all of a track, or a channel of it."""

    sound: Path
    """Raw samples, in the time of the film."""
    spans: tuple[Span, ...]
    turns: tuple[Turn, ...] = ()
    """Who speaks when, where that is known."""

    @property
    def speech_s(self) -> float:
        """How long somebody speaks in it."""
        return sum(span.end_s - span.start_s for span in self.spans)


async def listen(context: TaskContext) -> TaskResult:
    """Fetch, extract, hear, cut, publish. Cancelling is safe."""
    params = msgspec.convert(context.spec.params, SubtitleParams)
    name = context.spec.inputs[0].name
    source = await link_source(context, context.spec.inputs[0])
    context.report(0.0, stage="probing")
    info = await probe(context, source, name=name)
    if there := find_there(info, params):
        return TaskResult(write(Heard(describe_film(info, name), params.language, (), 0.0, there=there)))
    if not any(stream.type == "audio" for stream in info.streams):
        heard = Heard(describe_film(info, name), params.language, (), 0.0)
        return TaskResult(write(heard), warnings=(f"{show_name(name)} has no sound.",))
    voices, warnings = await _find_voices(context, source, info, params)
    language, is_guessed = params.language, False
    if language == "auto" and any(voice.spans for voice in voices):
        fullest = max(voices, key=lambda voice: voice.speech_s)
        language, is_guessed = await _tell_language(context, fullest, params.recognizer)
        warnings = [*warnings, _guess_warning(language)] if is_guessed else warnings
    context.report(_HEARD, stage="publishing")
    shared = [
        (channel, piece)
        for channel, pieces in enumerate(share_channels([voice.spans for voice in voices], params.pieces))
        for piece in pieces
    ]
    outputs = [
        await _publish(context, voices[channel], channel, piece, number)
        for number, (channel, piece) in enumerate(shared, start=1)
    ]
    lengths = tuple(piece.speech_s for _, piece in shared)
    heard = Heard(describe_film(info, name), language, lengths, sum(lengths), is_guessed=is_guessed)
    return TaskResult(write(heard), tuple(outputs), tuple(warnings))


def describe_film(info: MediaInfo, name: str) -> Film:
    """Return what subtitles have to know of a film."""
    picture = next((one for one in info.streams if one.type == "video" and not one.is_cover), None)
    if picture is None:
        return Film(name, duration_s=info.duration_s)
    fps = Fraction(picture.fps).limit_denominator(1001)
    fps = fps if _SLOWEST_FPS <= fps <= _FASTEST_FPS else _USUAL_FPS
    return Film(name, (fps.numerator, fps.denominator), picture.shown_size[1], info.duration_s)


async def _find_voices(
    context: TaskContext, source: Path, info: MediaInfo, params: SubtitleParams
) -> tuple[Sequence[Voice], Sequence[str]]:
    """Return what is to be recognized, and what to tell the user of it."""
    name = context.spec.inputs[0].name
    track = choose_track(info, params.track, name=name)
    count = max(1, track.channels) if params.speakers is Speakers.CHANNELS else 1
    if count > _MOST_CHANNELS:
        raise InvalidParams(
            f"{show_name(name)} has {count} channels; speakers of {_MOST_CHANNELS} at most can be parted."
        )
    sounds = [context.workspace / f"sound-{number}.raw" for number in range(count)]
    await _extract(context, source, info, track, sounds)
    hearings = [await _hear(context, sound, info.duration_s, (number, count)) for number, sound in enumerate(sounds)]
    if params.speakers is Speakers.CHANNELS:
        if count > 1:
            levels = [await asyncio.to_thread(read_levels, sound) for sound in sounds]
            hearings = [one._replace(levels_db=found) for one, found in zip(hearings, levels, strict=True)]
        return _part_channels(sounds, hearings, params.speaker_names, name=name)
    spans = hearings[0].mark()
    if params.speakers is not Speakers.VOICES or not spans:
        return [Voice(sounds[0], spans)], ()
    context.report(_HEARD, stage="telling voices apart")
    offer = context.engines.find(Need(Role.DIARIZE))
    with context.engines.lease(offer) as engine:
        sound = await asyncio.to_thread(sounds[0].read_bytes)
        turns = await engine.ask(TellApart(sound, len(params.speaker_names), Coding.PCM), tuple[Turn, ...])
    return [Voice(sounds[0], spans, name_turns(turns, params.speaker_names))], ()


def _part_channels(
    sounds: Sequence[Path], hearings: Sequence[Hearing], names: Sequence[str], *, name: str
) -> tuple[Sequence[Voice], Sequence[str]]:
    own = find_own(hearings)
    if len(own) == 1:
        alike = "one channel" if len(hearings) == 1 else f"{len(hearings)} channels that carry the same"
        told = f"{show_name(name)} has {alike}; who speaks cannot be told by that."
        return [Voice(sounds[0], hearings[0].mark())], [told]
    warnings: list[str] = []
    if alike := len(hearings) - len(own):
        warnings.append(
            f"{alike} of the {len(hearings)} channels of {show_name(name)} carry what others do; they are heard once."
        )
    if len(names) > len(hearings):
        warnings.append(f"{len(names)} speakers are named, and {show_name(name)} has {len(hearings)} channels.")
    muted = mute_others([hearings[number] for number in own])
    voices: list[Voice] = []
    for number, hearing in zip(own, muted, strict=True):
        spans = hearing.mark()
        turns = tuple(Turn(span.start_s, span.end_s, name_of(number, names)) for span in spans)
        voices.append(Voice(sounds[number], spans, turns))
    return voices, warnings


async def _extract(
    context: TaskContext, source: Path, info: MediaInfo, track: StreamInfo, sounds: Sequence[Path]
) -> None:
    ffmpeg = await asyncio.to_thread(find_ffmpeg)
    length_s = info.duration_s

    def note(position: Position) -> None:
        done = position.fraction(length_s) * _EXTRACTED
        context.report(done, stage="extracting", speed=position.speed or None, eta_ms=position.eta_ms(length_s))

    roughs = [sound.with_suffix(".rough") for sound in sounds]
    arguments = [ffmpeg.path, *extract_arguments(track, source=source, outputs=roughs)]
    name = context.spec.inputs[0].name
    await FfmpegRun(context, arguments, name, _STALL_S, output=roughs[0], on_progress=note).succeed()
    for rough, sound in zip(roughs, sounds, strict=True):
        arguments = [ffmpeg.path, *await asyncio.to_thread(even_arguments, rough, output=sound)]
        await FfmpegRun(context, arguments, name, _STALL_S, output=sound).succeed()
        await asyncio.to_thread(rough.unlink)


async def _hear(context: TaskContext, sound: Path, length_s: float, turn: tuple[int, int]) -> Hearing:
    """Return what is heard in a sound that is one of so many."""
    offer = context.engines.find(Need(Role.VOICE_ACTIVITY))
    probabilities: list[float] = []
    frame_samples = 1
    # Another task may share the process.
    stream = secrets.randbits(31)
    number, count = turn
    with context.engines.lease(offer) as engine:
        for at, window in enumerate(read_windows(sound)):
            found = await engine.ask(Hear(stream, window, Coding.PCM), Probabilities)
            probabilities += found.probabilities
            frame_samples = found.frame_samples
            done = (number + min(1.0, (at + 1) * WINDOW_S / max(length_s, WINDOW_S))) / count
            context.report(_EXTRACTED + (_HEARD - _EXTRACTED) * done, stage="listening")
        await engine.ask(Drop(stream), type(None))
    return Hearing(probabilities, frame_samples / RATE_HZ)


async def _tell_language(context: TaskContext, voice: Voice, recognizer: str) -> tuple[str, bool]:
    """Return the language of the first speech, and whether it is only what the recognizer takes for granted."""
    offer = context.engines.find(Need(Role.RECOGNIZE), adapter=recognizer)
    with context.engines.lease(offer) as engine:
        facts = await engine.load(RecognizerFacts)
        if not facts.detects_language and facts.languages:
            return facts.languages[0], True
        found = await engine.ask(Recognize(_first_speech(voice), coding=Coding.PCM), Recognition)
    return found.language, False


def _first_speech(voice: Voice) -> bytes:
    taken = b""
    for span in voice.spans:
        if len(taken) >= _SAMPLE_S * RATE_HZ * 2:
            break
        taken += read_range(voice.sound, span)
    return taken


def _guess_warning(language: str) -> str:
    return (
        f"Nobody said what language it is in, and no engine here can tell; it was taken for {language!r}. "
        "Name it with --from, or install faster-whisper."
    )


async def _publish(context: TaskContext, voice: Voice, channel: int, piece: Piece, number: int) -> ArtifactRef:
    turns = tuple(turn for turn in voice.turns if turn.end_s > piece.start_s and turn.start_s < piece.end_s)
    sounds = tuple(read_range(voice.sound, span) for span in piece.spans)
    path = context.workspace / f"piece-{number}.speech"
    path.write_bytes(msgspec.msgpack.encode(PieceFile(piece.spans, sounds, channel, turns)))
    return await context.publish(path, name=path.name)
