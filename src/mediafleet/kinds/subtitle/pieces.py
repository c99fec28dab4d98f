"""Which stretches of speech one task recognizes: whole spans, so that no word lies on a seam. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.engines.voice_activity import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_S = 30.0
"""Speech that a piece has at least: a task costs about a second beside its work."""
MOST_S = 300.0
"""Speech that a piece has at most: what the crash of a node may cost."""


class Piece(msgspec.Struct, frozen=True):
    """Spans that follow each other."""

    spans: tuple[Span, ...]
    """Seconds since the beginning of the file's sound."""

    @property
    def start_s(self) -> float:
        """When its first span begins."""
        return self.spans[0].start_s

    @property
    def end_s(self) -> float:
        """When its last span ends."""
        return self.spans[-1].end_s

    @property
    def speech_s(self) -> float:
        """How long somebody speaks in it."""
        return sum(span.end_s - span.start_s for span in self.spans)


def share_spans(spans: Sequence[Span], wanted: int) -> list[Piece]:
    """Return pieces of about equal speech, in order; together they have every span once.

    Recognizers look at each span for itself, so the words are the same however many pieces there are.

    Args:
        spans: In order and apart from each other.
        wanted: How many pieces there should be, 1 or more; fewer where they would be shorter than `LEAST_S`, and more where
            they would be longer than `MOST_S`.
    """
    total_s = sum(span.end_s - span.start_s for span in spans)
    count = max(1, min(wanted, int(total_s / LEAST_S)), -int(-total_s // MOST_S))
    pieces: list[Piece] = []
    taken: list[Span] = []
    done_s = 0.0
    for span in spans:
        length_s = span.end_s - span.start_s
        border_s = total_s * (len(pieces) + 1) / count
        # Where the border falls into a span, the span goes to the side that has more of it.
        if taken and done_s + length_s / 2 > border_s:
            pieces.append(Piece(tuple(taken)))
            taken = []
        taken.append(span)
        done_s += length_s
    return [*pieces, Piece(tuple(taken))] if taken else pieces
