"""What a viewer can read: sizes, speeds and pauses of cues, as data. Times are whole milliseconds."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

STEP_MS = 10
"""Times are multiples of this, which all formats can write but those that count pictures: what was checked is what is read."""
_LEAST_MS = 840
"""Five sixths of a second, rounded up."""
_MOST_MS = 7_000
_GAP_FRAMES, _LINGER_FRAMES = 2, 12
_USUAL_FPS = Fraction(24)
"""Of sound without a picture: the slowest of the usual rates makes the longest gap."""


class Preset(StrEnum):
    """A house style."""

    NETFLIX = "netflix"
    BROADCAST = "broadcast"
    """Shorter lines and slower reading, as on television."""
    KARAOKE = "karaoke"
    """One line, in which each word lights up as it is spoken."""
    RAW = "raw"
    """One cue a recognized stretch, without any rule; for programs."""


class CueRules(msgspec.Struct, frozen=True):
    """What each cue must keep to."""

    lines: int = 2
    line_chars: int = 42
    """Characters a line takes; one of Chinese, Japanese or Korean is as one of Latin here, and their limit is lower."""
    least_ms: int = _LEAST_MS
    """A cue is shown for at least so long."""
    most_ms: int = _MOST_MS
    gap_ms: int = 90
    """Between the end of a cue and the start of the next, so that viewers see that it is another."""
    linger_ms: int = 500
    """For so long at most a cue stays after its last word."""
    lead_ms: int = 500
    """For so long at most a cue stands before its first word; only where it could not be read otherwise."""
    chars_per_s: float = 17.0
    """Fastest reading, line breaks not counted."""
    aim_chars_per_s: float = 17.0
    """What is aimed at, no faster than that: cues are cut and shown so that they can be read at this speed, where there is time."""
    aim_line_chars: int = 42
    """What is aimed at, no more than a line takes: in the room that is left a translation may be longer."""
    is_spaced: bool = True
    """Whether words have spaces between them."""


_LEAST_FPS, _MOST_FPS = Fraction(20), Fraction(60)
_NARROWEST = 12
"""Characters of a line that is still one."""
_DENSE = {
    # Netflix Timed Text Style Guides: Chinese (Simplified), Japanese and Korean, programmes for adults.
    "zh": (16, 9.0),
    "yue": (16, 9.0),
    "ja": (13, 4.0),
    "ko": (16, 12.0),
}
"""Languages of dense scripts → characters a line, and a second."""
UNSPACED = frozenset({"zh", "yue", "ja"})
"""Languages that part no words by spaces."""
_STYLES: dict[Preset, tuple[int, int, float]] = {
    Preset.NETFLIX: (2, 42, 17.0),
    # EBU and BBC lines hold 37 characters; 160 to 180 words a minute are about 15 characters a second.
    Preset.BROADCAST: (2, 37, 15.0),
    Preset.KARAOKE: (1, 42, 17.0),
}
"""Style → lines, characters a line, characters a second."""


def rules_for(
    preset: Preset, language: str, *, fps: Fraction = _USUAL_FPS, chars_per_s: float | None = None
) -> CueRules:
    """Return the rules of a style for one language.

    Args:
        preset: Any but `RAW`, which has none.
        language: ISO 639-1.
        fps: Pictures a second of the video, in which gaps are counted.
        chars_per_s: Fastest reading, if not the style's.
    """
    lines, line_chars, speed = _STYLES[preset]
    # Of two pictures of a slide show the eye sees no gap, and of two at 240 a second neither.
    fps = min(max(fps, _LEAST_FPS), _MOST_FPS)
    if language in _DENSE:
        line_chars, speed = _DENSE[language]
    return CueRules(
        lines=lines,
        line_chars=line_chars,
        aim_line_chars=line_chars,
        gap_ms=ceil(_GAP_FRAMES * 1000 / fps / STEP_MS) * STEP_MS,
        linger_ms=floor(_LINGER_FRAMES * 1000 / fps / STEP_MS) * STEP_MS,
        chars_per_s=chars_per_s or speed,
        aim_chars_per_s=chars_per_s or speed,
        is_spaced=language not in UNSPACED,
    )


_DENSITY = {"en": 1.0, "zh": 0.35, "yue": 0.35, "ja": 0.5, "ko": 0.55}
_USUAL_DENSITY = 1.2
"""Characters that a text has in a language, against English, roughly."""
_SPARE = 1.25
"""Single sentences grow more than texts do."""


def leave_room(rules: CueRules, source: str, targets: Iterable[tuple[str, CueRules]]) -> CueRules:
    """Return stricter rules, by which cues are cut that translations will stand in: these are often longer.

    Args:
        rules: Of what is spoken.
        source: Its language, ISO 639-1.
        targets: The languages of translations, and their rules.
    """
    speed, width = rules.chars_per_s, float(rules.line_chars)
    for language, other in targets:
        growth = _DENSITY.get(language, _USUAL_DENSITY) / _DENSITY.get(source, _USUAL_DENSITY)
        speed = min(speed, other.chars_per_s / growth / _SPARE)
        width = min(width, other.line_chars / growth)
    return msgspec.structs.replace(rules, aim_chars_per_s=speed, aim_line_chars=max(_NARROWEST, int(width)))
