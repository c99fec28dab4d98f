"""Stretches of bytes, half-open: which of them are wanted, which are there, and which are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mediafleet.domain.errors import InvalidRequest

Range = tuple[int, int]
"""First byte, and the one behind the last."""

GAP_BYTES = 256 * 1024
"""Stretches that lie closer are fetched as one: a request of its own costs as much as these bytes."""


def merge_ranges(ranges: Iterable[Range], *, size: int, gap: int = 0) -> tuple[Range, ...]:
    """Return the stretches in order, cut to the file, without empty ones; those at most `gap` apart become one.

    Raises:
        InvalidRequest: One begins before the file, or ends before it begins.
    """
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start < 0 or end < start:
            raise InvalidRequest(
                f"{start} to {end} is no stretch of bytes; it has to begin at 0 or later, and not end before."
            )
        last = min(end, size)
        if start >= last:
            continue
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((start, last))
    return tuple(merged)


def missing_ranges(wanted: Sequence[Range], there: Sequence[Range]) -> tuple[Range, ...]:
    """Return what of `wanted` is not in `there`; both are in order and do not touch, as `merge_ranges` makes them."""
    missing: list[Range] = []
    for wanted_start, end in wanted:
        start = wanted_start
        for there_start, there_end in there:
            if there_end <= start or there_start >= end:
                continue
            if there_start > start:
                missing.append((start, there_start))
            start = there_end
        if start < end:
            missing.append((start, end))
    return tuple(missing)


def count_bytes(ranges: Iterable[Range]) -> int:
    """Return how many bytes stretches have that do not overlap."""
    return sum(end - start for start, end in ranges)
