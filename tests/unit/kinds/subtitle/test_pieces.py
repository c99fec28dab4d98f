"""Speech is shared out in whole spans, about evenly, and none is lost or doubled."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mediafleet.engines.voice_activity import Span
from mediafleet.kinds.subtitle.pieces import LEAST_S, MOST_S, share_spans


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


def test_short_files_are_not_cut_to_crumbs() -> None:
    assert len(share_spans(spans(5.0, 8.0, 4.0), 8)) == 1
    assert len(share_spans(spans(*[10.0] * 7), 8)) == 2
    assert share_spans([], 4) == []


def test_long_files_are_cut_also_for_one_node_since_it_may_crash() -> None:
    pieces = share_spans(spans(*[20.0] * 90), 1)
    assert len(pieces) == 6
    assert max(piece.speech_s for piece in pieces) <= MOST_S


@given(st.lists(st.floats(0.3, 30), max_size=80), st.integers(1, 20))
def test_every_span_is_in_one_piece_and_pieces_are_about_equal(lengths_s: list[float], wanted: int) -> None:
    given_spans = spans(*lengths_s)
    pieces = share_spans(given_spans, wanted)
    assert [span for piece in pieces for span in piece.spans] == given_spans
    assert all(one.end_s < other.start_s for one, other in pairwise(pieces))
    total_s = sum(span.end_s - span.start_s for span in given_spans)
    assert len(pieces) <= max(1, min(wanted, total_s / LEAST_S), total_s // MOST_S + 1)
    # By one span at each end.
    assert all(abs(piece.speech_s - total_s / len(pieces)) <= 2 * 30 + total_s / 20 for piece in pieces)
