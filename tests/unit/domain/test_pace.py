"""What was measured of a sort of work, and what follows for other work of the sort."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.pace import KEPT_MS, Did, Measured, Paces, check_pace, read_paces

NOW = 10 * KEPT_MS


def test_work_takes_what_as_much_of_it_took_on_that_node() -> None:
    paces = Paces({("p", "a"): Measured(10, 1_000, 1), ("p", ""): Measured(40, 8_000, 2)})
    assert paces.on_node("p", 5, "a") == 500
    assert paces.on_node("p", 5, "b") == 1_000, "of a node that did none, what all did"
    assert paces.on_node("q", 5, "a") is None


def test_work_of_unknown_size_takes_what_one_task_took() -> None:
    paces = Paces({("p", ""): Measured(0, 9_000, 3)})
    assert paces.on_node("p", 0, "a") == 3_000
    assert paces.on_node("p", 5, "a") is None, "sizes were never told, so nothing follows for one"


def test_of_several_nodes_the_fast_ones_do_more() -> None:
    paces = Paces({("p", "a"): Measured(1, 1_000, 1), ("p", "b"): Measured(1, 3_000, 1), ("p", ""): Measured(1, 7, 1)})
    assert paces.on_any("p", 1, ["a", "b"]) == pytest.approx(1_500)
    assert paces.on_any("p", 1, []) == 7
    assert paces.on_any("q", 1, ["a"]) is None


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=5), st.floats(0.1, 1e6))
def test_several_nodes_are_neither_faster_than_the_fastest_nor_slower_than_the_slowest(
    took: list[float], size: float
) -> None:
    paces = Paces({("p", str(node)): Measured(1, one, 1) for node, one in enumerate(took)})
    found = paces.on_any("p", size, [str(node) for node in range(len(took))])
    assert found is not None
    assert min(took) * size * 0.999 <= found <= max(took) * size * 1.001


def test_what_the_store_keeps_is_read_unless_it_is_too_old() -> None:
    paces = read_paces([(("p", "a"), f"2|500|1|{NOW}"), (("p", "b"), f"2|500|1|{NOW - KEPT_MS - 1}")], now_ms=NOW)
    assert paces.on_node("p", 4, "a") == 1_000
    assert paces.on_node("p", 4, "b") is None


@pytest.mark.parametrize("pace", ["A", "a b", "a|b", "a\n", "x" * 81, "ü"])
def test_a_pace_that_could_not_be_the_name_of_a_field_is_refused_from_plans_and_nodes(pace: str) -> None:
    with pytest.raises(InvalidRequest, match="has the pace"):
        check_pace(pace, 0, "t")
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"pace": pace}, Did)


@pytest.mark.parametrize("size", [-1, math.inf, math.nan])
def test_a_size_that_cannot_be_is_refused(size: float) -> None:
    with pytest.raises(InvalidRequest, match="has the size"):
        check_pace("p", size, "t")
    check_pace("transcode:chunk:libx264:medium:1080", 0.0, "t")
