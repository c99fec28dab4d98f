"""What is too fast to be read is made shorter, no more than it takes, and what fits is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.kinds.subtitle.check import Rule, check_cues
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.rules import Preset, rules_for
from mediafleet.kinds.subtitle.shorten import shorten

RULES = rules_for(Preset.NETFLIX, "en")


def cue(*lines: str, chars_per_s: float, speaker: str = "") -> Cue:
    length_ms = round(sum(map(len, lines)) / chars_per_s * 1000)
    return Cue(1000, 1000 + length_ms, lines, (1000, 1000 + length_ms), (0, 9), speaker)


@pytest.mark.parametrize(
    ("language", "text", "chars_per_s", "expected"),
    [
        ("en", "I do not think that you are right.", 17.4, "I don't think that you are right."),
        ("en", "Well, she was really very late again.", 18.0, "Well, she was really late again."),
        ("en", "Well, she was late, and the dog ran away.", 18.9, "She was late, and the dog ran away."),
        ("en", "He put the letter under the door.", 18.5, "He put the letter under door."),
        ("en", "Nobody knows what becomes of them.", 18.5, "Nobody knows what becomes of…"),
        ("es", "Yo tenía un perro muy grande.", 18.0, "Yo tenía un perro grande."),
        ("de", "Er ging mit ihr in dem Garten auf und ab.", 17.6, "Er ging mit ihr im Garten auf und ab."),
        ("fr", "Elle avait vraiment froid.", 19.0, "Elle avait froid."),
        ("nl", "Niemand weet wat er van hen geworden is.", 18.0, "Niemand weet wat er van hen geworden…"),
    ],
)
def test_forms_come_first_then_words_that_nobody_misses(
    language: str, text: str, chars_per_s: float, expected: str
) -> None:
    (made,), count = shorten([cue(text, chars_per_s=chars_per_s)], RULES, language)
    assert (" ".join(made.lines), count) == (expected, 1)
    assert made.words == (0, 0), "karaoke would light up words that are not there"


def test_a_form_that_is_stressed_is_not_used() -> None:
    text = "They asked who was right, and I said: you are."
    (made,), _ = shorten([cue(text, chars_per_s=17.5)], RULES, "en")
    assert " ".join(made.lines).endswith("…")


def test_a_mark_at_the_end_of_a_sentence_stays_when_its_word_goes() -> None:
    (made,), _ = shorten([cue("She was late indeed. Nobody saw him.", chars_per_s=18.0)], RULES, "en")
    assert " ".join(made.lines) == "She was late. Nobody saw him."


def test_who_speaks_far_too_fast_is_left_alone_and_told() -> None:
    fast = cue("Nobody ever knew", chars_per_s=30.0)
    assert shorten([fast], RULES, "en") == ([fast], 0)
    assert [one.rule for one in check_cues([fast], RULES)][:1] == [Rule.SHORT]


def test_without_rules_nothing_is_changed() -> None:
    fast = cue("I do not know", chars_per_s=18.0)
    assert shorten([fast], None, "en") == ([fast], 0)


@given(
    st.lists(
        st.sampled_from(
            ["the", "a", "very", "I", "do", "not", "know", "them", "and", "well,", "house.", "runs", "is", "it", "that"]
        ),
        min_size=3,
        max_size=14,
    ),
    st.floats(8.0, 22.0),
)
def test_what_is_changed_can_be_read_and_what_can_be_read_is_not_changed(words: list[str], chars_per_s: float) -> None:
    given_cue = cue(" ".join(words)[:42].strip(), chars_per_s=chars_per_s, speaker="Anna")
    (made,), count = shorten([given_cue], RULES, "en")
    is_fast = any(one.rule is Rule.FAST for one in check_cues([given_cue], RULES))
    assert count == (made != given_cue)
    assert is_fast or made == given_cue
    if count:
        assert not any(one.rule in {Rule.FAST, Rule.WIDTH, Rule.LINES, Rule.EMPTY} for one in check_cues([made], RULES))
        assert (made.start_ms, made.end_ms, made.spoken_ms, made.speaker) == (
            given_cue.start_ms,
            given_cue.end_ms,
            given_cue.spoken_ms,
            "Anna",
        )
