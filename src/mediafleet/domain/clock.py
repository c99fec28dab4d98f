"""Time as a value that is handed in, so that rules and loops can be tested without waiting."""

from __future__ import annotations

import time
from typing import Protocol


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
