"""Holds cues to the rules, whoever made them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mediafleet.kinds.subtitle.cue import Cue
    from mediafleet.kinds.subtitle.rules import CueRules


class Rule(StrEnum):
    """What a cue can break."""

    EMPTY = "empty"
    LINES = "lines"
    WIDTH = "width"
    SHORT = "short"
    LONG = "long"
    GAP = "gap"
    """Too little time before the next, or none."""
    LATE = "late"
    """It stays too long after its last word."""
    EARLY = "early"
    FAST = "fast"
    """More characters a second than can be read."""


class Violation(msgspec.Struct, frozen=True):
    """One rule that one cue breaks."""

    cue: int
    """From 1, as files number them."""
    rule: Rule
    sentence: str


def check_cues(cues: Sequence[Cue], rules: CueRules) -> list[Violation]:
    """Return what is wrong with cues, in their order; nothing where all is right."""
    found = [
        Violation(number, rule, f"Cue {number} {what}.")
        for number, cue in enumerate(cues, start=1)
        for rule, what in _look_at(cue, rules)
    ]
    for layer in sorted({cue.layer for cue in cues}):
        numbered = [(number, cue) for number, cue in enumerate(cues, start=1) if cue.layer == layer]
        for (number, one), (_, other) in pairwise(numbered):
            if (gap := other.start_ms - one.end_ms) < rules.gap_ms:
                sentence = f"Cue {number} ends {gap} ms before the next; {rules.gap_ms} are due."
                found.append(Violation(number, Rule.GAP, sentence))
    return sorted(found, key=lambda one: one.cue)


def breaks_warning(count: int, language: str) -> str:
    """Return what to tell of so many breaches that nothing could be done about."""
    return (
        f"{count} time(s) the subtitles in {language!r} break the style's rules (too fast to be read, lines too long, too short), "
        "since times and words have no room for more; they are written as they are."
    )


def _look_at(cue: Cue, rules: CueRules) -> Iterator[tuple[Rule, str]]:
    if not cue.chars:
        yield Rule.EMPTY, "has no text"
    if len(cue.lines) > rules.lines:
        yield Rule.LINES, f"has {len(cue.lines)} lines"
    for line in cue.lines:
        if len(line) > rules.line_chars:
            yield Rule.WIDTH, f"has a line of {len(line)} characters"
    yield from _look_at_times(cue, rules)


def _look_at_times(cue: Cue, rules: CueRules) -> Iterator[tuple[Rule, str]]:
    if cue.length_ms < rules.least_ms:
        yield Rule.SHORT, f"lasts {cue.length_ms} ms"
    if cue.length_ms > rules.most_ms:
        yield Rule.LONG, f"lasts {cue.length_ms} ms"
    if cue.chars * 1000 > rules.chars_per_s * cue.length_ms:
        speed = cue.chars * 1000 / max(cue.length_ms, 1)
        yield Rule.FAST, f"has {speed:.1f} characters a second"
    if cue.end_ms - cue.spoken_ms[1] > rules.linger_ms:
        yield Rule.LATE, f"ends {cue.end_ms - cue.spoken_ms[1]} ms after its last word"
    if cue.spoken_ms[0] - cue.start_ms > rules.lead_ms:
        yield Rule.EARLY, f"begins {cue.spoken_ms[0] - cue.start_ms} ms before its first word"
