"""Cues end where people pause, fit the screen and can be read; no word is lost, and none is torn."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subtitle_samples import spoken

from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.check import Rule, check_cues
from mediafleet.kinds.subtitle.rules import CueRules, Preset, rules_for
from mediafleet.kinds.subtitle.segment import segment

TALE = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness it was the "
    "epoch of belief it was the epoch of incredulity it was the season of light it was the season of darkness"
)
NETFLIX = rules_for(Preset.NETFLIX, "en")


def lines(text: str, rules: CueRules = NETFLIX, *, language: str = "en") -> list[tuple[str, ...]]:
    """Return the lines of each cue of a text that keeps to all rules."""
    words = spoken(text, is_spaced=rules.is_spaced)
    cues = segment(words, rules, language=language)
    assert check_cues(cues, rules) == []
    return [cue.lines for cue in cues]


def test_without_any_marks_cues_still_end_where_a_clause_does() -> None:
    assert lines(TALE)[:3] == [
        ("it was the best of times", "it was the worst of times"),
        ("it was the age of wisdom", "it was the age of foolishness"),
        ("it was the epoch of belief", "it was the epoch of incredulity"),
    ]


def test_marks_come_before_all_other_hints() -> None:
    text = "When the rain had stopped, they went home. Nobody had seen the letter, which lay beneath the old piano."
    assert lines(text) == [
        ("When the rain had stopped, they went home.",),
        ("Nobody had seen the letter,", "which lay beneath the old piano."),
    ]


def test_what_fits_into_one_line_stays_in_one() -> None:
    assert lines("He was not an ill disposed young man.") == [("He was not an ill disposed young man.",)]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The whole expedition cost them nearly 14 000 000 € in the end and nobody was ever paid back.", "en"),
        ("They drove on through the wide valley for another 250 km until the engine began to fail them.", "en"),
        ("Am Ende des langen Jahres wurden es dann doch noch 1 250 kg Kartoffeln aus dem kleinen Garten.", "de"),
    ],
)
def test_numbers_and_their_units_stay_together(text: str, language: str) -> None:
    rules = rules_for(Preset.BROADCAST, language)
    number = {"en": ("14 000 000 €", "250 km"), "de": ("1 250 kg",)}[language]
    assert any(one in line for cue in lines(text, rules, language=language) for line in cue for one in number)


def test_an_abbreviation_ends_no_sentence() -> None:
    assert lines("They saw Dr. Watson. Then he left at once.")[0] == ("They saw Dr. Watson.",)
    asked = lines("They had asked for all the help of old Dr. Watson and of Mr. Holmes, who lived in Baker Street.")
    assert not any(line.endswith(("Dr.", "Mr.")) for cue in asked for line in cue)


def test_chinese_is_written_without_spaces_in_short_lines() -> None:
    rules = rules_for(Preset.NETFLIX, "zh")
    words = spoken(
        "广州市房地产中介协会分析认为今年的成交量将会继续上升,但是价格不会大幅上涨。", chars_per_s=5, is_spaced=False
    )
    cues = segment(words, rules, language="zh")
    assert check_cues(cues, rules) == []
    assert max(len(line) for cue in cues for line in cue.lines) <= 16
    assert "".join(line for cue in cues for line in cue.lines) == "".join(word.text for word in words)


def test_a_long_pause_parts_cues_whatever_is_said() -> None:
    first, second = spoken("and then the"), spoken("door opened", start_s=6.0)
    cues = segment([*first, *second], NETFLIX, language="en")
    assert [cue.lines for cue in cues] == [("and then the",), ("door opened",)]
    assert cues[0].end_ms <= first[-1].end_s * 1000 + NETFLIX.linger_ms
    assert cues[1].start_ms >= 5_500


def test_a_short_word_alone_is_shown_long_enough_by_coming_earlier() -> None:
    (cue,) = segment([Word("Yes.", 3.0, 3.2)], NETFLIX, language="en")
    assert (cue.start_ms, cue.end_ms) == (2860, 3700)


def test_a_word_that_fits_into_no_line_is_kept_whole_and_told() -> None:
    long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    cues = segment(spoken(f"Die {long} lud ein."), rules_for(Preset.NETFLIX, "de"), language="de")
    assert long in [line for cue in cues for line in cue.lines]
    assert Rule.WIDTH in [one.rule for one in check_cues(cues, NETFLIX)]


def test_frames_of_the_video_make_the_gap() -> None:
    assert (rules_for(Preset.NETFLIX, "en", fps=Fraction(25)).gap_ms, rules_for(Preset.NETFLIX, "en").gap_ms) == (
        80,
        90,
    )
    for fps in (Fraction(24000, 1001), Fraction(30), Fraction(60)):
        rules = rules_for(Preset.NETFLIX, "en", fps=fps)
        assert 2 / fps <= Fraction(rules.gap_ms, 1000) < 2 / fps + Fraction(1, 100)
        assert rules.linger_ms <= 12_000 / fps


@pytest.mark.parametrize("fps", [Fraction(1), Fraction(90_000), Fraction(1, 10)])
def test_rates_that_are_none_make_no_rules(fps: Fraction) -> None:
    rules = rules_for(Preset.NETFLIX, "en", fps=fps)
    assert 30 <= rules.gap_ms <= 100
    assert 200 <= rules.linger_ms <= 600
    assert rules_for(Preset.NETFLIX, "en", fps=Fraction(60)).linger_ms == 200


def test_nothing_said_is_nothing_shown() -> None:
    assert segment([], NETFLIX, language="en") == []


TEXTS = st.lists(
    st.text("abcdefghijklmnop", min_size=1, max_size=12).flatmap(
        lambda word: st.sampled_from([word, f"{word},", f"{word}.", f"{word}"])
    ),
    min_size=1,
    max_size=80,
)


@given(TEXTS, st.floats(4, 15), st.sampled_from([Preset.NETFLIX, Preset.KARAOKE]))
def test_speech_that_can_be_followed_breaks_no_rule(parts: list[str], speed: float, preset: Preset) -> None:
    rules, words = rules_for(preset, "en"), spoken(" ".join(parts), chars_per_s=speed)
    cues = segment(words, rules, language="en")
    assert check_cues(cues, rules) == []
    assert [word for cue in cues for line in cue.lines for word in line.split()] == parts


@given(TEXTS, st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 9)), min_size=80, max_size=80))
def test_whatever_is_spoken_however_no_word_is_lost_and_cues_follow_each_other(
    parts: list[str], times: list[tuple[float, float]]
) -> None:
    words: list[Word] = []
    at_s = 0.0
    for part, (pause_s, length_s) in zip(parts, times, strict=False):
        at_s += pause_s
        words.append(Word(part, at_s, at_s + length_s))
        at_s += length_s
    cues = segment(words, NETFLIX, language="en")
    assert [word for cue in cues for line in cue.lines for word in line.split()] == parts
    assert [cue.words for cue in cues] == [(one.words[0], one.words[1]) for one in cues]
    assert all(one.words[1] == other.words[0] for one, other in pairwise(cues))
    broken = {one.rule for one in check_cues(cues, NETFLIX)}
    # What nobody can mend without changing what is said: too much in too little time.
    assert broken <= {Rule.FAST, Rule.SHORT, Rule.GAP}
