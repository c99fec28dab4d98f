"""Puts an existing text into the time of what is spoken. Pure.

Words of the text are matched with words that were recognized, in order; what a recognizer got wrong lies between two that it got
right, and has its share of the time between them. So a draft of a recognizer is enough, and any recognizer will do.
"""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING

import msgspec
from rapidfuzz.distance import Levenshtein

from mediafleet.domain.errors import InputError
from mediafleet.engines.recognition import Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.kinds.subtitle.cue import Cue

_MARKS = re.compile(r"[\W_]+")
_LEAST_SHARE = 0.2
"""Of the words of a text, that must be heard: below, it is another text, or another film."""
_LEAST_RUN = 2
"""Words in a row that must agree to count: single ones agree by chance."""
_WORD_S = 0.35
"""How long a word takes for which there is no time between its neighbours."""
_STEADY = 0.0005
"""A drift below this is none: 2 s in an hour are what clocks differ by."""
_MOST_DRIFT = 0.06
"""PAL speeds films up by 4 %; what differs by more is cut differently."""
_FAR_S = 60.0
"""Two matches that are further apart than this say something of the drift."""


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


def align(texts: Sequence[str], heard: Sequence[Word]) -> Aligned:
    """Return the words of a text with the times of what was recognized.

    Args:
        texts: Words, in order.
        heard: In the time of the film.

    Raises:
        InputError: Too few of them were heard: it is the text of something else.
    """
    ours, theirs = [_plain(text) for text in texts], [_plain(word.text) for word in heard]
    found: dict[int, Word] = {}
    # The fewest edits that make the one of the other: of phrases that come again and again each stays in its place.
    for block in Levenshtein.opcodes(ours, theirs).as_matching_blocks():
        if block.size >= min(_LEAST_RUN, len(ours)):
            found.update({block.a + step: heard[block.b + step] for step in range(block.size)})
    if len(found) < max(1, _LEAST_SHARE * len(texts)):
        raise InputError(
            f"Of {len(texts)} words of the text only {len(found)} were heard; it is of something else, or in another language."
        )
    words = [msgspec.structs.replace(found[at], text=text) if at in found else None for at, text in enumerate(texts)]
    return Aligned(_fill(texts, words), tuple(at in found for at in range(len(texts))))


def find_shift(cues: Sequence[Cue], aligned: Aligned) -> Shift:
    """Return by how much cues are off whose words were aligned, in their order.

    A median of medians (Siegel 1982, "Robust regression using repeated medians"): half of all matches may be wrong.

    Raises:
        InputError: Times differ by more than a steady drift: the film was cut differently.
    """
    pairs = _pairs(cues, aligned)
    slopes = [
        median(close)
        for one in pairs
        if (close := [(b - one[1]) / (a - one[0]) for a, b in pairs if abs(a - one[0]) > _FAR_S])
    ]
    scale = median(slopes) if slopes else 1.0
    scale = 1.0 if abs(scale - 1) < _STEADY else scale
    if abs(scale - 1) > _MOST_DRIFT:
        raise InputError(f"The text runs at {scale:.3f} times the speed of the film; it is of another cut.")
    offset_s = median(film - text * scale for text, film in pairs)
    return Shift(scale, offset_s, median(abs(text * scale + offset_s - film) for text, film in pairs))


def move(cues: Sequence[Cue], shift: Shift) -> list[Cue]:
    """Return cues in the time of the film; those that would lie before its beginning are left out."""

    def ms(time_ms: int) -> int:
        return round(time_ms * shift.scale + shift.offset_s * 1000)

    moved = [
        msgspec.structs.replace(
            cue,
            start_ms=max(0, ms(cue.start_ms)),
            end_ms=ms(cue.end_ms),
            spoken_ms=(max(0, ms(cue.spoken_ms[0])), ms(cue.spoken_ms[1])),
        )
        for cue in cues
    ]
    return [cue for cue in moved if cue.end_ms > cue.start_ms]


def words_of(cues: Sequence[Cue]) -> list[str]:
    """Return the words of cues, in order."""
    return [word for cue in cues for word in " ".join(cue.lines).split()]


def _pairs(cues: Sequence[Cue], aligned: Aligned) -> list[tuple[float, float]]:
    """Return when cues begin by the text and by the film, of those whose first word was heard."""
    found: list[tuple[float, float]] = []
    at = 0
    for cue in cues:
        count = len(" ".join(cue.lines).split())
        if count and aligned.is_heard[at]:
            found.append((cue.start_ms / 1000, aligned.words[at].start_s))
        at += count
    if not found:
        raise InputError("No cue begins with a word that was heard; the text cannot be aligned.")
    return found


def _fill(texts: Sequence[str], words: Sequence[Word | None]) -> tuple[Word, ...]:
    """Return all words, with shares of the time between those that have one."""
    done: list[Word] = []
    at = 0
    while at < len(words):
        if word := words[at]:
            done.append(word)
            at += 1
            continue
        behind = next((number for number in range(at, len(words)) if words[number]), len(words))
        following = words[behind] if behind < len(words) else None
        done += _share(texts[at:behind], done[-1].end_s if done else None, following.start_s if following else None)
        at = behind
    return tuple(done)


def _share(texts: Sequence[str], start_s: float | None, end_s: float | None) -> list[Word]:
    usual_s = _WORD_S * len(texts)
    if start_s is None:
        start_s = max(0.0, (end_s or 0.0) - usual_s)
    end_s = max(start_s, start_s + usual_s if end_s is None else min(end_s, start_s + 4 * usual_s))
    total, at = sum(map(len, texts)), start_s
    shared: list[Word] = []
    for text in texts:
        length_s = (end_s - start_s) * len(text) / total
        shared.append(Word(text, at, at + length_s, 0.0))
        at += length_s
    return shared


def _plain(text: str) -> str:
    return _MARKS.sub("", text).casefold()
