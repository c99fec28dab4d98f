"""What nobody said is taken out and told; what somebody did say stays, also where he repeats himself."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subtitle_samples import spoken

from mediafleet.engines.recognition import Word
from mediafleet.engines.voice_activity import Span
from mediafleet.kinds.subtitle.clean import clean, find_loops


def said(text: str) -> str:
    return " ".join(word.text for word in clean(spoken(text)).words)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("and then " + "I don't know what to do. " * 7 + "at all", "and then I don't know what to do. at all"),
        ("you you you you you you you", "you"),
        ("Thank you. thank you, Thank you. thank you thank you and good night", "Thank you. and good night"),
    ],
)
def test_a_recognizer_that_repeats_itself_is_heard_once(text: str, left: str) -> None:
    assert said(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "no no no no not there",
        "row row row your boat gently down the stream merrily merrily merrily merrily life is but a dream",
        "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness",
    ],
)
def test_what_people_repeat_stays(text: str) -> None:
    assert said(text) == text


def test_words_in_silence_are_invented() -> None:
    words = [Word("hello", 1.0, 1.4), Word("subscribe", 5.0, 5.6), Word("there", 1.5, 1.9)]
    cleaned = clean(sorted(words, key=lambda word: word.start_s), [Span(0.8, 2.0)])
    assert [word.text for word in cleaned.words] == ["hello", "there"]
    assert [(word.text, why) for word, why in cleaned.dropped] == [("subscribe", "nobody speaks there")]
    assert clean(words).dropped == (), "where nobody looked nothing is known"


def test_a_sentence_within_a_blink_is_invented() -> None:
    rushed = [
        Word(text, 3.0 + i / 100, 3.01 + i / 100)
        for i, text in enumerate(["please", "like", "and", "share", "this", "video"])
    ]
    words = [*spoken("Good evening.", start_s=0.2), *rushed]
    cleaned = clean(words)
    assert [word.text for word in cleaned.words] == ["Good", "evening."]
    assert {why for _, why in cleaned.dropped} == {"nobody speaks so fast"}


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=60))
def test_nothing_but_repeats_is_taken_out(texts: list[str]) -> None:
    loops = find_loops(texts)
    dropped = {number for first, behind in loops for number in range(first, behind)}
    for first, behind in loops:
        assert 0 < first < behind <= len(texts)
        assert set(texts[first:behind]) <= set(texts[:first])
    assert all(one[1] <= other[0] for one, other in pairwise(loops))
    # What is left has no loop any more where something was taken out of nothing else.
    left = [text for number, text in enumerate(texts) if number not in dropped]
    assert set(left) == set(texts)


def test_a_last_word_that_ends_with_its_span_was_spoken() -> None:
    """Recognizers let it end behind the sound, where it is cut to nothing; and samples are rounded."""
    words = [Word("a", 0.0, 0.4), Word("last", 1.00004, 1.00004)]
    assert clean(words, [Span(0.0, 1.0)]).words == tuple(words)


def test_a_film_of_hours_is_cleaned_in_a_moment() -> None:
    """Each span is looked at once or twice: 30,000 words against 3,000 spans are no 90 million comparisons."""
    spans = [Span(4.0 * number, 4.0 * number + 3.0) for number in range(3_000)]
    looks = Counter[str]()

    class Counted(Span, frozen=True):
        def __getattribute__(self, name: str) -> object:
            looks[name] += name in {"start_s", "end_s"}
            return super().__getattribute__(name)

    counted = [Counted(span.start_s, span.end_s) for span in spans]
    words = [Word(f"w{number}", 0.4 * number, 0.4 * number + 0.3) for number in range(30_000)]
    clean(words, counted)
    assert looks.total() < 12 * (len(words) + len(spans))
