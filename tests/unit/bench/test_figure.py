"""A figure is a number that was measured, as a program reads it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.bench.figure import Figure, percentile

numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1)


def test_a_figure_is_read_by_the_names_that_the_documentation_promises() -> None:
    figure = Figure("noop_tasks_per_s", 5.0, "1/s", "one instance", 0.5)
    assert msgspec.to_builtins(figure) == {
        "name": "noop_tasks_per_s", "value": 5.0, "unit": "1/s", "compared_to": "one instance", "ratio": 0.5,
    }  # fmt: skip


def test_a_figure_that_is_compared_to_nothing_has_no_ratio() -> None:
    assert msgspec.to_builtins(Figure("x", 1.0, "s"))["ratio"] is None
    assert not Figure("x", 1.0, "s").compared_to


@given(numbers, st.floats(0, 100))
def test_a_percentile_is_one_of_the_values_whatever_their_order(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert found == percentile(sorted(values, reverse=True), percent)


@given(numbers, st.integers(0, 100))
def test_no_more_of_the_values_than_asked_for_lie_below_a_percentile(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert sum(value < found for value in values) * 100 <= len(values) * percent


@given(numbers, st.integers(0, 100), st.integers(0, 100))
def test_a_higher_percentile_is_never_less(values: list[float], one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert percentile(values, low) <= percentile(values, high)


@given(numbers)
def test_the_ends_are_the_least_and_the_greatest_value(values: list[float]) -> None:
    assert percentile(values, 0) == min(values)
    assert percentile(values, 100) == max(values)


def test_values_are_left_in_their_order() -> None:
    values = [3.0, 1.0, 2.0]
    assert percentile(values, 50) == 2.0
    assert values == [3.0, 1.0, 2.0]


@pytest.mark.parametrize(("percent", "value"), [(0, 10.0), (49, 20.0), (50, 30.0), (99, 40.0)])
def test_of_four_values_half_lie_below_the_median(percent: float, value: float) -> None:
    assert percentile([40.0, 10.0, 30.0, 20.0], percent) == value
