"""Limits of a job as people type them: `queue=10m`, `tries=5`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.limits import NO_WISH, LimitWish

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMES = ("queue", "accept", "progress", "total")
_UNITS = {"ms": 1, "": 1_000, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TIME = re.compile(r"(?P<number>[0-9]{1,12})(?P<unit>ms|s|m|h|d|)")


def read_limits(words: Sequence[str]) -> LimitWish:
    """Return what `--limit` asks for; the fleet checks it against the range of the kind. Raises InvalidRequest."""
    found: dict[str, int] = {}
    for word in words:
        name, _, text = word.partition("=")
        field, value = _read(name, text)
        if value is None:
            raise InvalidRequest(
                f"--limit {word} cannot be read; write queue, accept, progress or total and a time, as queue=10m (ms, s, m, "
                "h, d), or tries=5."
            )
        if field in found:
            raise InvalidRequest(f"--limit {name} was given twice.")
        found[field] = value
    # The one object that documents leave out: a scheduler that does not know limits yet is not asked for any.
    return LimitWish(**found) if found else NO_WISH


def _read(name: str, text: str) -> tuple[str, int | None]:
    if name == "tries" and text.isascii() and text.isdigit():
        return "max_tries", int(text[:12])
    match = _TIME.fullmatch(text) if name in _TIMES else None
    return f"{name}_ms", int(match["number"]) * _UNITS[match["unit"]] if match else None
