"""SRT and WebVTT in a form in which pysubs2 finds what players show: a number above each cue, and nothing that is none. Pure.

pysubs2 takes all between two lines of times for text, and a last line of digits for the number of the next cue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

_TIMES = re.compile(r"\d\s*-->\s*\d")
_NUMBER = "0"
MOST_CHARS = 5_000
"""Between the times of a cue and those of the next: for tags that do not end pysubs2 takes time that grows with the square."""


def number_srt(text: str) -> str:
    """Return SRT with a number above each line of times, one empty line at most in a row, and a number at the end.

    Raises:
        ValueError: One cue has more text than `MOST_CHARS`.
    """
    made: list[str] = []
    chars = 0
    for line in text.splitlines():
        if not line.strip():
            # Runs of them are skipped by players, and take pysubs2 time that grows with their square.
            made += [""] if made and made[-1] else []
            continue
        if _TIMES.search(line) and not (made and made[-1].strip().isdigit()):
            made.append(_NUMBER)
        chars = 0 if _TIMES.search(line) else chars + len(line)
        _check(chars)
        made.append(line)
    return "\n".join([*made, "", _NUMBER, ""])


def number_vtt(text: str) -> str:
    """Return WebVTT of only its cues, each with a number in place of its identifier.

    Raises:
        ValueError: One cue has more text than `MOST_CHARS`.

    Comments, styles and regions are blocks of their own (https://www.w3.org/TR/webvtt1/, section 4.1), as is the header.
    """
    return "\n\n".join(["WEBVTT", *("\n".join([_NUMBER, *cue]) for cue in _cues(text)), _NUMBER, ""])


def _cues(text: str) -> Iterator[Sequence[str]]:
    """Yield the lines of each cue, from that of its times on."""
    for is_block, lines in groupby(text.splitlines(), key=lambda line: bool(line.strip())):
        block = list(lines) if is_block else []
        # A comment may name times, an identifier is one line, and some writers leave no empty line between cues.
        starts = [number for number, line in enumerate(block) if _TIMES.search(line)]
        if not starts or block[0].split()[0] == "NOTE":
            continue
        for begin, end in zip(starts, [*starts[1:], len(block)], strict=True):
            _check(sum(map(len, block[begin + 1 : end])))
            yield block[begin:end]


def _check(chars: int) -> None:
    if chars > MOST_CHARS:
        raise ValueError(f"one cue has more than {MOST_CHARS:,} characters")
