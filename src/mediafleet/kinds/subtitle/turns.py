"""Who speaks when: channels that are somebody's each, and words of several people put in order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from mediafleet.engines.diarization import Turn
from mediafleet.engines.recognition import Word
from mediafleet.engines.voice_activity import Span, mark_speech

LEVELS_PER_S = 20
_BLEED_DB = 10.0
"""A microphone hears its own speaker by so much louder than the others in the room, or more."""
_QUIET_DB = -60.0
_SAME_DB, _SAME_SHARE = 1.0, 0.95
"""Channels whose levels differ by no more, in so many of the frames that are not quiet, carry one sound."""
_PAUSE_S = 0.7
"""At which a turn may end: who pauses for less is still speaking."""
_TOUCH_S = 0.05
"""By which turns may overlap that only follow each other: ends of words are rounded."""


class Hearing(NamedTuple):
    """What was heard in one channel."""

    probabilities: Sequence[float]
    """Of speech, of each frame, 0..1."""
    frame_s: float
    levels_db: Sequence[float] = ()
    """How loud it is, `LEVELS_PER_S` times a second, dB below full scale; none where nobody compares."""

    def mark(self) -> tuple[Span, ...]:
        """Return where somebody speaks in it."""
        return mark_speech(self.probabilities, frame_s=self.frame_s)


class Channel(NamedTuple):
    """What was said in one channel."""

    words: tuple[Word, ...]
    spans: tuple[Span, ...]
    """Where somebody speaks in it."""


def find_own(hearings: Sequence[Hearing]) -> list[int]:
    """Return the channels that carry a sound of their own: of those that carry the same, the first."""
    own: list[int] = []
    for number, one in enumerate(hearings):
        if not any(_is_same(one.levels_db, hearings[other].levels_db) for other in own):
            own.append(number)
    return own


def _is_same(one: Sequence[float], other: Sequence[float]) -> bool:
    apart = [a - b for a, b in zip(one, other, strict=False) if max(a, b) > _QUIET_DB]
    if not apart:
        return True
    usual = median(apart)
    return sum(abs(by - usual) <= _SAME_DB for by in apart) >= _SAME_SHARE * len(apart)


def mute_others(hearings: Sequence[Hearing]) -> list[Hearing]:
    """Return what is heard in each channel without what it hears of another's speaker, who is much louder in that one.

    Levels must be of the sound as it was recorded: a gain for each channel would raise what comes from across the room.
    """
    loudest = [max(levels) for levels in zip(*(one.levels_db for one in hearings), strict=False)]
    return [one._replace(probabilities=list(_muted(one, loudest))) for one in hearings]


def _muted(one: Hearing, loudest: Sequence[float]) -> Iterator[float]:
    last = len(loudest) - 1
    for number, chance in enumerate(one.probabilities):
        at = min(last, int((number + 0.5) * one.frame_s * LEVELS_PER_S))
        yield chance if one.levels_db[at] > loudest[at] - _BLEED_DB else 0.0


def name_turns(turns: Sequence[Turn], names: Sequence[str]) -> tuple[Turn, ...]:
    """Return turns in the order of their starts, with names of people: who speaks first has the first."""
    ordered = sorted(turns, key=lambda turn: turn.start_s)
    numbers: dict[str, int] = {}
    for turn in ordered:
        numbers.setdefault(turn.speaker, len(numbers))
    return tuple(msgspec.structs.replace(turn, speaker=name_of(numbers[turn.speaker], names)) for turn in ordered)


def name_of(number: int, names: Sequence[str]) -> str:
    """Return what a speaker is called, counted from 0."""
    return names[number] if number < len(names) else f"Speaker {number + 1}"


def part_layers(words: Sequence[Word]) -> list[list[Word]]:
    """Return words in layers, in each of which nobody speaks before the one before has ended; most texts have one.

    Who speaks while another does is a layer higher, so that both can be read at once. In a layer all is in order.
    """
    turns = sorted(_find_turns(words), key=lambda turn: turn[0].start_s)
    layers: list[list[Word]] = []
    for turn in turns:
        free = (layer for layer in layers if layer[-1].end_s <= turn[0].start_s + _TOUCH_S)
        if (layer := next(free, None)) is None:
            layers.append(list(turn))
        else:
            layer += turn
    return layers


def _find_turns(words: Sequence[Word]) -> list[list[Word]]:
    turns: list[list[Word]] = []
    latest: dict[str, list[Word]] = {}
    for word in sorted(words, key=lambda one: one.start_s):
        turn = latest.get(word.speaker)
        if turn is None or word.start_s - turn[-1].end_s >= _PAUSE_S:
            turns.append(turn := [])
            latest[word.speaker] = turn
        turn.append(word)
    return turns
