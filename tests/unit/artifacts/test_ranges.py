"""Stretches of bytes are merged and compared without losing or adding a byte."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.artifacts.ranges import Range, count_bytes, merge_ranges, missing_ranges
from mediafleet.domain.errors import InvalidRequest

SIZE = 60
STRETCHES = st.lists(
    st.tuples(st.integers(0, SIZE + 5), st.integers(0, SIZE + 5)).map(lambda ends: (min(ends), max(ends))), max_size=8
)


def bytes_of(ranges: list[Range] | tuple[Range, ...]) -> set[int]:
    return {position for start, end in ranges for position in range(start, min(end, SIZE))}


@given(STRETCHES)
def test_merged_stretches_are_the_same_bytes_in_order_and_apart(ranges: list[Range]) -> None:
    merged = merge_ranges(ranges, size=SIZE)
    assert bytes_of(merged) == bytes_of(ranges)
    assert count_bytes(merged) == len(bytes_of(ranges))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(merged))


@given(STRETCHES, st.integers(1, 20))
def test_a_gap_that_is_tolerated_is_fetched_and_a_wider_one_is_not(ranges: list[Range], gap: int) -> None:
    merged = merge_ranges(ranges, size=SIZE, gap=gap)
    assert bytes_of(merged) >= bytes_of(ranges)
    assert all(after[0] - before[1] > gap for before, after in itertools.pairwise(merged))


@given(STRETCHES, STRETCHES)
def test_missing_is_what_is_wanted_and_not_there(wanted: list[Range], there: list[Range]) -> None:
    missing = missing_ranges(merge_ranges(wanted, size=SIZE), merge_ranges(there, size=SIZE))
    assert bytes_of(missing) == bytes_of(wanted) - bytes_of(there)
    assert count_bytes(missing) == len(bytes_of(missing))


@pytest.mark.parametrize("bad", [(-1, 5), (5, 4)])
def test_a_stretch_that_is_none_is_refused(bad: Range) -> None:
    with pytest.raises(InvalidRequest, match="no stretch of bytes"):
        merge_ranges([(0, 1), bad], size=SIZE)
