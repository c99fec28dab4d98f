"""What counts as speech, given what an engine heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.engines.voice_activity import Span, SpeechRule, mark_speech

PLAIN = SpeechRule(least_speech_s=0.0, least_silence_s=0.0, padding_s=0.0)


def mark(probabilities: list[float], rule: SpeechRule = PLAIN) -> list[tuple[float, float]]:
    """Return spans of frames of a tenth of a second."""
    spans = mark_speech(probabilities, frame_s=0.1, rule=rule)
    return [(round(span.start_s, 3), round(span.end_s, 3)) for span in spans]


def test_silence_has_no_spans() -> None:
    assert mark([0.0] * 50) == []
    assert mark([]) == []


def test_speech_lasts_until_it_is_clearly_over() -> None:
    assert mark([0, 0.9, 0.4, 0.4, 0.9, 0.2, 0.4, 0]) == [(0.1, 0.5)]


def test_speech_at_the_end_lasts_to_the_end() -> None:
    assert mark([0, 1, 1]) == [(0.1, 0.3)]


def test_a_short_pause_is_none_and_a_short_noise_is_no_speech() -> None:
    rule = SpeechRule(least_speech_s=0.2, least_silence_s=0.3, padding_s=0.0)
    assert mark([1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0], rule) == [(0.0, 0.6)]


def test_spans_get_room_at_both_ends_but_never_meet() -> None:
    rule = SpeechRule(least_speech_s=0.0, least_silence_s=0.0, padding_s=0.15)
    assert mark([0, 1, 0, 1, 0, 0, 0], rule) == [(0.0, 0.25), (0.25, 0.55)]


def test_a_long_speech_is_cut_where_it_is_least_like_speech() -> None:
    rule = SpeechRule(least_speech_s=0.0, least_silence_s=0.0, padding_s=0.0, longest_s=1.0)
    assert mark([1.0] * 7 + [0.5] + [1.0] * 7, rule) == [(0.0, 0.7), (0.7, 1.5)]


@given(
    st.lists(st.floats(0, 1), max_size=400),
    st.builds(
        SpeechRule,
        least_speech_s=st.floats(0, 1),
        least_silence_s=st.floats(0, 1),
        padding_s=st.floats(0, 0.5),
        longest_s=st.floats(2, 10),
    ),
)
def test_spans_are_in_order_apart_within_the_audio_and_not_too_long(chances: list[float], rule: SpeechRule) -> None:
    spans = mark_speech(chances, frame_s=0.032, rule=rule)
    edges = [edge for span in spans for edge in (span.start_s, span.end_s)]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= -1e-9 and edges[-1] <= 0.032 * len(chances) + 1e-9)
    assert all(span.end_s - span.start_s <= rule.longest_s + 1e-9 for span in spans)


def test_spans_can_be_compared() -> None:
    assert mark_speech([1.0], frame_s=0.5, rule=PLAIN) == (Span(0.0, 0.5),)
    with pytest.raises(AttributeError):
        Span(0.0, 1.0).start_s = 2.0  # type: ignore[misc]
