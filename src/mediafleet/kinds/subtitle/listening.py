"""`listen`: finds out where somebody speaks and in which language, and cuts the speech into pieces."""

from __future__ import annotations

import asyncio
import secrets
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.plan import TaskResult
from mediafleet.engines.offer import Need, Role
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, RecognizerFacts
from mediafleet.engines.voice_activity import Span, mark_speech
from mediafleet.engines.wire import Coding, Drop, Hear, Recognize
from mediafleet.engines.wire import Heard as Probabilities
from mediafleet.kinds.subtitle.orders import Film, Heard, PieceFile, write
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.pieces import count_pieces, share_spans
from mediafleet.kinds.subtitle.sound import WINDOW_S, choose_track, extract_arguments, read_range, read_windows
from mediafleet.kinds.subtitle.workspace import link_source
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.running import FfmpegRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.transcode.media import MediaInfo
    from mediafleet.kinds.transcode.progress import Position

_EXTRACTED, _HEARD = 0.5, 0.95
"""Shares of the progress bar at which the sound is out of its film, and has been listened to."""
_STALL_S = 120.0
_SAMPLE_S = 30.0
"""Speech by which a language is told."""
_USUAL_FPS = Fraction(24)
_SLOWEST_FPS, _FASTEST_FPS = 10, 240
"""What lies outside is a slide show, or a time base that was taken for a rate."""


async def listen(context: TaskContext) -> TaskResult:
    """Fetch, extract, hear, cut, publish. Cancelling is safe."""
    params = msgspec.convert(context.spec.params, SubtitleParams)
    name = context.spec.inputs[0].name
    source = await link_source(context, context.spec.inputs[0])
    context.report(0.0, stage="probing")
    info = await probe(context, source, name=name)
    sound = await _extract(context, source, info, params)
    spans = await _hear(context, sound, info.duration_s)
    language, is_guessed = params.language, False
    if language == "auto" and spans:
        language, is_guessed = await _tell_language(context, sound, spans, params.recognizer)
    count = params.pieces or count_pieces(sum(span.end_s - span.start_s for span in spans))
    pieces = share_spans(spans, count)
    context.report(_HEARD, stage="publishing")
    outputs = [
        await _publish(context, PieceFile(piece.spans, tuple(read_range(sound, span) for span in piece.spans)), number)
        for number, piece in enumerate(pieces, start=1)
    ]
    lengths = tuple(piece.speech_s for piece in pieces)
    heard = Heard(describe_film(info, name), language, lengths, sum(lengths), is_guessed=is_guessed)
    warnings = (_guess_warning(language),) if is_guessed else ()
    return TaskResult(write(heard), tuple(outputs), warnings)


def describe_film(info: MediaInfo, name: str) -> Film:
    """Return what subtitles have to know of a film."""
    picture = next((one for one in info.streams if one.type == "video" and not one.is_cover), None)
    if picture is None:
        return Film(name, duration_s=info.duration_s)
    fps = Fraction(picture.fps).limit_denominator(1001)
    fps = fps if _SLOWEST_FPS <= fps <= _FASTEST_FPS else _USUAL_FPS
    return Film(name, (fps.numerator, fps.denominator), picture.shown_size[1], info.duration_s)


async def _extract(context: TaskContext, source: Path, info: MediaInfo, params: SubtitleParams) -> Path:
    track = choose_track(info, params.track, name=context.spec.inputs[0].name)
    sound = context.workspace / "sound.raw"
    ffmpeg = await asyncio.to_thread(find_ffmpeg)
    length_s = info.duration_s

    def note(position: Position) -> None:
        done = position.fraction(length_s) * _EXTRACTED
        context.report(done, stage="extracting", speed=position.speed or None, eta_ms=position.eta_ms(length_s))

    arguments = [ffmpeg.path, *extract_arguments(track, source=source, output=sound)]
    name = context.spec.inputs[0].name
    await FfmpegRun(context, arguments, name, _STALL_S, output=sound, on_progress=note).succeed()
    return sound


async def _hear(context: TaskContext, sound: Path, length_s: float) -> tuple[Span, ...]:
    offer = context.engines.find(Need(Role.VOICE_ACTIVITY))
    probabilities: list[float] = []
    frame_samples = 1
    # Another task may share the process.
    stream = secrets.randbits(31)
    with context.engines.lease(offer) as engine:
        for number, window in enumerate(read_windows(sound)):
            found = await engine.ask(Hear(stream, window, Coding.PCM), Probabilities)
            probabilities += found.probabilities
            frame_samples = found.frame_samples
            done = min(1.0, (number + 1) * WINDOW_S / max(length_s, WINDOW_S))
            context.report(_EXTRACTED + (_HEARD - _EXTRACTED) * done, stage="listening")
        await engine.ask(Drop(stream), type(None))
    return mark_speech(probabilities, frame_s=frame_samples / RATE_HZ)


async def _tell_language(context: TaskContext, sound: Path, spans: Sequence[Span], recognizer: str) -> tuple[str, bool]:
    """Return the language of the first speech, and whether it is only what the recognizer takes for granted."""
    offer = context.engines.find(Need(Role.RECOGNIZE), adapter=recognizer)
    with context.engines.lease(offer) as engine:
        facts = await engine.load(RecognizerFacts)
        if not facts.detects_language and facts.languages:
            return facts.languages[0], True
        sample = _first_speech(sound, spans)
        found = await engine.ask(Recognize(sample, coding=Coding.PCM), Recognition)
    return found.language, False


def _first_speech(sound: Path, spans: Sequence[Span]) -> bytes:
    taken = b""
    for span in spans:
        if len(taken) >= _SAMPLE_S * RATE_HZ * 2:
            break
        taken += read_range(sound, span)
    return taken


def _guess_warning(language: str) -> str:
    return (
        f"Nobody said what language it is in, and no engine here can tell; it was taken for {language!r}. "
        "Name it with --from, or install faster-whisper."
    )


async def _publish(context: TaskContext, piece: PieceFile, number: int) -> ArtifactRef:
    path = context.workspace / f"piece-{number}.speech"
    path.write_bytes(msgspec.msgpack.encode(piece))
    return await context.publish(path, name=path.name)
