"""Sentences that run over cues: found in one language, and spread over the same cues in another. Pure."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.breaks import NEVER, break_costs, ends_sentence
from mediafleet.kinds.subtitle.rules import STEP_MS, UNSPACED
from mediafleet.kinds.subtitle.segment import fold_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.kinds.subtitle.cue import Cue
    from mediafleet.kinds.subtitle.rules import CueRules

_LONGEST_PAUSE_MS = 3_000
"""Over a longer one no sentence goes on, whatever marks say."""
_MOST_CUES = 6
"""Of one sentence: text without full stops would be one sentence of an hour."""
_MOST_WORDS = 150
"""Of one sentence: translators take no longer ones whole, and spreading takes time that grows with the square."""
# A letter of another script goes with its word, and a mark with what is before it.
_CHARACTERS = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.,:%'-]*|\S)[\s。、，．！？：；」』）】…,.!?;:)\]]*")
_OFF, _TOO_MUCH, _BREAK = 1.0, 5000.0, 0.15
"""What it costs to give a cue twice its share, twice what it has time for, and to end it at the worst place."""
_PARTED = 1e6
"""What it costs to end a cue where nothing may end: more than any share."""
_DASHES = ("-", "–", "—", "‐")
"""With which each of two begins who speak in one cue."""
_SOUND_BEGINS, _SOUND_ENDS = ("[", "(", "♪", "♫"), ("]", ")", "♪", "♫")
"""Marks of what is no speech, as subtitles for people who hear badly have it, and of songs."""
_USUAL_SPEED = 17.0


class Sentence(msgspec.Struct, frozen=True):
    """Words that are translated together."""

    text: str
    parts: tuple[tuple[int, int], ...]
    """Each cue that it has a part in, and how many characters that part has."""


def find_sentences(cues: Sequence[Cue], language: str) -> list[Sentence]:
    """Return the sentences of cues, in order; every word is in exactly one. Cues of a layer must follow each other."""
    joint = "" if language in UNSPACED else " "
    found: list[Sentence] = []
    words: list[str] = []
    chars: dict[int, int] = {}

    def close() -> None:
        if words:
            found.append(Sentence(joint.join(words), tuple(chars.items())))
        words.clear()
        chars.clear()

    for number, cue in enumerate(cues):
        if number and (len(chars) >= _MOST_CUES or _is_apart(cues[number - 1], cue)):
            close()
        for word in " ".join(cue.lines).split():
            words.append(word)
            chars[number] = chars.get(number, 0) + len(word)
            if ends_sentence(word) or len(words) >= _MOST_WORDS:
                close()
    close()
    return found


def _is_apart(one: Cue, other: Cue) -> bool:
    """Tell whether no sentence goes from one cue into another."""
    is_far = other.start_ms - one.end_ms > _LONGEST_PAUSE_MS
    is_marked = bool(one.lines and other.lines) and (
        one.lines[-1].endswith(_SOUND_ENDS) or other.lines[0].startswith((*_SOUND_BEGINS, *_DASHES))
    )
    return is_far or is_marked or (other.speaker, other.layer) != (one.speaker, one.layer)


def spread(
    cues: Sequence[Cue],
    sentences: Sequence[Sentence],
    translated: Sequence[str],
    *,
    rules: CueRules | None,
    language: str,
) -> list[Cue]:
    """Return the cues with the translations of their sentences; times stay as they are.

    Args:
        cues: In the language of the sentences.
        sentences: Of these cues, as `find_sentences` found them.
        translated: One text for each.
        rules: By which lines are folded; None for one line a cue.
        language: Of the translations, ISO 639-1.

    A cue for which nothing is left is left out, since translations may be much shorter, and one whose text has no room becomes
    several within its time.
    """
    texts: dict[int, list[str]] = {}
    room = _Room(cues, sentences, rules)
    for sentence, text in zip(sentences, translated, strict=True):
        parts = _share(split_words(text, language), sentence, room, language)
        for (cue, chars), part in zip(sentence.parts, parts, strict=True):
            room.take(cue, chars, part)
            if part:
                texts.setdefault(cue, []).extend(part)
    return [
        made
        for number, cue in enumerate(cues)
        if number in texts
        for made in _fill(msgspec.structs.replace(cue, words=(0, 0)), texts[number], rules, language)
    ]


class _Room:
    """How much text each cue has time for."""

    def __init__(self, cues: Sequence[Cue], sentences: Sequence[Sentence], rules: CueRules | None) -> None:
        self._cues = cues
        self._rules = rules
        self._chars: dict[int, int] = {}
        """Of what is spoken in a cue and has no translation yet."""
        self._taken: dict[int, int] = {}
        for sentence in sentences:
            for cue, chars in sentence.parts:
                self._chars[cue] = self._chars.get(cue, 0) + chars

    def of(self, cue: int, chars: int) -> float:
        """Return how many characters the part of a sentence may have that has so many of what is spoken in a cue."""
        length_s = self._cues[cue].length_ms / 1000
        speed = self._rules.chars_per_s if self._rules else _USUAL_SPEED
        most = self._rules.lines * self._rules.line_chars if self._rules else math.inf
        return max(1.0, min(length_s * speed, most) - self._taken.get(cue, 0)) * chars / self._chars[cue]

    def take(self, cue: int, chars: int, part: Sequence[str]) -> None:
        """Note what became of so many characters of what is spoken in a cue; those behind them have what is left."""
        self._chars[cue] -= chars
        self._taken[cue] = self._taken.get(cue, 0) + sum(len(word) + 1 for word in part)


def split_words(text: str, language: str) -> list[str]:
    """Return the parts of a text between which a line may end: words, or of scripts without spaces characters."""
    return _CHARACTERS.findall(text) if language in UNSPACED else text.split()


def _share(words: list[str], sentence: Sentence, room: _Room, language: str) -> list[list[str]]:
    """Return the words of a translation for each cue of its sentence: as there is room, and parted at good places.

    By dynamic programming, since a part that takes too much leaves too little for those behind it.
    """
    count, total = len(sentence.parts), len(words)
    if count == 1:
        return [words]
    costs = break_costs([Word(word, 0.0, 0.0) for word in words], language)
    rooms = [max(room.of(cue, chars), 1.0) for cue, chars in sentence.parts]
    ends = [0]
    for word in words:
        ends.append(ends[-1] + len(word) + 1)
    scale = max(ends[-1] / sum(rooms), 1e-9)
    best: list[tuple[float, tuple[int, ...]]] = [(0.0 if not end else math.inf, ()) for end in range(total + 1)]
    for number in range(count):
        best = [
            min(
                (best[begin][0] + _part_cost(ends[end] - ends[begin], rooms[number], scale), (*best[begin][1], end))
                for begin in range(end + 1)
            )
            for end in range(total + 1)
        ]
        if number < count - 1:
            best = [(cost + _end_cost(costs, end), cuts) for end, (cost, cuts) in enumerate(best)]
    cuts = (0, *best[total][1])
    return [words[begin:end] for begin, end in pairwise(cuts)]


def _end_cost(costs: Sequence[float], end: int) -> float:
    """Return what it costs to end a part before this word; nothing at either end of the text."""
    if not 0 < end < len(costs):
        return 0.0
    return _PARTED if costs[end - 1] >= NEVER else _BREAK * costs[end - 1]


def _part_cost(chars: int, room: float, scale: float) -> float:
    """Return what it costs to give so many characters to a part: off its share of all, and more so beyond its room."""
    return _OFF * (chars / (room * scale) - 1) ** 2 + _TOO_MUCH * max(0.0, chars / room - 1) ** 2


def _fill(cue: Cue, words: Sequence[str], rules: CueRules | None, language: str) -> list[Cue]:
    """Return the cue with these words, or several of its time where they have no room in one."""
    lines = _turns(words, rules) or fold_lines(words, rules, language)
    # Cues that nobody could read are no better than one whose lines are too long.
    earliest, latest = _part_room(cue, rules) if rules else (0, 0)
    if rules is None or latest < earliest or len(words) == 1 or all(len(line) <= rules.line_chars for line in lines):
        return [msgspec.structs.replace(cue, lines=lines)]
    middle = _middle(words, language)
    share = sum(map(len, words[:middle])) / sum(map(len, words))
    # However short the one part is, it has to be read.
    at_ms = min(max(cue.start_ms + round(cue.length_ms * share / STEP_MS) * STEP_MS, earliest), latest)
    first = msgspec.structs.replace(cue, end_ms=at_ms - rules.gap_ms, spoken_ms=(cue.spoken_ms[0], at_ms))
    second = msgspec.structs.replace(cue, start_ms=at_ms, spoken_ms=(at_ms, cue.spoken_ms[1]))
    return [*_fill(first, words[:middle], rules, language), *_fill(second, words[middle:], rules, language)]


def _turns(words: Sequence[str], rules: CueRules | None) -> tuple[str, ...]:
    """Return a line for each of those who speak in a cue, told by dashes; none where that is not so, or has no room."""
    starts = [
        number
        for number, word in enumerate(words)
        if word.startswith(_DASHES) and (not number or ends_sentence(words[number - 1]))
    ]
    if rules is None or len(starts) < 2 or len(starts) > rules.lines or starts[0]:  # noqa: PLR2004 - one alone is no dialogue
        return ()
    lines = tuple(" ".join(words[one:other]) for one, other in pairwise([*starts, len(words)]))
    return lines if all(len(line) <= rules.line_chars for line in lines) else ()


def _part_room(cue: Cue, rules: CueRules) -> tuple[int, int]:
    """Return from when to when a second cue may begin in the time of one, milliseconds; none where the last is before the first."""
    earliest = cue.start_ms + math.ceil((rules.least_ms + rules.gap_ms) / STEP_MS) * STEP_MS
    return earliest, cue.end_ms - math.ceil(rules.least_ms / STEP_MS) * STEP_MS


def _middle(words: Sequence[str], language: str) -> int:
    costs = break_costs([Word(word, 0.0, 0.0) for word in words], language)
    half, at, best = sum(map(len, words)) / 2, 0, (math.inf, 1)
    for number, word in enumerate(words[:-1], start=1):
        at += len(word)
        best = min(best, (abs(at / half - 1) + 2 * _end_cost(costs, number), number))
    return best[1]
