"""Puts an existing text into the time of what is spoken. Pure.

Words of the text are matched with words that were recognized, in order; what a recognizer got wrong lies between two that it got
right, where it heard other words: those are the time in which it was spoken. So a draft of a recognizer is enough, and any will do.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import msgspec
from rapidfuzz.distance import Levenshtein

from mediafleet.domain.errors import InputError
from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.rules import STEP_MS
from mediafleet.kinds.subtitle.sentences import split_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mediafleet.kinds.subtitle.cue import Cue

_MARKS = re.compile(r"[\W_]+")
_LEAST_SHARE = 0.2
"""Of the words of a text, that must be heard: below, it is another text, or another film."""
_LEAST_RUN = 2
"""Words in a row that must agree to count: single ones agree by chance,"""
_LEAST_CHARS = 4
"""but for those of so many characters that come once in each."""
_WORD_S = 0.35
"""How long a word takes for which there is no time between its neighbours."""
_LEAST_WORD_S = 0.15
"""What was heard in less time than this a word is less than what was said."""
_SAME_S = 1e-6
"""Times that differ by less are the same: sums of fractions."""
_STEADY = 0.0005
"""A drift below this is none: 2 s in an hour are what clocks differ by."""
_MOST_DRIFT = 0.06
"""PAL speeds films up by 4 %; what differs by more is cut differently."""
_FAR_S, _FAR_SHARE = 60.0, 0.4
"""Two matches that are further apart than this, or than this share of all, say something of the drift;"""
_LEAST_SPAN_S, _LEAST_PAIRS = 12.0, 4
"""but not in less than this, or of fewer."""
_LEAST_GAIN = 3.0
"""A drift must explain so many times what is left unexplained, so that errors of a short film are not taken for one."""
_FAR_OFF_S, _MOST_FAR_OFF = 1.0, 0.1
"""Of a text of this cut no more than so many cues are so far off once its times are put right."""
_EXACT_PAIRS = 5
"""Cues whose first word was heard say most exactly by how much times are off; if there are fewer, other words are asked too."""


class Aligned(msgspec.Struct, frozen=True):
    """Words of a text with times."""

    words: tuple[Word, ...]
    is_heard: tuple[bool, ...]
    """Whether each was matched; the times of the others are shared out."""


class Shift(msgspec.Struct, frozen=True):
    """By how much times of a text are off: in the film it is `time * scale + offset_s`."""

    scale: float
    offset_s: float
    spread_s: float
    """Half of all matched words are off by more than this after it was put right."""
    far_off: int = 0
    """Cues whose words were heard more than a second from where they are put."""
    is_judged: bool = True
    """Whether there was enough to tell a drift by; `scale` is 1 else."""


def align(texts: Sequence[str], heard: Sequence[Word]) -> Aligned:
    """Return the words of a text with the times of what was recognized, and with who said them.

    Args:
        texts: Words, in order; of scripts without spaces characters.
        heard: In the time of the film, parted as the text is.

    Raises:
        InputError: There are none, or too few of them were heard: it is the text of something else.
    """
    if not texts:
        raise InputError("There is no word in the text, so there is nothing to align.")
    ours, theirs = [_plain(text) for text in texts], [_plain(word.text) for word in heard]
    rare = {word for word, count in Counter(ours).items() if count == 1 and len(word) >= _LEAST_CHARS}
    rare &= {word for word, count in Counter(theirs).items() if count == 1}
    found: dict[int, int] = {}
    # The fewest edits that make the one of the other: of phrases that come again and again each stays in its place.
    for block in Levenshtein.opcodes(ours, theirs).as_matching_blocks():
        if block.size >= min(_LEAST_RUN, len(ours)) or (block.size and ours[block.a] in rare):
            found.update({block.a + step: block.b + step for step in range(block.size)})
    if len(found) < max(1, _LEAST_SHARE * len(texts)):
        raise InputError(
            f"Of {len(texts)} words of the text only {len(found)} were heard; it is of something else, or in another language."
        )
    return Aligned(_fill(texts, heard, found), tuple(at in found for at in range(len(texts))))


def find_shift(cues: Sequence[Cue], aligned: Aligned, language: str) -> Shift:
    """Return by how much cues are off whose words were aligned, in their order.

    A median of medians (Siegel 1982, "Robust regression using repeated medians"): half of all matches may be wrong.

    Raises:
        InputError: Times differ by more than a steady drift: the film was cut differently.
    """
    pairs = _pairs(cues, aligned, language)
    span_s = pairs[-1][0] - pairs[0][0]
    steady_s = _offset(pairs, 1.0)
    if len(pairs) < _LEAST_PAIRS or span_s < _LEAST_SPAN_S:
        return _checked(pairs, Shift(1.0, steady_s, _spread(pairs, 1.0, steady_s), is_judged=False))
    far_s = min(_FAR_S, span_s * _FAR_SHARE)
    slopes = [
        median(close)
        for one in pairs
        if (close := [(b - one[1]) / (a - one[0]) for a, b in pairs if abs(a - one[0]) > far_s])
    ]
    scale = median(slopes) if slopes else 1.0
    drift_s, left_s = abs(scale - 1) * span_s, _spread(pairs, scale, _offset(pairs, scale))
    if abs(scale - 1) < _STEADY or drift_s < _LEAST_GAIN * left_s:
        return _checked(pairs, Shift(1.0, steady_s, _spread(pairs, 1.0, steady_s)))
    if abs(scale - 1) > _MOST_DRIFT:
        raise InputError(f"The text runs at {scale:.3f} times the speed of the film; it is of another cut.")
    return _checked(pairs, Shift(scale, _offset(pairs, scale), left_s))


def _checked(pairs: Sequence[tuple[float, float]], shift: Shift) -> Shift:
    far_off = sum(abs(text * shift.scale + shift.offset_s - film) > _FAR_OFF_S for text, film in pairs)
    # Of two or three, one may be a mistake of the recognizer.
    if far_off > (_MOST_FAR_OFF if len(pairs) >= _LEAST_PAIRS else 0.5) * len(pairs):
        raise InputError(
            f"The text is of another cut: {far_off} of {len(pairs)} cues would be more than a second off wherever it begins. "
            "Hand it in as plain text (.txt), which is aligned word by word."
        )
    return msgspec.structs.replace(shift, far_off=far_off)


def move(cues: Sequence[Cue], shift: Shift, *, film_s: float = math.inf) -> list[Cue]:
    """Return cues in the time of the film; those that would lie before its beginning or behind its end are left out."""

    def ms(time_ms: int) -> int:
        return round((time_ms * shift.scale + shift.offset_s * 1000) / STEP_MS) * STEP_MS

    moved = [
        msgspec.structs.replace(
            cue,
            start_ms=max(0, ms(cue.start_ms)),
            end_ms=ms(cue.end_ms),
            spoken_ms=(max(0, ms(cue.spoken_ms[0])), ms(cue.spoken_ms[1])),
        )
        for cue in cues
    ]
    return [cue for cue in moved if cue.end_ms > cue.start_ms and cue.start_ms < film_s * 1000]


def words_of(cues: Sequence[Cue], language: str) -> list[str]:
    """Return the words of cues, or of scripts without spaces their characters, in order."""
    return [word for cue in cues for word in split_words(" ".join(cue.lines), language)]


def part_words(words: Sequence[Word], language: str) -> list[Word]:
    """Return what was heard in the parts that texts of its language are split into: words as they are, or characters."""
    return [part for word in words for part in _share_of(word, split_words(word.text, language))]


def _share_of(word: Word, parts: Sequence[str]) -> Sequence[Word]:
    if len(parts) <= 1:
        return [word]
    shared = _share(parts, [(word.start_s, word.end_s)])
    return [msgspec.structs.replace(one, confidence=word.confidence, speaker=word.speaker) for one in shared]


def _pairs(cues: Sequence[Cue], aligned: Aligned, language: str) -> list[tuple[float, float]]:
    """Return when words are spoken by the text and by the film, in order: the first that was heard of each cue."""
    exact: list[tuple[float, float]] = []
    rough: list[tuple[float, float]] = []
    at = 0
    for cue in cues:
        texts = words_of([cue], language)
        heard = next((step for step in range(len(texts)) if aligned.is_heard[at + step]), None)
        if heard is not None:
            before = sum(map(len, texts[:heard])) / max(1, sum(map(len, texts)))
            pair = (cue.start_ms + before * cue.length_ms) / 1000, aligned.words[at + heard].start_s
            rough.append(pair)
            exact += [] if heard else [pair]
        at += len(texts)
    return exact if len(exact) >= _EXACT_PAIRS else rough


def _offset(pairs: Sequence[tuple[float, float]], scale: float) -> float:
    return median(film - text * scale for text, film in pairs)


def _spread(pairs: Sequence[tuple[float, float]], scale: float, offset_s: float) -> float:
    return median(abs(text * scale + offset_s - film) for text, film in pairs)


def _fill(texts: Sequence[str], heard: Sequence[Word], found: Mapping[int, int]) -> tuple[Word, ...]:
    """Return all words: those that were found with their times, those between in the time of what was heard there."""
    done: list[Word] = []
    places = [(-1, -1), *sorted(found.items()), (len(texts), len(heard))]
    for (ours, theirs), (next_ours, next_theirs) in pairwise(places):
        if ours >= 0:
            done.append(msgspec.structs.replace(heard[theirs], text=texts[ours]))
        missing = texts[ours + 1 : next_ours]
        if missing:
            following = heard[next_theirs].start_s if next_theirs < len(heard) else None
            before = done[-1].end_s if done else None
            spans = _spans(heard[theirs + 1 : next_theirs], before, following)
            is_enough = sum(end_s - start_s for start_s, end_s in spans) >= _LEAST_WORD_S * len(missing)
            done += _share(missing, spans if is_enough else [_usual_span(missing, before, following)])
    return tuple(_name_all(done, next((word.speaker for word in done if word.speaker), "")))


def _name_all(words: Sequence[Word], speaker: str) -> Iterator[Word]:
    """Yield words that were not heard with the speaker of the one before."""
    for word in words:
        speaker = word.speaker or speaker
        yield msgspec.structs.replace(word, speaker=speaker)


def _spans(heard: Sequence[Word], after_s: float | None, before_s: float | None) -> list[tuple[float, float]]:
    """Return the times of words, in order and apart from each other, within what is free."""
    spans: list[tuple[float, float]] = []
    at_s = after_s or 0.0
    for word in heard:
        begin_s, end_s = max(at_s, word.start_s), word.end_s if before_s is None else min(word.end_s, before_s)
        if end_s > begin_s:
            spans.append((begin_s, end_s))
            at_s = end_s
    return spans


def _usual_span(texts: Sequence[str], start_s: float | None, end_s: float | None) -> tuple[float, float]:
    usual_s = _WORD_S * len(texts)
    if start_s is None:
        start_s = max(0.0, (end_s or 0.0) - usual_s)
    return start_s, max(start_s, start_s + usual_s if end_s is None else min(end_s, start_s + 4 * usual_s))


def _share(texts: Sequence[str], spans: Sequence[tuple[float, float]]) -> list[Word]:
    """Return words that are spoken one after the other in some spans of time, each for as long as it is written."""
    total, spoken_s = sum(map(len, texts)), sum(end_s - start_s for start_s, end_s in spans)
    shared: list[Word] = []
    done = 0
    for text in texts:
        start_s = _moment(spans, spoken_s * done / total, is_end=False)
        done += len(text)
        shared.append(Word(text, start_s, max(start_s, _moment(spans, spoken_s * done / total, is_end=True)), 0.0))
    return shared


def _moment(spans: Sequence[tuple[float, float]], into_s: float, *, is_end: bool) -> float:
    """Return when so much of some spans is over: before a pause for what ends there, behind it for what begins."""
    for start_s, end_s in spans:
        length_s = end_s - start_s
        if into_s < length_s - _SAME_S or (is_end and into_s <= length_s + _SAME_S):
            return min(start_s + into_s, end_s)
        into_s -= length_s
    return spans[-1][1]


def _plain(text: str) -> str:
    return _MARKS.sub("", text).casefold()
