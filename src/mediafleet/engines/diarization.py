"""Diarization: who speaks when, over a whole recording. Names are numbers; nobody is recognized as a person."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from mediafleet.engines.audio import Audio
    from mediafleet.engines.recognition import Word


class Turn(msgspec.Struct, frozen=True):
    """A time in which one person speaks, seconds since the beginning of the audio."""

    start_s: float
    end_s: float
    speaker: str
    """The same for all turns of a voice, as `1`; never empty."""


class Diarizer(Protocol):
    """An engine that tells voices apart. One call at a time."""

    def tell_apart(self, audio: Audio, *, speakers: int = 0) -> tuple[Turn, ...]:
        """Return the turns of a whole recording, in the order of their starts; they overlap where people do.

        Args:
            audio: `(samples,)`, float32, 16 kHz, mono, -1..1. All of it at once: voices of two calls cannot be compared.
            speakers: How many voices there are; 0 lets the engine find out.

        Raises:
            InvalidRequest: The audio has another shape or type.
            TransientFailure: It did not work this time.
        """
        ...

    def close(self) -> None:
        """Give back what is held; may be called twice."""
        ...


def name_speakers(words: Sequence[Word], turns: Sequence[Turn]) -> tuple[Word, ...]:
    """Return words with who speaks them: whose turns cover most of each, or lie nearest to one that lies in none.

    Args:
        words: With times of the same audio as the turns.
        turns: In the order of their starts; words stay as they are where there are none.
    """
    if not turns:
        return tuple(words)
    starts = [turn.start_s for turn in turns]
    longest = max(turn.end_s - turn.start_s for turn in turns)
    return tuple(msgspec.structs.replace(word, speaker=_speaker_of(word, turns, starts, longest)) for word in words)


def _speaker_of(word: Word, turns: Sequence[Turn], starts: Sequence[float], longest: float) -> str:
    # No turn that began earlier than the longest lasts can reach the word; the one before may still be the nearest.
    first = max(0, bisect_right(starts, word.start_s - longest) - 1)
    behind = min(len(turns), bisect_right(starts, word.end_s) + 1)
    covered: dict[str, float] = {}
    for turn in turns[first:behind]:
        # Negative is how far away it is.
        shared = min(turn.end_s, word.end_s) - max(turn.start_s, word.start_s)
        best = covered.get(turn.speaker, -float("inf"))
        covered[turn.speaker] = best + shared if best > 0 and shared > 0 else max(best, shared)
    return max(covered, key=lambda speaker: covered[speaker])
