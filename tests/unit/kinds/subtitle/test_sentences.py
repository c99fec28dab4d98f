"""Sentences are translated whole, and their translations stand in the same cues at the same times."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subtitle_samples import spoken

from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.rules import Preset, rules_for
from mediafleet.kinds.subtitle.segment import segment
from mediafleet.kinds.subtitle.sentences import find_sentences, split_words, spread

ENGLISH, SPANISH = rules_for(Preset.NETFLIX, "en"), rules_for(Preset.NETFLIX, "es")
STORY = segment(
    spoken(
        "When the rain had stopped, which nobody had hoped for any more, they went home along the river and said no word. "
        "Why? Nobody had seen the letter."
    ),
    ENGLISH,
    language="en",
)


def cue(start_s: float, text: str, speaker: str = "") -> Cue:
    start_ms = round(start_s * 1000)
    return Cue(start_ms, start_ms + 2000, (text,), (start_ms, start_ms + 2000), speaker=speaker)


def test_a_sentence_is_found_over_several_cues_and_several_in_one() -> None:
    found = find_sentences(STORY, "en")
    assert [sentence.text for sentence in found] == [
        "When the rain had stopped, which nobody had hoped for any more, they went home along the river and said no word.",
        "Why?",
        "Nobody had seen the letter.",
    ]
    assert len(found[0].parts) > 1
    assert sum(chars for _, chars in found[0].parts) == len(found[0].text.replace(" ", ""))


@pytest.mark.parametrize(
    ("cues", "texts"),
    [
        ([cue(0, "and then"), cue(2.1, "nothing")], ["and then nothing"]),
        ([cue(0, "and then"), cue(9, "nothing")], ["and then", "nothing"]),
        ([cue(0, "and then", "A"), cue(2.1, "nothing", "B")], ["and then", "nothing"]),
        ([cue(0, "Mr. Smith"), cue(2.1, "is here.")], ["Mr. Smith is here."]),
        ([cue(2.1 * number, "on") for number in range(8)], ["on on on on on on", "on on"]),
    ],
)
def test_a_long_pause_another_speaker_or_no_end_at_all_ends_a_sentence(cues: list[Cue], texts: list[str]) -> None:
    assert [sentence.text for sentence in find_sentences(cues, "en")] == texts


def test_chinese_has_no_blanks_between_its_cues() -> None:
    assert find_sentences([cue(0, "\u6211\u4eec"), cue(2.1, "\u56de\u5bb6\u3002")], "zh")[0].text == (
        "\u6211\u4eec\u56de\u5bb6\u3002"
    )
    assert split_words("\u6211\u7528 Python 3.11\uff0c\u597d\u3002", "zh") == [
        "\u6211",
        "\u7528 ",
        "Python ",
        "3.11\uff0c",
        "\u597d\u3002",
    ]


def test_times_stay_and_parts_are_as_long_as_their_cues() -> None:
    sentences = find_sentences(STORY, "en")
    spanish = [
        "Cuando la lluvia hubo cesado, lo que nadie esperaba ya, volvieron a casa junto al río y no dijeron palabra.",
        "¿Por qué?",
        "Nadie había visto la carta.",
    ]
    made = spread(STORY, sentences, spanish, rules=SPANISH, language="es")
    assert [(one.start_ms, one.end_ms) for one in made] == [(one.start_ms, one.end_ms) for one in STORY]
    assert " ".join(line for one in made for line in one.lines) == " ".join(spanish)
    assert all(len(line) <= SPANISH.line_chars for one in made for line in one.lines)


@given(st.lists(st.text("abc ,.", max_size=120), min_size=3, max_size=3))
def test_no_word_of_a_translation_is_lost_whatever_it_is(texts: list[str]) -> None:
    made = spread(STORY, find_sentences(STORY, "en"), texts, rules=SPANISH, language="es")
    assert " ".join(line for one in made for line in one.lines).split() == " ".join(texts).split()
    times = {(one.start_ms, one.end_ms) for one in STORY}
    assert all((one.start_ms, one.end_ms) in times for one in made)


def test_a_translation_that_is_far_too_long_stays_in_one_cue_that_can_be_seen() -> None:
    short = [Cue(1_000, 1_834, ("Why?",), (1_000, 1_834))]
    (made,) = spread(short, find_sentences(short, "en"), ["palabra " * 60], rules=SPANISH, language="es")
    assert (made.start_ms, made.end_ms) == (1_000, 1_834)


def test_one_that_has_no_room_in_a_long_cue_becomes_several_in_its_time() -> None:
    long = [Cue(0, 6_000, ("Why?",), (0, 6_000))]
    made = spread(long, find_sentences(long, "en"), ["palabra " * 16], rules=SPANISH, language="es")
    assert len(made) == 2
    assert (made[0].start_ms, made[-1].end_ms) == (0, 6_000)
    assert made[1].start_ms - made[0].end_ms == SPANISH.gap_ms


def test_two_who_speak_in_one_cue_have_a_line_each() -> None:
    (both,) = [Cue(1000, 3500, ("- Are you coming?", "- No, never."))]
    sentences = find_sentences([both], "en")
    (made,) = spread([both], sentences, ["- ¿Vienes?", "- No, nunca."], rules=SPANISH, language="es")
    assert made.lines == ("- ¿Vienes?", "- No, nunca.")
    (flat,) = spread([both], sentences, ["- ¿Vienes?", "No, nunca."], rules=SPANISH, language="es")
    assert flat.lines == ("- ¿Vienes? No, nunca.",)


@pytest.mark.parametrize(
    "text",
    ["Il y avait donc 1 000 000 personnes", "Ils ont vu 25 km de route et 10 000 000 de gens", "10 000 000 000 000"],
)
def test_a_number_is_never_parted_over_cues(text: str) -> None:
    cues = [
        Cue(1000, 2500, ("There were one million",)),
        Cue(2600, 4100, ("people in that town",)),
        Cue(4200, 5500, ("at the time.",)),
    ]
    made = spread(cues, find_sentences(cues, "en"), [text], rules=rules_for(Preset.NETFLIX, "fr"), language="fr")
    numbers = re.findall(r"\d[\d ]*\d", text)
    assert numbers
    shown = [" ".join(cue.lines) for cue in made]
    assert all(any(number in line for line in shown) for number in numbers), shown


def test_sounds_songs_and_who_answers_are_no_part_of_a_sentence() -> None:
    texts = ["[door opens]", "John: 5 * 3", "♪ la la ♪", "and then", "- What?", "- So it", "is."]
    found = find_sentences([cue(2.0 * number, text) for number, text in enumerate(texts)], "en")
    assert [sentence.text for sentence in found] == [*texts[:5], "- So it is."]


def test_text_without_end_is_translated_in_parts() -> None:
    endless = [Cue(0, 7000, (" ".join(["word"] * 20_000),))]
    found = find_sentences(endless, "en")
    assert max(len(sentence.text.split()) for sentence in found) < 200
    assert sum(len(sentence.text.split()) for sentence in found) == 20_000


@pytest.mark.parametrize("texts", ["a " + "b" * 200, "b" * 200 + " a", "a " + "b" * 60 + " a " + "b" * 90])
def test_a_short_word_beside_one_that_is_longer_than_a_line_can_be_read(texts: str) -> None:
    made = spread(
        long := [Cue(0, 7_000, ("Why?",), (0, 7_000))],
        find_sentences(long, "en"),
        [texts],
        rules=SPANISH,
        language="es",
    )
    assert len(made) > 1
    assert all(one.length_ms >= SPANISH.least_ms for one in made)
    assert all(before.end_ms < after.start_ms for before, after in pairwise(made))
