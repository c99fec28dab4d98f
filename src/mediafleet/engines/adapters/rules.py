"""Repair by rules: sentences end at pauses and begin with capitals; in English also names of days, `I`, and apostrophes.

Words that carry capitals or punctuation already come from an engine that knows better, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from mediafleet.engines.recognition import Word
from mediafleet.engines.repair import RepairerFacts

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

SENTENCE_PAUSE_S = 0.6
"""A pause that ends a sentence: within sentences readers stop for less."""
_STOPS = {"ja": "。", "zh": "。"}
_ENDS = (".", "!", "?", "。", "…")
_CONTRACTIONS = {
    without.replace("'", "").lower(): without
    for without in [
        "don't",
        "doesn't",
        "didn't",
        "isn't",
        "wasn't",
        "aren't",
        "weren't",
        "couldn't",
        "shouldn't",
        "wouldn't",
        "haven't",
        "hasn't",
        "hadn't",
        "I'm",
        "I've",
        "you're",
        "you've",
        "they're",
        "they've",
        "we've",
        "that's",
        "what's",
    ]
}
"""Without those that are words as they are: `cant`, `wont`, `were`, `its`."""
_CAPITALS = {
    word.lower(): word
    for word in [
        "I",
        "I'm",
        "I've",
        "I'll",
        "I'd",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "January",
        "February",
        "April",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
        "English",
        "American",
        "British",
        "French",
        "German",
        "Spanish",
    ]
}
_ALWAYS_ASK = {"why", "where", "who", "how"}
_MAY_ASK = {"is", "are", "was", "were", "do", "does", "did", "can", "could", "will", "would", "have", "has"}
_ASKED = {"i", "you", "he", "she", "it", "we", "they", "there", "this", "that"}
_BEFORE_HAVE = {"could", "should", "would", "must", "might"}


class RulesEngine:
    """The rules; they hold nothing."""

    facts = RepairerFacts(())

    def repair(self, words: Sequence[Word], *, language: str) -> tuple[str, ...]:
        """Say how each word is written."""
        texts = [word.text for word in words]
        if any(is_written(text) for text in texts):
            return tuple(texts)
        if language == "en":
            texts = spell_english(texts)
        written: list[str] = []
        for start, end in split_sentences(words):
            written += write_sentence(texts[start:end], language)
        return tuple(written)

    def close(self) -> None:
        """Do nothing: nothing is held."""


def is_written(text: str) -> bool:
    """Tell whether a word has a capital or ends a sentence, as engines write that punctuate."""
    return text != text.lower() or text.endswith((*_ENDS, ",", "，"))


def split_sentences(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Return where sentences begin and end, as half-open ranges of numbers of words."""
    ends = [
        number for number in range(1, len(words)) if words[number].start_s - words[number - 1].end_s >= SENTENCE_PAUSE_S
    ]
    edges = [0, *ends, len(words)] if words else [0]
    return list(pairwise(edges))


def spell_english(texts: Sequence[str]) -> list[str]:
    """Return English words with capitals and apostrophes where they belong."""
    spelled: list[str] = []
    for number, text in enumerate(texts):
        if text == "of" and number and texts[number - 1] in _BEFORE_HAVE:
            spelled.append("have")
        else:
            whole = _CONTRACTIONS.get(text, text)
            spelled.append(_CAPITALS.get(whole, whole))
    return spelled


def write_sentence(texts: Sequence[str], language: str) -> list[str]:
    """Return the words of one sentence, the first with its capital and the last with what ends it."""
    stop = "?" if language == "en" and is_question(texts) else _STOPS.get(language, ".")
    written = [texts[0][:1].upper() + texts[0][1:], *texts[1:]]
    written[-1] += stop
    return written


def is_question(texts: Sequence[str]) -> bool:
    """Tell whether English words in this order ask something, as far as that can be told without understanding them."""
    first, second = (*(text.lower() for text in texts[:2]), "", "")[:2]
    if first in _ALWAYS_ASK:
        return second in _MAY_ASK
    return first in _MAY_ASK and second in _ASKED


def load(_offer: Offer) -> RulesEngine:
    """Make the engine."""
    return RulesEngine()
