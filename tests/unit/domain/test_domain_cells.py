"""Which cell has what: the same answer everywhere, and jobs where there is room for them."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.capability import Requirement, Signature
from mediafleet.domain.cells import (
    CellLoad,
    cell_names,
    cell_of_grant,
    choose_cell,
    grant_prefix,
    group_by_waits,
    home_of_key,
    home_of_node,
    matches,
)
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.ids import cell_of, new_artifact_id, new_job_id, new_node_id, new_token

CPU = Signature(("kind:noop",), 4)
GPU = Signature(("hw:cuda", "kind:noop"), 2)
ANY, CUDA = Requirement(("kind:noop",)), Requirement(("hw:cuda",))
names = st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True)
draws = st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2)
loads = st.builds(
    CellLoad,
    st.just(""),
    st.lists(st.sampled_from([CPU, GPU]), max_size=2).map(tuple),
    st.integers(0, 100),
    st.integers(0, 1000),
)


def named(found: list[CellLoad]) -> list[CellLoad]:
    return [CellLoad(str(n), load.pools, load.slots, load.tasks) for n, load in enumerate(found)]


@given(names)
def test_every_id_and_grant_leads_back_to_its_cell(cell: str) -> None:
    assert cell_of(new_job_id(cell)) == cell_of(new_artifact_id(cell)) == cell
    assert cell_of_grant(grant_prefix(cell) + new_token()) == cell


def test_grants_of_the_only_cell_carry_nothing() -> None:
    assert grant_prefix("0") == ""


def test_one_cell_has_the_name_that_is_set_and_several_have_numbers() -> None:
    assert cell_names(1, only="b") == ("b",)
    assert cell_names(3) == ("0", "1", "2")


def test_only_cell_takes_nodes_of_its_own_name_only() -> None:
    assert home_of_node("n0-a-1", ("0",)) == "0"
    assert home_of_node("n1-a-1", ("0",)) == "1"
    with pytest.raises(InvalidRequest):
        home_of_node("a", ("0", "1"))


def test_nodes_and_keys_spread_evenly() -> None:
    cells = cell_names(4)
    nodes = Counter(home_of_node(new_node_id("0", "host"), cells) for _ in range(4000))
    keys = Counter(home_of_key("default", str(number), cells) for number in range(4000))
    for counted in (nodes, keys):
        assert set(counted) == set(cells)
        assert max(counted.values()) < 1.25 * min(counted.values())


def test_home_is_the_same_in_another_process() -> None:
    program = (
        "from mediafleet.domain.cells import *; c = cell_names(7);"
        "print(home_of_node('n0-a-1', c), home_of_key('t', 'k', c))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    cells = cell_names(7)
    assert answer.split() == [home_of_node("n0-a-1", cells), home_of_key("t", "k", cells)]


@given(st.lists(loads, min_size=1, max_size=6).map(named), st.sets(st.sampled_from([ANY, CUDA])), draws)
def test_job_goes_where_a_pool_matches_if_any_cell_has_one(
    cells: list[CellLoad], wishes: set[Requirement], drawn: tuple[float, float]
) -> None:
    chosen = next(load for load in cells if load.cell == choose_cell(cells, wishes, drawn))
    if any(matches(load, wishes) for load in cells):
        assert matches(chosen, wishes)


@given(st.lists(loads, min_size=2, max_size=2).map(named), draws)
def test_of_two_cells_the_less_loaded_one_is_taken(cells: list[CellLoad], drawn: tuple[float, float]) -> None:
    chosen = next(load for load in cells if load.cell == choose_cell(cells, [], drawn))
    assert chosen.pressure == min(load.pressure for load in cells)


def test_two_different_cells_are_compared_and_not_all() -> None:
    """The most loaded is never taken; all others are now and then, also while one is idle."""
    cells = [CellLoad(str(number), (CPU,), 10, 10 * number) for number in range(4)]
    source = random.Random(1)  # noqa: S311 - a test
    chosen = Counter(choose_cell(cells, [ANY], (source.random(), source.random())) for _ in range(2000))
    assert sorted(chosen, key=lambda cell: -chosen[cell]) == ["0", "1", "2"]


def test_cell_without_slots_counts_as_full_as_it_has_tasks() -> None:
    assert CellLoad("0", tasks=3).pressure == 3
    assert CellLoad("0", slots=6, tasks=3).pressure == 0.5


def test_submissions_that_wait_for_each_other_are_one_group() -> None:
    groups = group_by_waits([[], [0], [], [2, "j7-x"], [1, 3], []], {})
    assert groups[0] is groups[1] is groups[2] is groups[3] is groups[4]
    assert (sorted(groups[0].members), groups[0].cells) == ([0, 1, 2, 3, 4], {"7"})
    assert (groups[5].members, groups[5].cells) == ([5], set())


def test_what_is_there_already_waits_for_nothing_and_says_where_it_is() -> None:
    groups = group_by_waits([["j1-a"], [0, "j2-b"], [1]], {1: "3"})
    assert groups[0] is not groups[1]
    assert (groups[0].cells, groups[1].cells) == ({"1"}, {"3"})
    assert groups[1] is groups[2]


def test_what_names_no_earlier_submission_or_no_job_binds_nothing() -> None:
    groups = group_by_waits([[0, 1, -1, "n0-a", ""], []], {})
    assert (groups[0].members, groups[0].cells, groups[1].members) == ([0], set(), [1])


@given(st.lists(st.lists(st.integers(0, 30), max_size=3), max_size=30))
def test_groups_are_what_can_be_reached_by_waiting(after: list[list[int]]) -> None:
    groups = group_by_waits(after, {})
    reached = [{number} for number in range(len(after))]
    for _ in after:
        for number, names in enumerate(after):
            for name in names:
                if name < number:
                    both = reached[number] | reached[name]
                    for member in both:
                        reached[member] |= both
    assert [set(group.members) for group in groups] == reached
