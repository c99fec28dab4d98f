"""The machine's clock, as the parts see it."""

from __future__ import annotations

import time

import pytest

from mediafleet.domain.clock import Clock, SystemClock, parse_moment
from mediafleet.domain.errors import InvalidRequest


def test_the_wall_clock_counts_milliseconds_since_1970() -> None:
    clock: Clock = SystemClock()
    before = int(time.time() * 1000)
    now = clock.now_ms()
    assert before <= now <= int(time.time() * 1000) + 1


def test_the_other_clock_never_runs_backwards() -> None:
    clock: Clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0, 0), ("", 0), (5, 5), ("1970-01-01T00:00:01Z", 1_000), ("1970-01-01T02:00:00.5+02:00", 500)],
)
def test_a_moment_is_milliseconds_or_a_date_with_an_offset(given: int | str, expected: int) -> None:
    assert parse_moment(given, "deadline") == expected


@pytest.mark.parametrize("given", [-1, 10**15, "1970-01-01", "1970-01-01T00:00:01", "tomorrow", "1969-01-01T00:00:00Z"])
def test_what_may_mean_several_moments_or_none_is_refused(given: int | str) -> None:
    with pytest.raises(InvalidRequest, match="deadline is no moment; write milliseconds since 1970, or ISO 8601"):
        parse_moment(given, "deadline")
