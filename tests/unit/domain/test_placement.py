"""The readable reference of how an executor is chosen."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.ids import node_of
from mediafleet.domain.placement import Candidate, Policy, Wish, choose, rank


@st.composite
def candidate_lists(draw: st.DrawFn) -> list[Candidate]:
    """Draw executors in the order in which their pools are offered; a pool's have slots and priority in common."""
    names = draw(st.lists(st.from_regex(r"n0-[a-f]/cpu[0-3]", fullmatch=True), unique=True, max_size=8))
    pools = [(f"p{number}", draw(st.integers(1, 8)), draw(st.integers(0, 2))) for number in range(3)]
    found: list[Candidate] = []
    for name in names:
        pool, slots, priority = draw(st.sampled_from(pools))
        found.append(Candidate(name, slots, draw(st.integers(0, slots)), priority, pool))
    return sorted(found, key=lambda candidate: candidate.pool)


nodes = st.frozensets(st.sampled_from([f"n0-{letter}" for letter in "abcdef"]))
wishes = st.builds(Wish, st.integers(1, 4), st.sampled_from(Policy), nodes, nodes)
draws = st.floats(0, 1, exclude_max=True)
BY_RANK = [policy for policy in Policy if policy is not Policy.RANDOM]


@given(candidate_lists(), wishes, draws)
def test_the_chosen_one_has_room_and_no_rival_is_better(candidates: list[Candidate], wish: Wish, draw: float) -> None:
    chosen = choose(candidates, wish, draw=draw)
    with_room = [c for c in candidates if c.used + wish.cost <= c.slots]
    if chosen is None:
        assert not with_room
        return
    assert chosen in with_room
    rivals = [c for c in with_room if node_of(c.executor) not in wish.excluded]
    if node_of(chosen.executor) in wish.excluded:
        assert not rivals
    assert all(rank(wish.policy, chosen) <= rank(wish.policy, rival) for rival in rivals)


@given(candidate_lists(), wishes, draws, st.randoms())
def test_the_choice_does_not_depend_on_the_order_inside_a_pool(
    candidates: list[Candidate], wish: Wish, draw: float, random: Random
) -> None:
    shuffled = sorted(random.sample(candidates, len(candidates)), key=lambda candidate: candidate.pool)
    assert choose(shuffled, wish, draw=draw) == choose(candidates, wish, draw=draw)


@pytest.mark.parametrize("policy", BY_RANK)
@given(candidates=candidate_lists(), near=nodes, random=st.randoms(), draw=draws)
def test_only_the_policy_random_goes_by_the_order_or_the_draw(
    policy: Policy, candidates: list[Candidate], near: frozenset[str], random: Random, draw: float
) -> None:
    wish = Wish(policy=policy, near=near)
    shuffled = random.sample(candidates, len(candidates))
    assert choose(shuffled, wish, draw=draw) == choose(candidates, wish)


def test_least_loaded_takes_the_smallest_share_of_used_slots_not_the_smallest_number() -> None:
    big, small = Candidate("n0-b/cpu", 8, 2), Candidate("n0-a/cpu", 2, 1)
    assert choose([small, big], Wish()) == big


def test_spread_takes_the_fewest_used_slots_however_many_there_are() -> None:
    big, small = Candidate("n0-a/cpu", 8, 2), Candidate("n0-b/cpu", 2, 1)
    assert choose([big, small], Wish(policy=Policy.SPREAD)) == small


def test_pack_fills_up_what_is_in_use_and_has_room() -> None:
    idle, used, full = Candidate("n0-a/cpu", 4, 0), Candidate("n0-b/cpu", 4, 3), Candidate("n0-c/cpu", 4, 4)
    assert choose([idle, used, full], Wish(policy=Policy.PACK)) == used
    assert choose([idle, used, full], Wish(2, Policy.PACK)) == idle


def test_priority_takes_idle_ones_first_then_the_operators_word_then_the_least_used() -> None:
    busy, idle = Candidate("n0-a/cpu", 4, 1, priority=9), Candidate("n0-b/cpu", 4, 0)
    meant, busier = Candidate("n0-c/cpu", 4, 0, priority=1), Candidate("n0-d/cpu", 4, 2, priority=9)
    wish = Wish(policy=Policy.PRIORITY)
    assert choose([busy, idle, meant, busier], wish) == meant
    assert choose([busy, idle, busier], wish) == idle
    assert choose([busier, busy], wish) == busy


def test_random_takes_each_with_room_as_often_as_the_next() -> None:
    fleet = [Candidate(f"n0-a/cpu{number}", 2, number % 3, pool="p") for number in range(6)]
    wish = Wish(policy=Policy.RANDOM)
    taken = Counter(choose(fleet, wish, draw=(number + 0.5) / 100) for number in range(100))
    assert {candidate for candidate in taken if candidate} == {candidate for candidate in fleet if candidate.free}
    assert set(taken.values()) == {25}


def test_the_name_breaks_a_tie() -> None:
    one, two = Candidate("n0-a/cpu", 2, 1), Candidate("n0-b/cpu", 4, 2)
    assert choose([two, one], Wish()) == one


def test_a_node_that_has_the_input_wins_ties_and_only_ties() -> None:
    first, near, idle = Candidate("n0-a/cpu", 4, 1), Candidate("n0-b/cpu", 4, 1), Candidate("n0-c/cpu", 4, 0)
    wish = Wish(near=frozenset({"n0-b"}))
    assert choose([first, near], wish) == near
    assert choose([first, near, idle], wish) == idle


def test_where_it_failed_before_is_the_last_resort() -> None:
    failed, busy, full = Candidate("n0-a/cpu", 4, 0), Candidate("n0-b/cpu", 4, 3), Candidate("n0-c/cpu", 4, 4)
    wish = Wish(excluded=frozenset({"n0-a"}))
    assert choose([failed, busy, full], wish) == busy
    assert choose([failed, full], wish) == failed


def test_nobody_has_room() -> None:
    assert choose([], Wish()) is None
    assert choose([Candidate("n0-a/cpu", 2, 1)], Wish(2)) is None
