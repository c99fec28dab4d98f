"""Audio of any length, recognized span by span."""

from __future__ import annotations

import numpy as np
import pytest

from mediafleet.engines.audio import Audio
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, RecognizerFacts, Timing, Word, share_time
from mediafleet.engines.spoken import join_results, recognize_spans
from mediafleet.engines.voice_activity import Span


class Counting:
    """Hears one word, the number of samples, and detects Latin."""

    facts = RecognizerFacts((), detects_language=True, is_drafty=True)

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def recognize(self, audio: Audio, *, language: str | None = None, hint: str = "") -> Recognition:
        self.told.append(language)
        return Recognition((Word(str(len(audio)), 0.0, len(audio) / RATE_HZ),), "la")

    def close(self) -> None:
        """Hold nothing."""


def test_words_of_each_span_have_the_times_of_the_whole() -> None:
    recognizer = Counting()
    audio = np.zeros(4 * RATE_HZ, dtype=np.float32)
    result = recognize_spans(recognizer, audio, [Span(0.5, 1.0), Span(2.0, 3.0)])
    assert result.words == (Word("8000", 0.5, 1.0), Word("16000", 2.0, 3.0))
    assert result.text == "8000 16000"


def test_what_is_detected_in_the_first_span_holds_for_all() -> None:
    recognizer = Counting()
    audio = np.zeros(RATE_HZ, dtype=np.float32)
    assert recognize_spans(recognizer, audio, [Span(0.0, 0.2), Span(0.4, 0.6)]).language == "la"
    assert recognizer.told == [None, "la"]


def test_silence_has_no_words() -> None:
    result = recognize_spans(Counting(), np.zeros(RATE_HZ, dtype=np.float32), [], language="en")
    assert result == Recognition((), "en", is_drafty=True)


def test_a_joined_result_is_as_good_as_its_worst_part() -> None:
    good, bad = Recognition((), "en"), Recognition((), "en", timing=Timing.SEGMENT, is_drafty=True)
    assert join_results([good, bad, good]) == Recognition((), "en", timing=Timing.SEGMENT, is_drafty=True)


def test_words_without_times_share_their_sentences_by_length() -> None:
    words = share_time(" we were ", start_s=1.0, end_s=4.0)
    assert [word.text for word in words] == ["we", "were"]
    assert [edge for word in words for edge in (word.start_s, word.end_s)] == pytest.approx([1.0, 2.0, 2.0, 4.0])
    assert share_time("  ", start_s=0.0, end_s=1.0) == ()
