"""Speech is shared out in whole spans, about evenly, and none is lost or doubled."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mediafleet.engines.voice_activity import Span
from mediafleet.kinds.subtitle.pieces import MOST_PIECES, MOST_S, count_pieces, share_spans


def spans(*lengths_s: float, pause_s: float = 1.0) -> list[Span]:
    found: list[Span] = []
    at_s = 0.0
    for length_s in lengths_s:
        found.append(Span(at_s, at_s + length_s))
        at_s += length_s + pause_s
    return found


def test_as_many_pieces_as_wanted_with_equal_speech() -> None:
    pieces = share_spans(spans(*[10.0] * 60), 4)
    assert [piece.speech_s for piece in pieces] == [150.0] * 4
    assert (pieces[1].start_s, pieces[1].end_s) == (165.0, 329.0)


def test_short_speech_is_one_piece_and_long_speech_some_of_half_a_minute() -> None:
    assert [count_pieces(seconds) for seconds in (0, 12, 44, 61, 600)] == [1, 1, 1, 2, 20]
    assert share_spans([], 4) == []


def test_very_long_speech_is_cut_so_that_no_piece_is_large() -> None:
    assert count_pieces(2 * 3600) == MOST_PIECES
    assert 12 * 3600 / count_pieces(12 * 3600) <= MOST_S


@given(st.lists(st.floats(0.3, 30), max_size=80), st.integers(1, 20))
def test_every_span_is_in_one_piece_and_pieces_are_about_equal(lengths_s: list[float], count: int) -> None:
    given_spans = spans(*lengths_s)
    pieces = share_spans(given_spans, count)
    assert [span for piece in pieces for span in piece.spans] == given_spans
    assert all(one.end_s < other.start_s for one, other in pairwise(pieces))
    assert len(pieces) <= count
    total_s = sum(lengths_s)
    # By one span at each end.
    assert all(piece.speech_s <= total_s / count + 2 * 30 for piece in pieces)
