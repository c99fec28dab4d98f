"""Where a line or a cue may end: how bad a break after a word is, from 0 for none to 1 for the worst. Pure.

Guidelines of subtitlers agree: end at the end of a sentence, else at a clause, else before a conjunction or preposition, and
never between an article and its noun or inside a number (BBC Subtitle Guidelines, "Line breaks"; Karamitroglou 1998, "A
Proposed Set of Subtitling Standards in Europe").
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.engines.recognition import Word

NEVER = 1.0
"""Between these two words nothing may end."""
_SENTENCE, _CLAUSE, _BEFORE_LINK, _PLAIN, _FOLLOWED, _BOUND = 0.0, 0.12, 0.3, 0.6, 0.8, 0.9
_PAUSE_S, _LONG_PAUSE_S = 0.25, 0.7
"""Pauses at which speakers breathe, and at which they have ended something."""
_PAUSE_COST = 0.25
_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’»)\]]*$")
_CLAUSE_END = re.compile(r"[,;:–—、，；：]+[\"'”’»)\]]*$")
_ABBREVIATION = re.compile(r"^(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Prof|Sr|Sra|No|vs|etc|Nr|bzw|z\.B|d\.h|M|Mme)\.$")
_NUMBER = re.compile(r"^[€$£#]?\d[\d.,:/]*$")
_UNIT = re.compile(
    r"^(?:%|‰|°|°C|°F|km|m|cm|mm|kg|g|l|ml|s|ms|min|h|Hz|kHz|MHz|GHz|MB|GB|TB|€|\$|£|[ap]\.?m\.?)[.,;!?]?$"
)

_LINKS: dict[str, frozenset[str]] = {
    "en": frozenset(
        [
            "and",
            "or",
            "but",
            "nor",
            "so",
            "yet",
            "because",
            "although",
            "though",
            "while",
            "when",
            "where",
            "who",
            "which",
            "that",
            "if",
            "unless",
            "until",
            "since",
            "as",
            "than",
            "whether",
            "in",
            "on",
            "at",
            "by",
            "for",
            "with",
            "from",
            "to",
            "into",
            "onto",
            "over",
            "under",
            "about",
            "after",
            "before",
            "between",
            "through",
            "during",
            "without",
            "within",
            "i",
            "you",
            "he",
            "she",
            "it",
            "we",
            "they",
            "there",
        ]
    ),
    "es": frozenset(
        [
            "y",
            "e",
            "o",
            "u",
            "pero",
            "sino",
            "porque",
            "aunque",
            "mientras",
            "cuando",
            "donde",
            "quien",
            "que",
            "cual",
            "si",
            "hasta",
            "desde",
            "como",
            "en",
            "a",
            "por",
            "para",
            "con",
            "sobre",
            "bajo",
            "entre",
            "sin",
            "tras",
            "durante",
            "según",
            "contra",
            "hacia",
        ]
    ),
    "de": frozenset(
        [
            "und",
            "oder",
            "aber",
            "denn",
            "sondern",
            "weil",
            "obwohl",
            "während",
            "wenn",
            "als",
            "wo",
            "wer",
            "der",
            "die",
            "das",
            "dass",
            "ob",
            "bis",
            "seit",
            "wie",
            "in",
            "an",
            "auf",
            "bei",
            "für",
            "mit",
            "von",
            "zu",
            "nach",
            "vor",
            "über",
            "unter",
            "zwischen",
            "durch",
            "ohne",
            "um",
            "gegen",
        ]
    ),
    "fr": frozenset(
        [
            "et",
            "ou",
            "mais",
            "car",
            "donc",
            "ni",
            "or",
            "parce",
            "puisque",
            "quand",
            "où",
            "qui",
            "que",
            "si",
            "comme",
            "lorsque",
            "dans",
            "à",
            "par",
            "pour",
            "avec",
            "sur",
            "sous",
            "entre",
            "sans",
            "chez",
            "pendant",
            "vers",
            "contre",
        ]
    ),
}
"""Words before which a line may well end."""
_BINDERS: dict[str, frozenset[str]] = {
    "en": frozenset(
        [
            "a",
            "an",
            "the",
            "my",
            "your",
            "his",
            "her",
            "its",
            "our",
            "their",
            "this",
            "these",
            "those",
            "no",
            "some",
            "any",
            "every",
            "each",
            "very",
            "too",
            "i",
            "you",
            "he",
            "she",
            "it",
            "we",
            "they",
            "is",
            "are",
            "was",
            "were",
            "be",
            "been",
            "am",
            "has",
            "have",
            "had",
            "do",
            "does",
            "did",
            "will",
            "would",
            "can",
            "could",
            "shall",
            "should",
            "may",
            "might",
            "must",
            "not",
            "to",
            "of",
        ]
    ),
    "es": frozenset(
        [
            "el",
            "la",
            "los",
            "las",
            "un",
            "una",
            "unos",
            "unas",
            "mi",
            "tu",
            "su",
            "nuestro",
            "este",
            "esta",
            "estos",
            "estas",
            "ese",
            "esa",
            "aquel",
            "muy",
            "más",
            "no",
            "se",
            "me",
            "te",
            "le",
            "lo",
            "nos",
            "os",
            "de",
            "del",
            "al",
            "a",
            "ha",
            "he",
            "han",
            "había",
            "es",
            "son",
            "era",
            "ser",
        ]
    ),
    "de": frozenset(
        [
            "ein",
            "eine",
            "einen",
            "einem",
            "einer",
            "eines",
            "der",
            "die",
            "das",
            "den",
            "dem",
            "des",
            "mein",
            "dein",
            "sein",
            "ihr",
            "unser",
            "kein",
            "sehr",
            "zu",
            "nicht",
            "ich",
            "du",
            "er",
            "sie",
            "es",
            "wir",
            "ist",
            "sind",
            "war",
            "hat",
            "haben",
            "wird",
        ]
    ),
    "fr": frozenset(
        [
            "le",
            "la",
            "les",
            "un",
            "une",
            "des",
            "du",
            "de",
            "au",
            "aux",
            "mon",
            "ton",
            "son",
            "ma",
            "ta",
            "sa",
            "mes",
            "tes",
            "ses",
            "notre",
            "votre",
            "leur",
            "ce",
            "cet",
            "cette",
            "ces",
            "très",
            "plus",
            "ne",
            "je",
            "tu",
            "il",
            "elle",
            "on",
            "nous",
            "vous",
            "ils",
            "elles",
            "est",
            "sont",
            "a",
            "ont",
        ]
    ),
}
"""Words that belong to the one behind them."""
_FOLLOWERS = frozenset({"of", "de", "del", "du", "des", "'s"})
"""Words that belong to the one before them, in any of these languages."""


def ends_sentence(word: str) -> bool:
    """Tell whether a sentence ends with this word."""
    return bool(_SENTENCE_END.search(word)) and not _ABBREVIATION.match(word)


def break_costs(words: Sequence[Word], language: str) -> list[float]:
    """Return for each word how bad it is to end a line or a cue after it.

    Args:
        words: As recognized, or repaired.
        language: ISO 639-1; of others than en, es, de and fr only marks, numbers and pauses are looked at.
    """
    links, binders = _LINKS.get(language, frozenset()), _BINDERS.get(language, frozenset())
    costs = [
        _cost(one.text, other.text, links, binders) - _relief(other.start_s - one.end_s)
        for one, other in pairwise(words)
    ]
    return [max(0.0, cost) for cost in costs] + [0.0] * bool(words)


def _cost(one: str, other: str, links: frozenset[str], binders: frozenset[str]) -> float:
    if _NUMBER.match(one.rstrip(",")) and (_NUMBER.match(other) or _UNIT.match(other)):
        # Above all relief: a number is one word to who reads it.
        return NEVER + _PAUSE_COST * 2
    marked = _mark_cost(one)
    return _word_cost(_bare(one), _bare(other), links, binders) if marked is None else marked


def _mark_cost(word: str) -> float | None:
    """Return how bad a break is by the mark that a word ends with; None where it has none."""
    if _ABBREVIATION.match(word):
        return _BOUND
    if ends_sentence(word):
        return _SENTENCE
    return _CLAUSE if _CLAUSE_END.search(word) else None


def _word_cost(one: str, other: str, links: frozenset[str], binders: frozenset[str]) -> float:
    # After such a word the line would hang in the air: "the hope that".
    if one in binders or one in links:
        return _BOUND
    if other in _FOLLOWERS:
        return _FOLLOWED
    return _BEFORE_LINK if other in links else _PLAIN


def _bare(word: str) -> str:
    return word.lower().strip("\"'([¿¡,.")


def _relief(pause_s: float) -> float:
    if pause_s >= _LONG_PAUSE_S:
        return 2 * _PAUSE_COST
    return _PAUSE_COST if pause_s >= _PAUSE_S else 0.0
