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


@pytest.mark.timeout(60)  # It would take hours.
def test_text_that_is_no_speech_takes_no_time_that_grows_with_its_square() -> None:
    endless = Cue(0, 5000, (" ".join(["really"] * 50_000),))
    assert shorten([endless], RULES, "en") == ([endless], 0)


@pytest.mark.parametrize(
    ("language", "text", "chars_per_s", "expected"),
    [
        ("en", "I do not think that you are right.", 17.4, "I don't think that you are right."),
        ("en", "Well, she was really very late again.", 18.0, "Well, she was really late again."),
        ("en", "Well, she was late, and the dog ran away.", 18.9, "She was late, and the dog ran away."),
        ("en", "He put the letter under the door.", 18.5, "He put the letter under door."),
        ("en", "Nobody knows what becomes of them.", 18.5, "Nobody knows what becomes of…"),
        ("en", "They waited, uh, for a long time.", 18.5, "They waited, for a long time."),
        ("es", "Yo tenía un perro muy grande.", 18.0, "Yo tenía un perro grande."),
        ("de", "Es ist sehr kalt in diesem Garten.", 18.0, "Es ist kalt in diesem Garten."),
        ("fr", "Elle avait vraiment froid.", 19.0, "Elle avait froid."),
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


@pytest.mark.parametrize("chars_per_s", [17.3, 18.0, 19.0, 20.0, 22.0])
@pytest.mark.parametrize(
    ("language", "text", "stays"),
    [
        ("en", "They said they would and they did not.", "not"),
        ("en", "They came and perhaps there were 25.", "25"),
        ("en", "The number that you want is 555 9876", "9876"),
        ("en", "I presume that you are Doctor Livingstone?", "Livingstone"),
        ("en", "He is not really dead, he is only asleep.", "really"),
        ("en", "He came to the party as well as Juan", "well"),
        ("en", "She sings very well", "well"),
        ("en", "It was not just, and he knew it.", "just"),
        ("en", "We will follow plan A and then go home.", " A "),
        ("en", "He only wanted the one thing that he saw.", "one"),
        ("en", "We all saw the Who in London last year.", "the Who"),
        ("es", "No es nada bueno lo que me dices ahora.", "bueno"),
        ("es", "Ella tenía solo un hijo y una casa vieja.", "un hijo"),
        ("es", "Gané un millón y lo he perdido todo.", "un millón"),
        ("de", "Ich sah drei mal ein Prozent davon.", "drei mal ein Prozent"),
        ("de", "Halt dich fest und komm mit mir mit.", "Halt"),
        ("de", "Und wir wollen es nicht.", "nicht"),
        ("de", "Er sah nur eine Tür und ging hinein.", "eine Tür"),
        ("de", "Das ist das Haus, in dem wir wohnen wollen.", "in dem"),
        ("fr", "Il y a des gens qui ne parlent pas.", "pas"),
        ("en", "The whole crew that sailed with us that day was thirty-one.", "thirty-one"),
        ("en", "You may think that, but I tell you I cannot.", "I can"),
        ("en", "She told me that she was born in “Paris”", "Paris"),
        ("en", "Of all of us who went there he was the fourteenth.", "fourteenth"),
        ("de", "Auf dem Schiff waren wir im Ganzen zweiundvierzig.", "zweiundvierzig"),
        ("de", "Da sagte er ganz laut und deutlich nein.", "nein"),
        ("es", "En el barco iban con nosotros doscientos.", "doscientos"),
        ("fr", "Sur le bateau nous étions vingt-cinq.", "vingt-cinq"),
        ("nl", "Niemand weet het, en ik ook niet.", "niet"),
    ],
)
def test_numbers_names_and_what_turns_the_meaning_stay(
    language: str, text: str, stays: str, chars_per_s: float
) -> None:
    (made,), _ = shorten([cue(text, chars_per_s=chars_per_s)], RULES, language)
    said = " ".join(made.lines)
    assert stays in said


def test_a_text_is_not_cut_where_what_is_left_would_say_something_else() -> None:
    text = "Why, they did not know them"
    (made,), _ = shorten([cue(text, chars_per_s=20.0)], RULES, "en")
    assert " ".join(made.lines) == "Why, they didn't know…"
    negated = cue("And so we have, as I said, not him", chars_per_s=21.0)
    assert shorten([negated], RULES, "en") == ([negated], 0)


def test_a_mark_at_the_end_of_a_sentence_stays_when_its_word_goes() -> None:
    (made,), _ = shorten([cue("She was late, uh. Nobody saw him.", chars_per_s=18.5)], RULES, "en")
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
