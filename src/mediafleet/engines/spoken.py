"""Recognition of audio of any length: where somebody speaks, piece by piece, in the time of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, Recognizer, Timing

if TYPE_CHECKING:
    from mediafleet.engines.audio import Audio
    from mediafleet.engines.voice_activity import Span

_TIMINGS = tuple(Timing)
"""From the best to the worst."""


def recognize_spans(
    recognizer: Recognizer, audio: Audio, spans: Sequence[Span], *, language: str | None = None
) -> Recognition:
    """Recognize the spans of some audio, each for itself; words have the times of the whole.

    Args:
        recognizer: Anything that recognizes.
        audio: `(samples,)`, float32, 16 kHz, mono, -1..1.
        spans: In order and apart from each other, as `mark_speech` makes them.
        language: ISO 639-1; where it is None, what is detected in the first span holds for all.

    Raises:
        InvalidRequest, TransientFailure, TaskFailed: As `Recognizer.recognize`.
    """
    results: list[Recognition] = []
    for span in spans:
        piece = audio[round(span.start_s * RATE_HZ) : round(span.end_s * RATE_HZ)]
        result = recognizer.recognize(piece, language=language)
        language = language or result.language
        results.append(shift_words(result, by_s=span.start_s))
    if not results:
        return Recognition((), language or "", is_drafty=recognizer.facts.is_drafty)
    return join_results(results)


def shift_words(result: Recognition, *, by_s: float) -> Recognition:
    """Return a result whose words are so many seconds later."""
    move = msgspec.structs.replace
    words = tuple(move(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s) for word in result.words)
    return move(result, words=words)


def join_results(results: Sequence[Recognition]) -> Recognition:
    """Return one result of several that follow each other, at least one; it is as good as the worst of them."""
    return msgspec.structs.replace(
        results[0],
        words=tuple(word for result in results for word in result.words),
        timing=max((result.timing for result in results), key=_TIMINGS.index),
        is_drafty=any(result.is_drafty for result in results),
    )
