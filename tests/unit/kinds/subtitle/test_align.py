"""A text that exists gets the times of what is spoken, also where the recognizer heard half of it wrong."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subtitle_samples import spoken

from mediafleet.domain.errors import InputError
from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.align import align, find_shift, move, part_words, words_of
from mediafleet.kinds.subtitle.cue import Cue

TEXT = (
    "It was the best of times, it was the worst of times. It was the age of wisdom; it was the age of foolishness. "
    "It was the epoch of belief, and it was the epoch of incredulity."
)
HEARD = spoken(TEXT)
LONG = [f"word{number} and{number}" for number in range(400)]


def half_wrong(words: list[Word]) -> list[Word]:
    """Return what a poor recognizer makes of it: words replaced, left out and added."""
    chance = random.Random(7)  # noqa: S311 - a test needs no secrets
    made: list[Word] = []
    for word in words:
        luck = chance.random()
        if luck < 0.25:
            made.append(Word("mumble", word.start_s, word.end_s))
        elif luck > 0.1:
            made.append(word)
        if luck > 0.95:
            made.append(Word("uh", word.end_s, word.end_s))
    return made


def cues(*, scale: float = 1.0, offset_s: float = 0.0) -> tuple[list[Cue], list[Word]]:
    """Return cues each 3 s, and their words as they are heard in a film that runs differently."""
    shown = [Cue(3_000 * number, 3_000 * number + 2_000, (text,)) for number, text in enumerate(LONG)]
    heard: list[Word] = []
    for number, text in enumerate(LONG):
        for step, part in enumerate(text.split()):
            start_s = (3 * number + step * 0.5) * scale + offset_s
            heard.append(Word(part, start_s, start_s + 0.4))
    return shown, heard


def test_words_that_were_heard_have_their_times_and_the_texts_spelling() -> None:
    aligned = align(TEXT.split(), [Word(word.text.lower().strip(".,;"), word.start_s, word.end_s) for word in HEARD])
    assert [word.text for word in aligned.words] == TEXT.split()
    assert all(aligned.is_heard)
    assert [word.start_s for word in aligned.words] == [word.start_s for word in HEARD]


def test_half_of_the_words_are_enough() -> None:
    aligned = align(TEXT.split(), half_wrong(HEARD))
    assert [word.text for word in aligned.words] == TEXT.split()
    assert not all(aligned.is_heard)
    off = [abs(one.start_s - other.start_s) for one, other in zip(aligned.words, HEARD, strict=True)]
    assert max(off) < 0.6


@given(st.lists(st.booleans(), min_size=len(HEARD), max_size=len(HEARD)).filter(lambda kept: sum(kept) > 20))
def test_times_never_go_back_whatever_was_not_heard(kept: list[bool]) -> None:
    heard = [word for word, is_kept in zip(HEARD, kept, strict=True) if is_kept]
    try:
        aligned = align(TEXT.split(), heard)
    except InputError:
        return
    assert [word.text for word in aligned.words] == TEXT.split()
    starts = [word.start_s for word in aligned.words]
    assert starts == sorted(starts)
    assert all(word.start_s <= word.end_s for word in aligned.words)


def test_the_text_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="only 0 were heard"):
        align(["Call", "me", "Ishmael", "some", "years", "ago", "never", "mind", "how", "long", "precisely"], HEARD)


@pytest.mark.parametrize(("scale", "offset_s"), [(1.0, 0.0), (1.0, -1.25), (1.0, 62.5), (25 / 24, 0.8), (24 / 25, 3.0)])
def test_cues_that_are_off_or_drift_are_put_right(scale: float, offset_s: float) -> None:
    shown, heard = cues(scale=scale, offset_s=offset_s)
    shift = find_shift(shown, align(words_of(shown, "en"), half_wrong(heard)), "en")
    assert shift.scale == pytest.approx(scale, abs=1e-4)
    assert shift.offset_s == pytest.approx(offset_s, abs=0.05)
    moved = move(shown, shift)
    assert moved[-1].start_ms == pytest.approx((3_000 * 399) * scale + offset_s * 1000, abs=60)


def test_cues_before_the_beginning_are_left_out() -> None:
    shown, heard = cues(offset_s=-10.0)
    kept = [word for word in heard if word.start_s >= 0]
    moved = move(shown, find_shift(shown, align(words_of(shown, "en"), kept), "en"))
    assert len(moved) == len(shown) - 3
    assert moved[0].start_ms == 0


def test_two_words_that_are_not_equally_late_are_of_another_cut() -> None:
    shown, heard = cues()
    late = [Word(word.text, word.start_s + 9.0, word.end_s + 9.0) for word in heard[2:4]]
    with pytest.raises(InputError, match="2 of 2 cues"):
        find_shift(shown[:2], align(words_of(shown[:2], "en"), [*heard[:2], *late]), "en")


def test_another_cut_is_refused() -> None:
    shown, heard = cues(scale=1.2)
    with pytest.raises(InputError, match="it is of another cut"):
        find_shift(shown, align(words_of(shown, "en"), heard), "en")


@pytest.mark.parametrize("scale", [1.0, 25 / 24, 24 / 25])
def test_a_film_of_half_a_minute_is_enough_to_tell_a_drift(scale: float) -> None:
    shown, heard = cues(scale=scale, offset_s=0.5)
    shown, heard = shown[:10], heard[:20]
    shift = find_shift(shown, align(words_of(shown, "en"), heard), "en")
    assert shift.is_judged
    assert shift.scale == pytest.approx(scale, abs=1e-3)
    assert shift.offset_s == pytest.approx(0.5, abs=0.05)


@given(st.lists(st.floats(-0.25, 0.25), min_size=12, max_size=12))
def test_errors_of_a_short_film_are_not_taken_for_a_drift_that_makes_it_worse(errors: list[float]) -> None:
    shown, heard = cues()
    shown = shown[:12]
    moved = [
        Word(word.text, word.start_s + 1 + errors[number // 2], word.end_s + 1)
        for number, word in enumerate(heard[:24])
    ]
    shift = find_shift(shown, align(words_of(shown, "en"), moved), "en")
    last_s = shown[-1].start_ms / 1000
    assert abs(last_s * shift.scale + shift.offset_s - last_s - 1) <= 1.0


def test_too_little_to_tell_a_drift_by_is_said() -> None:
    shown, heard = cues(scale=25 / 24, offset_s=2.0)
    shift = find_shift(shown[:3], align(words_of(shown[:3], "en"), heard[:6]), "en")
    assert (shift.scale, shift.is_judged) == (1.0, False)
    assert shift.offset_s == pytest.approx(2.1, abs=0.05)


def test_cues_that_begin_with_what_was_not_heard_are_aligned_by_their_other_words() -> None:
    shown = [Cue(1_000, 3_000, ("Ehm rather splendid",)), Cue(6_000, 8_000, ("Uhm thoroughly miserable",))]
    heard = [
        Word("rather", 4.5, 4.9),
        Word("splendid", 5.0, 5.8),
        Word("thoroughly", 9.4, 10.0),
        Word("bad", 10.1, 10.9),
    ]
    shift = find_shift(shown, align(words_of(shown, "en"), heard), "en")
    assert shift.offset_s == pytest.approx(3.1, abs=0.3)


def test_what_was_heard_wrong_is_where_something_was_heard() -> None:
    heard = [
        Word("one", 1.0, 1.4),
        Word("two", 1.5, 2.0),
        Word("free", 5.4, 5.9),
        Word("fore", 5.9, 6.4),
        Word("five", 9.0, 9.5),
    ]
    heard = [*heard, Word("six", 9.5, 10.0)]
    words = align(["one", "two", "three", "four", "five", "six"], heard).words
    assert [word.start_s for word in words] == pytest.approx([1.0, 1.5, 5.4, 5.95, 9.0, 9.5], abs=0.1)
    assert words[2].end_s <= words[3].start_s


@pytest.mark.parametrize(("at_s", "more_s"), [(160.0, 5.0), (600.0, -4.0), (160.0, 30.0)])
def test_a_text_of_a_film_with_something_cut_in_or_out_is_refused(at_s: float, more_s: float) -> None:
    shown, heard = cues()
    shown, heard = shown[:240], heard[:480]
    cut = [
        Word(word.text, word.start_s + by, word.end_s + by)
        for word in heard
        for by in [more_s if word.start_s > at_s else 0.0]
    ]
    cut.sort(key=lambda word: word.start_s)
    with pytest.raises(InputError, match=r"another cut.*plain text"):
        find_shift(shown, align(words_of(shown, "en"), half_wrong(cut)), "en")


def test_scripts_without_spaces_are_aligned_character_by_character() -> None:
    texts = ["雨停了他们就回家", "没有人看见那封信", "它在旧钢琴下面", "第二天早上", "谁也没有说话"]
    shown = [Cue(4_000 * number, 4_000 * number + 2_000, (text,)) for number, text in enumerate(texts)]
    heard = [
        Word(text[at : at + 2], 4 * number + 2.5 + at * 0.2, 4 * number + 2.5 + at * 0.2 + 0.4)
        for number, text in enumerate(texts)
        for at in range(0, len(text), 2)
    ]
    shift = find_shift(shown, align(words_of(shown, "zh"), part_words(heard, "zh")), "zh")
    assert (shift.scale, shift.offset_s) == (1.0, pytest.approx(2.5, abs=0.05))
