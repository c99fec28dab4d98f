"""Executors that can be, the pools they fall into, and what is shown of their nodes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.capability import Requirement, is_covered
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.node import (
    LINKED_STATES,
    MAX_SLOTS,
    NODE_TRANSITIONS,
    Executor,
    NodeEvent,
    NodeState,
    NodeView,
)

words = st.lists(st.sampled_from(["lang:en", "lang:es", "hw:cuda"]))


@given(words)
def test_the_order_in_which_a_node_lists_capabilities_makes_no_other_pool(capabilities: list[str]) -> None:
    one = Executor("cpu", 2, tuple(capabilities))
    two = Executor("gpu0", 2, tuple(sorted(set(capabilities), reverse=True)))
    assert one.signature.pool == two.signature.pool


def test_slots_and_reserve_are_part_of_the_pool() -> None:
    pools = {Executor("cpu", slots, (), reserve).signature.pool for slots in (1, 2) for reserve in (0, 1)}
    assert len(pools) == 4


def test_the_name_of_an_executor_makes_no_other_pool() -> None:
    assert Executor("cpu", 2, ()).signature == Executor("gpu0", 2, ()).signature


@given(words, st.integers(1, MAX_SLOTS))
def test_an_executor_can_do_what_it_offers(capabilities: list[str], slots: int) -> None:
    executor = Executor("cpu", slots, tuple(capabilities))
    assert is_covered(Requirement(tuple(capabilities), slots), executor.signature)
    assert not is_covered(Requirement((), slots + 1), executor.signature)


@pytest.mark.parametrize(
    ("executor", "word"),
    [
        (Executor("CPU", 1, ()), "no name for an executor"),
        (Executor("cpu/0", 1, ()), "no name for an executor"),
        (Executor("cpu", 1, ("x264",)), "not a capability"),
        (Executor("cpu", 0, ()), "has 0 slots, 0 reserved; it may have 1 to 4096"),
        (Executor("cpu", -1, ()), "has -1 slots"),
        (Executor("cpu", 4097, ()), "has 4097 slots"),
        (Executor("cpu", 2, (), 3), "3 reserved"),
        (Executor("cpu", 2, (), -1), "-1 reserved"),
    ],
)
def test_an_executor_that_cannot_be_is_refused(executor: Executor, word: str) -> None:
    with pytest.raises(InvalidRequest, match=word):
        executor.check()


@pytest.mark.parametrize("executor", [Executor("cpu", 1, ()), Executor("gpu0", MAX_SLOTS, ("hw:cuda",), MAX_SLOTS)])
def test_an_executor_at_the_limits_is_fine(executor: Executor) -> None:
    executor.check()


def test_an_executor_of_a_newer_node_is_read_as_far_as_it_is_known() -> None:
    text = '{"name": "cpu", "slots": 2, "capabilities": [], "invented_later": 1}'
    assert msgspec.json.decode(text, type=Executor) == Executor("cpu", 2, ())


@pytest.mark.parametrize("state", NodeState)
def test_a_node_is_shown_in_each_of_its_states(state: NodeState) -> None:
    view = NodeView("n0-a", "host", "0", state, 1, 2, ())
    assert msgspec.json.decode(msgspec.json.encode(view), type=NodeView) == view
    assert msgspec.to_builtins(view)["facts"] == {}


# --- states --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("ready", NodeState.READY),
        ("READY", NodeState.READY),
        ("Unavailable", NodeState.OFFLINE),
        (" Warmup ", NodeState.WARMUP),
    ],
)
def test_states_are_read_in_any_case_and_by_older_names(word: str, state: NodeState) -> None:
    assert NodeState(word) is state
    assert msgspec.convert(word, NodeState) is state


@pytest.mark.parametrize("word", ["", "sleeping", "None"])
def test_what_is_no_state_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="NodeState"):
        NodeState(word)


def test_any_state_may_go_offline_and_come_back() -> None:
    for state in NodeState:
        assert NODE_TRANSITIONS[state, NodeEvent.LEAVE] == {NodeState.OFFLINE}
        assert NODE_TRANSITIONS[state, NodeEvent.REGISTER] == LINKED_STATES


def test_a_node_warms_up_once_and_then_goes_to_and_fro() -> None:
    """`warmup → ready ⇄ degraded → draining → offline`."""
    moves = {state: NODE_TRANSITIONS.get((state, NodeEvent.CHANGE), frozenset()) for state in NodeState}
    assert NodeState.READY in moves[NodeState.WARMUP]
    assert NodeState.WARMUP not in moves[NodeState.READY] | moves[NodeState.DEGRADED]
    assert NodeState.DEGRADED in moves[NodeState.READY]
    assert NodeState.READY in moves[NodeState.DEGRADED]
    assert NodeState.DRAINING in moves[NodeState.DEGRADED]
    assert not moves[NodeState.UNLINKED] | moves[NodeState.OFFLINE], "only a registration brings it back"


def test_an_unlink_is_for_nodes_that_are_linked() -> None:
    unlinked = {state for state in NodeState if (state, NodeEvent.UNLINK) in NODE_TRANSITIONS}
    assert unlinked == LINKED_STATES
