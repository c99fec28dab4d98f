"""Which stretches of speech one task recognizes: whole spans, so that no word lies on a seam. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.engines.voice_activity import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

USUAL_S = 30.0
"""Speech in a piece: some seconds of work on a processor, what the crash of a node may cost; and so short that no node waits long for
the last one."""
MOST_PIECES = 64
"""More would only be tasks: fleets that could use them have other films to do."""
MOST_S = 300.0
"""Speech that a piece has at most, about, even where there are more for it: 10 MB of sound."""


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
        return _length_of(self.spans)


def count_pieces(total_s: float) -> int:
    """Return into how many pieces so much speech is cut, seconds."""
    wanted = min(MOST_PIECES, round(total_s / USUAL_S))
    return max(1, wanted, -int(-total_s // MOST_S))


def share_channels(channels: Sequence[Sequence[Span]], count: int) -> list[list[Piece]]:
    """Return the pieces of each channel; those in which somebody speaks more have more.

    Args:
        channels: Spans of each, in order and apart from each other.
        count: How many pieces in all, about; by the length of speech if 0.
    """
    lengths = [_length_of(spans) for spans in channels]
    total_s = sum(lengths)
    count = count or count_pieces(total_s)
    shares = [max(1, round(count * length_s / total_s)) if length_s else 1 for length_s in lengths]
    return [share_spans(spans, share) for spans, share in zip(channels, shares, strict=True)]


def share_spans(spans: Sequence[Span], count: int) -> list[Piece]:
    """Return so many pieces of about equal speech, in order; together they have every span once.

    Recognizers look at each span for itself, so the words are the same however many pieces there are.

    Args:
        spans: In order and apart from each other.
        count: How many, 1 or more; fewer where there are not as many spans.
    """
    total_s = _length_of(spans)
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


def _length_of(spans: Sequence[Span]) -> float:
    return sum(span.end_s - span.start_s for span in spans)
