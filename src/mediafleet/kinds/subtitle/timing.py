"""When cues come and go: with their words, a little longer where that is needed to read them. Pure, in milliseconds."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.subtitle.cue import Cue

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
    """
    cues: list[Cue] = []
    behind = None
    for number in range(len(parts) - 1, -1, -1):
        part = parts[number]
        floor = parts[number - 1].end_ms + rules.gap_ms if number else 0
        start, end = _span(part, rules, floor=floor, ceiling=behind)
        cues.append(Cue(start, end, part.lines, (part.start_ms, part.end_ms), part.words))
        behind = start - rules.gap_ms
    return cues[::-1]


def _span(part: Spoken, rules: CueRules, *, floor: int, ceiling: int | None) -> tuple[int, int]:
    """Return start and end of a cue that begins at `floor` at the earliest, unless it is spoken earlier, and ends at `ceiling`."""
    need = max(rules.least_ms, ceil(sum(map(len, part.lines)) / rules.chars_per_s * 1000))
    latest = part.end_ms + rules.linger_ms
    if ceiling is not None:
        latest = min(latest, ceiling)
    start = min(part.start_ms, max(latest - need, part.start_ms - rules.lead_ms, floor))
    end = min(latest, max(part.end_ms, start + need), start + rules.most_ms)
    return start, max(end, start + 1)
