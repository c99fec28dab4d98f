"""Who speaks when: by channels, by voices, and what becomes of words that are said at once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from subtitle_samples import spoken

from mediafleet.engines.diarization import Turn, name_speakers
from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.check import Rule, check_cues
from mediafleet.kinds.subtitle.rules import Preset, rules_for
from mediafleet.kinds.subtitle.segment import segment
from mediafleet.kinds.subtitle.turns import LEVELS_PER_S, Hearing, find_own, mute_others, name_turns, part_layers

RULES = rules_for(Preset.NETFLIX, "en")


def by(speaker: str, words: list[Word]) -> list[Word]:
    return [msgspec.structs.replace(word, speaker=speaker) for word in words]


def hearing(*levels_db: float, chance: float = 1.0) -> Hearing:
    return Hearing([chance] * len(levels_db), 1 / LEVELS_PER_S, list(levels_db))


def test_channels_that_carry_one_sound_are_listened_to_once() -> None:
    one = [-20.0, -40.0, -18.0, -70.0, -25.0] * 10
    # The same, softer; and another.
    softer = [level - 6.2 for level in one]
    other = [-70.0, -20.0, -50.0, -15.0, -70.0] * 10
    assert find_own([hearing(*one), hearing(*softer), hearing(*other)]) == [0, 2]
    assert find_own([hearing(*other), hearing(*one)]) == [0, 1]
    assert find_own([hearing(*([-90.0] * 9)), hearing(*([-95.0] * 9))]) == [0]


def test_what_a_microphone_hears_of_another_speaker_is_no_speech() -> None:
    first, second = mute_others([hearing(-20.0, -45.0, -22.0), hearing(-42.0, -21.0, -18.0)])
    assert (first.probabilities, second.probabilities) == ([1.0, 0.0, 1.0], [0.0, 1.0, 1.0])


def test_voices_are_named_in_the_order_in_which_they_begin() -> None:
    turns = [Turn(5.0, 6.0, "b"), Turn(1.0, 2.0, "x"), Turn(3.0, 4.0, "b")]
    assert [turn.speaker for turn in name_turns(turns, ("Anna",))] == ["Anna", "Speaker 2", "Speaker 2"]


def test_a_word_is_said_by_whom_most_of_it_belongs_to_or_who_is_nearest() -> None:
    turns = [Turn(0.0, 10.0, "Anna"), Turn(4.0, 5.0, "Ben"), Turn(12.0, 13.0, "Ben")]
    words = [
        Word("a", 1.0, 2.0),
        Word("b", 3.8, 4.1),
        Word("c", 10.5, 10.8),
        Word("d", 11.5, 11.8),
        Word("e", 20.0, 21.0),
    ]
    assert [word.speaker for word in name_speakers(words, turns)] == ["Anna", "Anna", "Anna", "Ben", "Ben"]
    assert name_speakers(words, ()) == tuple(words)


def test_no_cue_has_words_of_two_people() -> None:
    words = [
        *by("Anna", spoken("Do you know where he went yesterday", start_s=0.5)),
        *by("Ben", spoken("no I never saw him", start_s=3.1)),
        *by("Anna", spoken("neither did we", start_s=4.6)),
    ]
    cues = segment(words, RULES, language="en")
    assert [cue.speaker for cue in cues] == ["Anna", "Ben", "Anna"]
    assert [" ".join(cue.lines) for cue in cues][1] == "no I never saw him"
    assert not [one for one in check_cues(cues, RULES) if one.rule is not Rule.FAST]


def test_who_speaks_at_the_same_time_has_a_layer_of_its_own() -> None:
    long = by("Anna", spoken("this is a long story, and I will tell you all of it before the night is over"))
    short = by("Ben", spoken("oh really", start_s=2.0))
    later = by("Ben", spoken("and then", start_s=long[-1].end_s + 1.0))
    layers = part_layers([*long, *short, *later])
    assert [[word.text for word in layer] for layer in layers] == [
        [word.text for word in [*long, *later]],
        ["oh", "really"],
    ]


@given(
    st.lists(st.tuples(st.sampled_from(["", "Anna", "Ben", "Cleo"]), st.floats(0, 60), st.floats(0.05, 2)), max_size=40)
)
def test_every_word_is_in_one_layer_and_nobody_is_interrupted_there(parts: list[tuple[str, float, float]]) -> None:
    ends: dict[str, float] = {}
    words: list[Word] = []
    for number, (speaker, earliest_s, length_s) in enumerate(sorted(parts, key=lambda part: part[1])):
        # One person says one thing at a time.
        start_s = max(earliest_s, ends.get(speaker, 0.0))
        ends[speaker] = start_s + length_s
        words.append(Word(str(number), start_s, start_s + length_s, speaker=speaker))
    layers = part_layers(words)
    assert Counter(word.text for layer in layers for word in layer) == Counter(word.text for word in words)
    for layer in layers:
        assert all(one.end_s <= other.start_s + 0.06 for one, other in pairwise(layer))


@pytest.mark.parametrize("count", [1, 2])
def test_one_speaker_at_a_time_makes_one_layer(count: int) -> None:
    words = [word for at in range(6) for word in by(str(at % count), spoken("one two three", start_s=at * 4.0))]
    assert part_layers(words) == [words]
