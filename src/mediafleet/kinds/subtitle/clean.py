"""Takes out what nobody said: loops that recognizers fall into, and what they invent where it is quiet. Pure.

Both are known of every large recognizer (Koenecke et al. 2024, "Careless Whisper": 1 % of segments held invented sentences,
mostly around pauses). What is taken out is told, word by word, so that a user can look.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.engines.recognition import Word
    from mediafleet.engines.voice_activity import Span

_LONGEST_LOOP = 12
"""Words of the longest phrase that is looked for."""
_TIMES = {1: 6, 2: 5}
"""Words of a phrase → how often it must follow itself to be a loop; people do say "no, no, no, no"."""
_TIMES_ELSE = 4
_FASTEST_CHARS_PER_S = 40.0
"""Twice as fast as the fastest auctioneers; over at least so many words:"""
_FAST_WORDS = 5
_QUIET_SHARE = 0.8
"""A word of which so much lies where nobody speaks was not spoken."""
_ROUNDED_S = 0.05
"""Ends of spans and words are rounded to samples and frames, and recognizers let last words end behind the sound."""
_MARKS = re.compile(r"[^\w']+")


class Cleaned(msgspec.Struct, frozen=True):
    """Words that were said, and those that were taken out."""

    words: tuple[Word, ...]
    dropped: tuple[tuple[Word, str], ...] = ()
    """Each with the reason, as half a sentence."""


def clean(words: Sequence[Word], spans: Sequence[Span] | None = None) -> Cleaned:
    """Return what was said, in order.

    Args:
        words: As recognized.
        spans: Where somebody speaks, in order and apart from each other; None where nobody looked.
    """
    quiet = _find_quiet(words, spans) if spans is not None else []
    reasons = dict.fromkeys(quiet, "nobody speaks there")
    for first, behind in _find_rushes(words):
        reasons.update(dict.fromkeys(range(first, behind), "nobody speaks so fast"))
    for first, behind in find_loops([word.text for word in words]):
        reasons.update(dict.fromkeys(range(first, behind), "the recognizer repeats itself"))
    kept = tuple(word for number, word in enumerate(words) if number not in reasons)
    return Cleaned(kept, tuple((words[number], reason) for number, reason in sorted(reasons.items())))


def find_loops(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first word and the one behind the last, of what repeats a phrase; the first time of it is not among them."""
    plain = [_MARKS.sub("", text).lower() for text in texts]
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(plain):
        # Of phrases that stand there equally often the shortest is the one that repeats itself.
        times, negative = max((_count(plain, at, length), -length) for length in range(1, _LONGEST_LOOP + 1))
        length = -negative
        if times >= _TIMES.get(length, _TIMES_ELSE):
            found.append((at + length, at + length * times))
            at += length * times
        else:
            at += 1
    return found


def _count(plain: Sequence[str], at: int, length: int) -> int:
    """Return how often the phrase of that length at a place stands there one after the other."""
    phrase, times = plain[at : at + length], 1
    while plain[at + length * times : at + length * (times + 1)] == phrase:
        times += 1
    return times


def _find_rushes(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Return stretches of words that come faster than anybody speaks."""
    found: list[tuple[int, int]] = []
    for behind in range(_FAST_WORDS, len(words) + 1):
        first = behind - _FAST_WORDS
        chars = sum(len(word.text) for word in words[first:behind])
        if chars > _FASTEST_CHARS_PER_S * max(words[behind - 1].end_s - words[first].start_s, 0.001):
            found.append((first, behind))
    return found


def _find_quiet(words: Sequence[Word], spans: Sequence[Span]) -> list[int]:
    """Return the words that lie where nobody speaks; both are in order, so each span is looked at once or twice."""
    found: list[int] = []
    first = 0
    for number, word in enumerate(words):
        while first < len(spans) and spans[first].end_s + _ROUNDED_S < word.start_s:
            first += 1
        at, inside = first, 0.0
        length = max(word.end_s - word.start_s, _ROUNDED_S)
        while at < len(spans) and spans[at].start_s - _ROUNDED_S <= word.start_s + length:
            begin, end = spans[at].start_s - _ROUNDED_S, spans[at].end_s + _ROUNDED_S
            inside += max(0.0, min(word.start_s + length, end) - max(word.start_s, begin))
            at += 1
        if 1 - inside / length > _QUIET_SHARE:
            found.append(number)
    return found
