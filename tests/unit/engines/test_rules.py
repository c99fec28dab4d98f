"""Repair by rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.engines.adapters.rules import RulesEngine
from mediafleet.engines.recognition import Word

ENGINE = RulesEngine()


def spoken(text: str) -> list[Word]:
    """Return words of a tenth of a second; a bar is a pause of a second, an underscore one of half a second."""
    words: list[Word] = []
    at = 0.0
    for part in text.split():
        if part in {"|", "_"}:
            at += 1.0 if part == "|" else 0.5
        else:
            words.append(Word(part, at, at + 0.1))
            at += 0.1
    return words


@pytest.mark.parametrize(
    ("said", "language", "written"),
    [
        ("he came | she went _ home", "en", "He came. She went home."),
        ("i think im here on monday", "en", "I think I'm here on Monday."),
        ("you should of known it", "en", "You should have known it."),
        ("a cup of tea", "en", "A cup of tea."),
        ("why did he go | how strange | are you there | have mercy", "en", "Why did he go? How strange. Are you there? Have mercy."),
        ("im haus", "de", "Im haus."),
        ("él dice", "es", "Él dice."),
        ("你 好", "zh", "你 好。"),
        ("Already written, i see.", "en", "Already written, i see."),
        ("", "en", ""),
    ],
)  # fmt: skip
def test_words_are_written_as_people_write_them(said: str, language: str, written: str) -> None:
    assert " ".join(ENGINE.repair(spoken(said), language=language)) == written


@given(st.lists(st.sampled_from(["i", "of", "could", "dont", "é", "1", "|", "_", "why"]), max_size=30))
def test_no_word_is_lost_or_joined(parts: list[str]) -> None:
    words = spoken(" ".join(parts))
    written = ENGINE.repair(words, language="en")
    assert len(written) == len(words)
    assert all(text and " " not in text for text in written)
