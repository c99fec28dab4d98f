"""When cues come and go: with their words, a little longer where that is needed to read them. Pure, in milliseconds."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.rules import STEP_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.kinds.subtitle.rules import CueRules


class Spoken(msgspec.Struct, frozen=True):
    """The text of a cue, and when it is spoken."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    words: tuple[int, int]


def set_times(parts: Sequence[Spoken], rules: CueRules) -> list[Cue]:
    """Return cues with the times for which they are shown.

    Each begins with its first word and ends with its last one, or as much later as it takes to read it; where the next comes too
    soon for that, it begins earlier. From the last to the first, each as late as it can be: so the ones before have most room.
    What is left between cues then goes to those that could be read at more ease.
    """
    cues: list[Cue] = []
    behind = None
    for number in range(len(parts) - 1, -1, -1):
        part = parts[number]
        floor = parts[number - 1].end_ms + rules.gap_ms if number else 0
        start, end = _span(part, rules, floor=floor, ceiling=behind)
        cues.append(Cue(start, end, part.lines, (part.start_ms, part.end_ms), part.words))
        behind = start - rules.gap_ms
    return _ease(cues[::-1], rules)


def _need_ms(lines: Sequence[str], chars_per_s: float, rules: CueRules) -> int:
    return max(rules.least_ms, ceil(sum(map(len, lines)) / chars_per_s * 1000 / STEP_MS) * STEP_MS)


def _span(part: Spoken, rules: CueRules, *, floor: int, ceiling: int | None) -> tuple[int, int]:
    """Return start and end of a cue that begins at `floor` at the earliest, unless it is spoken earlier, and ends at `ceiling`."""
    need = _need_ms(part.lines, rules.chars_per_s, rules)
    latest = part.end_ms + rules.linger_ms
    if ceiling is not None:
        latest = min(latest, ceiling)
    start = min(part.start_ms, max(latest - need, part.start_ms - rules.lead_ms, floor))
    end = min(latest, max(part.end_ms, start + need), start + rules.most_ms)
    return start, max(end, start + STEP_MS)


def _ease(cues: Sequence[Cue], rules: CueRules) -> list[Cue]:
    """Return cues that take what is left of the pauses between them, as far as they would else be read faster than is aimed at.

    Where both sides of a pause could do with it, it is shared out by what each lacks.
    """
    starts, ends = [cue.start_ms for cue in cues], [cue.end_ms for cue in cues]

    def lack(number: int) -> int:
        wanted = min(rules.most_ms, _need_ms(cues[number].lines, rules.aim_chars_per_s, rules))
        return max(0, wanted - (ends[number] - starts[number]))

    for number in range(len(cues) + 1):
        late = early = 0
        if number:
            late = min(lack(number - 1), max(0, cues[number - 1].spoken_ms[1] + rules.linger_ms - ends[number - 1]))
        if number < len(cues):
            early = min(lack(number), max(0, starts[number] - max(0, cues[number].spoken_ms[0] - rules.lead_ms)))
        if 0 < number < len(cues):
            free = max(0, starts[number] - ends[number - 1] - rules.gap_ms)
            if late + early > free:
                late = free * late // (late + early) // STEP_MS * STEP_MS
                early = free - late
        if number:
            ends[number - 1] += late
        if number < len(cues):
            starts[number] -= early
    times = zip(cues, starts, ends, strict=True)
    return [msgspec.structs.replace(cue, start_ms=start, end_ms=end) for cue, start, end in times]
