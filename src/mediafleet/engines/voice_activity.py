"""Voice activity: where somebody speaks. What an engine hears and what counts as speech are kept apart.

An engine says how probable speech is in each frame; `mark_speech` makes spans of that, by a rule that is data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from mediafleet.engines.audio import Audio


class Span(msgspec.Struct, frozen=True):
    """A time in which somebody speaks, seconds since the beginning of the audio."""

    start_s: float
    end_s: float


class SpeechRule(msgspec.Struct, frozen=True):
    """What counts as speech; times are seconds."""

    begins_at: float = 0.5
    """Probability, 0..1, from which a frame begins speech."""
    ends_below: float = 0.35
    """Probability below which a frame of speech is silence; lower than `begins_at`, so that a word does not flicker."""
    least_speech_s: float = 0.1
    """What is shorter is no speech."""
    least_silence_s: float = 0.4
    """What is shorter is no pause."""
    padding_s: float = 0.3
    """Added at both ends of each span, and never so much that two of them meet: sounds begin softly."""
    longest_s: float = 30.0
    """What is longer is cut where speech is least probable, never in its first half."""


class VoiceStream(Protocol):
    """One listening; it remembers what it heard, and belongs to one thread at a time."""

    def feed(self, audio: Audio) -> Sequence[float]:
        """Hear more.

        Args:
            audio: `(samples,)`, float32, 16 kHz, mono, -1..1, any number of samples.

        Returns:
            The probability of speech, 0..1, of each frame that these samples complete; what is left over waits for more.

        Raises:
            InvalidRequest: The audio has another shape or type.
        """
        ...


class VoiceActivity(Protocol):
    """An engine that hears speech. Calls last for a moment and are not cancelled."""

    @property
    def frame_samples(self) -> int:
        """Samples of a frame, at 16 kHz."""
        ...

    def listen(self) -> VoiceStream:
        """Begin to listen, at the beginning of some audio; any number may be open."""
        ...

    def close(self) -> None:
        """Give back what is held; may be called twice."""
        ...


def mark_speech(probabilities: Sequence[float], *, frame_s: float, rule: SpeechRule | None = None) -> tuple[Span, ...]:
    """Return the spans of speech, in order and apart from each other.

    Args:
        probabilities: Of consecutive frames from the beginning of the audio, 0..1.
        frame_s: Length of a frame, seconds.
        rule: What counts as speech.
    """
    rule = rule or SpeechRule()
    runs = _join_runs(_find_runs(probabilities, rule), least_gap=rule.least_silence_s / frame_s)
    kept = [run for run in runs if (run[1] - run[0]) * frame_s >= rule.least_speech_s]
    longest = max(2, int((rule.longest_s - 2 * rule.padding_s) / frame_s))
    pieces = [piece for run in kept for piece in _cut_run(run, probabilities, longest)]
    return _pad_runs(pieces, total=len(probabilities), frame_s=frame_s, padding_s=rule.padding_s)


def _find_runs(probabilities: Sequence[float], rule: SpeechRule) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    start: int | None = None
    for index, probability in enumerate(probabilities):
        if start is None and probability >= rule.begins_at:
            start = index
        elif start is not None and probability < rule.ends_below:
            runs.append((start, index))
            start = None
    return runs if start is None else [*runs, (start, len(probabilities))]


def _join_runs(runs: Sequence[tuple[int, int]], *, least_gap: float) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in runs:
        if joined and start - joined[-1][1] < least_gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _cut_run(run: tuple[int, int], probabilities: Sequence[float], longest: int) -> list[tuple[int, int]]:
    start, end = run
    pieces: list[tuple[int, int]] = []
    while end - start > longest:
        cut = min(range(start + longest // 2, start + longest), key=lambda index: probabilities[index])
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, end)]


def _pad_runs(runs: Sequence[tuple[int, int]], *, total: int, frame_s: float, padding_s: float) -> tuple[Span, ...]:
    spans: list[Span] = []
    for index, (start, end) in enumerate(runs):
        before = runs[index - 1][1] if index else 0
        after = runs[index + 1][0] if index + 1 < len(runs) else total
        room_before = (start - before) * frame_s / (2 if index else 1)
        room_after = (after - end) * frame_s / (2 if index + 1 < len(runs) else 1)
        first = start * frame_s - min(padding_s, room_before)
        # Where two share a pause, what each gets of it is rounded by itself.
        first = max(first, spans[-1].end_s) if spans else first
        spans.append(Span(first, end * frame_s + min(padding_s, room_after)))
    return tuple(spans)


def find_speech(engine: VoiceActivity, audio: Audio, *, rule: SpeechRule | None = None) -> tuple[Span, ...]:
    """Return where somebody speaks in some audio, `(samples,)`, float32, 16 kHz, mono, -1..1.

    Raises:
        InvalidRequest: The audio has another shape or type.
    """
    frame_s = engine.frame_samples / 16_000
    return mark_speech(engine.listen().feed(audio), frame_s=frame_s, rule=rule)
