"""Cues with two languages, one above the other. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.subtitle.formats import Transcript
from mediafleet.kinds.subtitle.segment import fold_lines, text_width
from mediafleet.kinds.subtitle.sentences import split_words

if TYPE_CHECKING:
    from mediafleet.kinds.subtitle.rules import CueRules

_DASHES = ("-", "\u2010", "\u2013", "\u2014")
"""A line that begins with one is somebody else's."""


def make_bilingual(
    first: Transcript, second: Transcript, rules: tuple[CueRules | None, CueRules | None] = (None, None)
) -> Transcript:
    """Return the first's cues, each with those of the second below that lie in its time: a translation may need two for one.

    Args:
        first: What stands above.
        second: What stands below.
        rules: Of each language. Its part of a cue has one line where that fits, else two; where there are no rules, or it does not
            fit into two, its lines stay as they are.
    """
    starts = [cue.start_ms for cue in first.cues]
    below: dict[int, tuple[str, ...]] = {}
    for cue in second.cues:
        at = max(0, bisect_right(starts, (cue.start_ms + cue.end_ms) // 2) - 1)
        below[at] = (*below.get(at, ()), *cue.lines)
    cues = tuple(
        msgspec.structs.replace(
            cue,
            lines=_refold(cue.lines, rules[0], first.language)
            + _refold(below.get(number, ()), rules[1], second.language),
            words=(0, 0),
        )
        for number, cue in enumerate(first.cues)
    )
    return Transcript(f"{first.language}+{second.language}", cues, (), first.is_drafty)


def _refold(lines: tuple[str, ...], rules: CueRules | None, language: str) -> tuple[str, ...]:
    """Return the lines of one language in as few as they fit into."""
    if rules is None or len(lines) < 2 or any(line.startswith(_DASHES) for line in lines):  # noqa: PLR2004 - fewer are none
        return lines
    words = [word for line in lines for word in split_words(line, language)]
    folded = fold_lines(words, rules, language)
    # One line is also what is given where nothing fits.
    return folded if len(folded) > 1 or text_width(words, rules) <= rules.line_chars else lines
