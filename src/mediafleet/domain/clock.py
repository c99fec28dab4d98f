"""Time as a value that is handed in, so that rules and loops can be tested without waiting."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Protocol

from mediafleet.domain.errors import InvalidRequest

_HIGHEST_MS = 253_402_300_799_999
"""The last millisecond that a date of four digits can name."""
_EXAMPLE = "2030-01-31T18:00:00+01:00"


def parse_moment(value: int | str, what: str) -> int:
    """Return a moment that a user named as milliseconds since 1970-01-01 UTC; 0 or nothing for none.

    Raises:
        InvalidRequest: It is neither milliseconds nor ISO 8601 with an offset; `what` names it.
    """
    if isinstance(value, str):
        value = _parse_iso(value) if value else 0
    if value < 0 or value > _HIGHEST_MS:
        raise InvalidRequest(f"{what} is no moment; write milliseconds since 1970, or ISO 8601 like {_EXAMPLE}.")
    return value


def _parse_iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return -1
    # Without an offset it would mean another moment on each machine that reads it.
    return int(moment.timestamp() * 1000) if moment.tzinfo else -1


class Clock(Protocol):
    """What the parts need of time."""

    def now_ms(self) -> int:
        """Return the wall clock, milliseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean something."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Return the wall clock, milliseconds since 1970-01-01 UTC."""
        # From whole nanoseconds: seconds as a float, multiplied, may end up a millisecond short.
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()
