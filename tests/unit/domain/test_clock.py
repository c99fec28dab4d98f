"""The machine's clock, as the parts see it."""

from __future__ import annotations

import time

from mediafleet.domain.clock import Clock, SystemClock


def test_the_wall_clock_counts_milliseconds_since_1970() -> None:
    clock: Clock = SystemClock()
    before = int(time.time() * 1000)
    now = clock.now_ms()
    assert before <= now <= int(time.time() * 1000) + 1


def test_the_other_clock_never_runs_backwards() -> None:
    clock: Clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)
