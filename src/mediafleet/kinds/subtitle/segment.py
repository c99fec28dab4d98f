"""From recognized words to cues that people can read: the best of all ways to part them, by dynamic programming. Pure.

After Knuth and Plass, "Breaking Paragraphs into Lines" (1981): each cue has a cost, and the parting with the lowest sum is
taken. What a cue costs stands in `_Parter._cost`; what may never be is not weighed but left out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.breaks import NEVER, break_costs, ends_sentence
from mediafleet.kinds.subtitle.rules import STEP_MS
from mediafleet.kinds.subtitle.timing import Spoken, set_times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.kinds.subtitle.cue import Cue
    from mediafleet.kinds.subtitle.rules import CueRules

_LONGEST_PAUSE_MS = 1_500
"""Within a cue: over a longer one viewers would read what is not said yet."""
_PAUSE_MS = 600
"""From here on a pause within a cue costs."""
_CUE, _END, _LINE, _PAUSE, _UNEVEN = 0.5, 2.5, 3.0, 1.5, 0.3
"""What costs: each cue, a bad end of it, a bad end of its first line, a pause in it, lines of unlike lengths."""
_SHORT, _FAST, _TOO_FAST, _SENTENCE_INSIDE = 6.0, 4.0, 100.0, 0.6
"""What costs more: too short a time, faster reading than is aimed at and than there may be, a sentence that ends in the middle of
a line."""
_BROKEN = 0.3
_WIDE = 10.0
"""What it costs to leave no room for a translation that is longer."""
_OVERLONG = 1_000.0
"""A single word that fits into no line has to stand somewhere."""


def segment(words: Sequence[Word], rules: CueRules, *, language: str) -> list[Cue]:
    """Return the cues of what is spoken, in order; every word is in exactly one.

    Args:
        words: In order of their starts; times in seconds.
        rules: What cues must keep to. Where speech is so fast or broken that times cannot, text is kept and the rule is not;
            `check_cues` tells where.
        language: ISO 639-1.
    """
    if not words:
        return []
    parter = _Parter(words, rules, language)
    ranges = parter.part()
    cues = set_times([parter.spoken(begin, end) for begin, end in ranges], rules)
    speakers = [words[begin].speaker for begin, _ in ranges]
    return [msgspec.structs.replace(cue, speaker=speaker) for cue, speaker in zip(cues, speakers, strict=True)]


def fold(texts: Sequence[str], costs: Sequence[float], rules: CueRules) -> tuple[float, tuple[int, ...]] | None:
    """Return cost and the first words of the lines below the first, for words that stand in one cue.

    None where they do not fit.
    """
    width = text_width(texts, rules)
    if width <= rules.line_chars:
        return 0.0, ()
    if rules.lines == 1:
        return None
    best: tuple[float, tuple[int, ...]] | None = None
    gap = 1 if rules.is_spaced else 0
    above = -gap
    for number, text in enumerate(texts[:-1], start=1):
        above += len(text) + gap
        below = width - above - gap
        if above > rules.line_chars or below > rules.line_chars or costs[number - 1] >= NEVER:
            continue
        # A longer line below hides less of the picture, and is read as easily.
        uneven = abs(above - below) / rules.line_chars * (1.0 if above > below else 0.7)
        cost = _LINE * costs[number - 1] + _UNEVEN * uneven
        if best is None or cost < best[0]:
            best = cost, (number,)
    return best


def fold_lines(texts: Sequence[str], rules: CueRules | None, language: str) -> tuple[str, ...]:
    """Return the lines of a cue with these words: one where they fit into it, or where nothing fits.

    Args:
        texts: Words, or of scripts without spaces characters.
        rules: By which lines are folded; None for one line.
        language: ISO 639-1.
    """
    folded = fold(texts, break_costs([Word(text, 0.0, 0.0) for text in texts], language), rules) if rules else None
    return _join_lines(texts, folded[1] if folded else (), rules)


def _join_lines(texts: Sequence[str], below: Sequence[int], rules: CueRules | None) -> tuple[str, ...]:
    joint = " " if rules is None or rules.is_spaced else ""
    return tuple(joint.join(texts[one:other]) for one, other in pairwise([0, *below, len(texts)]))


def text_width(texts: Sequence[str], rules: CueRules) -> int:
    """Return how many characters words take in one line."""
    return sum(map(len, texts)) + (len(texts) - 1 if rules.is_spaced else 0)


class _Best(NamedTuple):
    cost: float
    begin: int


class _Parter:
    """One text on its way into cues."""

    def __init__(self, words: Sequence[Word], rules: CueRules, language: str) -> None:
        self._rules = rules
        self._texts = [word.text for word in words]
        self._speakers = [word.speaker for word in words]
        self._starts = [round(word.start_s * 1000 / STEP_MS) * STEP_MS for word in words]
        self._ends = [round(word.end_s * 1000 / STEP_MS) * STEP_MS for word in words]
        self._costs = break_costs(words, language)
        self._pauses = [start - end for end, start in zip(self._ends, self._starts[1:], strict=False)]
        self._ending = [ends_sentence(text) for text in self._texts]

    def part(self) -> list[tuple[int, int]]:
        """Return first word and the one behind the last, of each cue."""
        best = [_Best(0.0, 0)]
        for end in range(1, len(self._texts) + 1):
            best.append(min(self._candidates(best, end)))
        ranges: list[tuple[int, int]] = []
        end = len(self._texts)
        while end:
            ranges.append((best[end].begin, end))
            end = best[end].begin
        return ranges[::-1]

    def _candidates(self, best: list[_Best], end: int) -> list[_Best]:
        found: list[_Best] = []
        for begin in range(end - 1, -1, -1):
            is_one = begin == end - 1
            if not is_one and not self._may_join(begin, end):
                break
            cost = self._cost(begin, end)
            if cost is None:
                cost = _OVERLONG if is_one else None
            if cost is not None:
                found.append(_Best(best[begin].cost + cost, begin))
        return found

    def _may_join(self, begin: int, end: int) -> bool:
        """Tell whether words may stand in one cue as far as speakers, time and room go; if they may not, neither may more."""
        rules = self._rules
        if self._speakers[begin] != self._speakers[end - 1]:
            return False
        if self._pauses[begin] > _LONGEST_PAUSE_MS or self._ends[end - 1] - self._starts[begin] > rules.most_ms:
            return False
        return text_width(self._texts[begin:end], rules) <= rules.lines * rules.line_chars + 1

    def _cost(self, begin: int, end: int) -> float | None:
        folded = fold(self._texts[begin:end], self._costs[begin:end], self._rules)
        if folded is None:
            return None
        end_cost = self._costs[end - 1]
        cost = _CUE + folded[0] + _END * end_cost * (10 if end_cost >= NEVER and end < len(self._texts) else 1)
        for pause in self._pauses[begin : end - 1]:
            cost += _PAUSE * max(0, pause - _PAUSE_MS) / 1000
        cost += _SENTENCE_INSIDE * sum(self._ending[begin : end - 1])
        wide = text_width(self._texts[begin:end], self._rules) / (self._rules.lines * self._rules.aim_line_chars) - 1
        return cost + _WIDE * max(0.0, wide) + self._time_cost(begin, end)

    def _time_cost(self, begin: int, end: int) -> float:
        rules, chars = self._rules, text_width(self._texts[begin:end], self._rules)
        room = self._room(begin, end)
        short = max(0.0, 1 - room / rules.least_ms)
        speed = chars * 1000 / max(room, 1)
        fast = max(0.0, speed / rules.aim_chars_per_s - 1)
        # A rule that is broken by little is broken all the same.
        too_fast = speed / rules.chars_per_s - 1 + _BROKEN if speed > rules.chars_per_s else 0.0
        return _SHORT * short + _FAST * min(fast, 2.0) + _TOO_FAST * min(too_fast, 2.0)

    def _room(self, begin: int, end: int) -> int:
        """Return for how many milliseconds a cue could be shown, without taking what its neighbours need."""
        rules = self._rules
        before = self._pauses[begin - 1] if begin else min(2 * rules.lead_ms, self._starts[begin]) + rules.gap_ms
        behind = self._pauses[end - 1] if end < len(self._texts) else 2 * rules.linger_ms + rules.gap_ms
        # Half of each pause, so that what is found here is there whatever the neighbours do.
        early = max(0, min(rules.lead_ms, (before - rules.gap_ms) // 2))
        spare = behind - rules.gap_ms
        # What the gap lacks is taken from the cue before it.
        late = min(rules.linger_ms, spare // 2 if spare > 0 else spare)
        return self._ends[end - 1] - self._starts[begin] + early + late

    def spoken(self, begin: int, end: int) -> Spoken:
        """Return a cue's text and when it is spoken."""
        texts = self._texts[begin:end]
        folded = fold(texts, self._costs[begin:end], self._rules)
        lines = _join_lines(texts, folded[1] if folded else (), self._rules)
        return Spoken(self._starts[begin], self._ends[end - 1], lines, (begin, end))
