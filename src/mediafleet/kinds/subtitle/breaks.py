"""Where a line or a cue may end: how bad a break after a word is, from 0 for none to 1 for the worst. Pure.

Guidelines of subtitlers agree: end at the end of a sentence, else at a clause, else before a conjunction or preposition, and
never between an article and its noun or inside a number (BBC Subtitle Guidelines, "Line breaks"; Karamitroglou 1998, "A
Proposed Set of Subtitling Standards in Europe").
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.engines.recognition import Word

NEVER = 1.0
"""Between these two words nothing may end."""
_SENTENCE, _CLAUSE, _BEFORE_LINK, _PLAIN, _FOLLOWED, _BOUND = 0.0, 0.12, 0.3, 0.6, 0.8, 0.9
_PAUSE_S, _LONG_PAUSE_S = 0.25, 0.7
"""Pauses at which speakers breathe, and at which they have ended something."""
_PAUSE_COST = 0.25
_SENTENCE_END = re.compile(r"[.!?…。！？؟।॥۔]+[\"'”’»)\]]*$")
_CLAUSE_END = re.compile(r"[,;:–—、，；：،؛]+[\"'”’»)\]]*$")
_ABBREVIATION = re.compile(r"^(?:[A-HJ-Z]|Mr|Mrs|Ms|Dr|St|Prof|Sr|Sra|vs|etc|Nr|bzw|z\.B|d\.h|M|Mme)\.$")
_NUMBER = re.compile(r"^[€$£#]?\d[\d.,:/]*$")
_UNIT = re.compile(
    r"^(?:%|‰|°|°C|°F|km|m|cm|mm|kg|g|l|ml|s|ms|min|h|Hz|kHz|MHz|GHz|MB|GB|TB|€|\$|£|[ap]\.?m\.?)[.,;!?]?$"
)

_FOLLOWERS = frozenset({"of", "de", "del", "du", "des", "'s"})
"""Words that belong to the one before them, in any of these languages."""


class _SmallWords(msgspec.Struct, frozen=True):
    """One language of `words.toml`."""

    links: frozenset[str] = frozenset()
    """Words before which a line may well end."""
    binders: frozenset[str] = frozenset()
    """Words that belong to the one behind them."""


@cache
def _load_words() -> dict[str, _SmallWords]:
    text = files("mediafleet.kinds.subtitle").joinpath("words.toml").read_text(encoding="utf-8")
    tables = msgspec.toml.decode(text, type=dict[str, dict[str, str]])
    return {
        language: _SmallWords(**{name: frozenset(words.split()) for name, words in table.items()})
        for language, table in tables.items()
    }


def ends_sentence(word: str) -> bool:
    """Tell whether a sentence ends with this word."""
    return bool(_SENTENCE_END.search(word)) and not _ABBREVIATION.match(word)


def break_costs(words: Sequence[Word], language: str) -> list[float]:
    """Return for each word how bad it is to end a line or a cue after it.

    Args:
        words: As recognized, or repaired.
        language: ISO 639-1; of others than en, es, de and fr only marks, numbers and pauses are looked at.
    """
    small = _load_words().get(language, _SmallWords())
    costs = [_cost(one.text, other.text, small) - _relief(other.start_s - one.end_s) for one, other in pairwise(words)]
    return [max(0.0, cost) for cost in costs] + [0.0] * bool(words)


def _cost(one: str, other: str, small: _SmallWords) -> float:
    if _NUMBER.match(one.rstrip(",")) and (_NUMBER.match(other) or _UNIT.match(other)):
        # Above all relief: a number is one word to who reads it.
        return NEVER + _PAUSE_COST * 2
    marked = _mark_cost(one)
    return _word_cost(_bare(one), _bare(other), small) if marked is None else marked


def _mark_cost(word: str) -> float | None:
    """Return how bad a break is by the mark that a word ends with; None where it has none."""
    if _ABBREVIATION.match(word):
        return _BOUND
    if ends_sentence(word):
        return _SENTENCE
    return _CLAUSE if _CLAUSE_END.search(word) else None


def _word_cost(one: str, other: str, small: _SmallWords) -> float:
    # After such a word the line would hang in the air: "the hope that".
    if one in small.binders or one in small.links:
        return _BOUND
    if other in _FOLLOWERS:
        return _FOLLOWED
    return _BEFORE_LINK if other in small.links else _PLAIN


def _bare(word: str) -> str:
    return word.lower().strip("\"'([¿¡,.")


def _relief(pause_s: float) -> float:
    if pause_s >= _LONG_PAUSE_S:
        return 2 * _PAUSE_COST
    return _PAUSE_COST if pause_s >= _PAUSE_S else 0.0
