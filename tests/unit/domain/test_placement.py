"""The readable reference of the policy `least_loaded`."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.placement import Candidate, choose_least_loaded


@st.composite
def candidate_lists(draw: st.DrawFn) -> list[Candidate]:
    names = draw(st.lists(st.from_regex(r"n0-[a-f]/cpu[0-3]", fullmatch=True), unique=True, max_size=8))
    found: list[Candidate] = []
    for name in names:
        slots = draw(st.integers(1, 8))
        found.append(Candidate(name, slots, draw(st.integers(0, slots))))
    return found


costs = st.integers(1, 4)


@given(candidate_lists(), costs, st.data())
def test_the_chosen_one_has_room_and_nobody_fresh_is_less_loaded(
    candidates: list[Candidate], cost: int, data: st.DataObject
) -> None:
    excluded = frozenset(c.executor for c in candidates if data.draw(st.booleans()))
    chosen = choose_least_loaded(candidates, cost=cost, excluded=excluded)
    with_room = [c for c in candidates if c.used + cost <= c.slots]
    if chosen is None:
        assert not with_room
        return
    assert chosen in with_room
    rivals = [c for c in with_room if c.executor not in excluded]
    if chosen.executor in excluded:
        assert not rivals
    assert all(chosen.used / chosen.slots <= rival.used / rival.slots for rival in rivals)


@given(candidate_lists(), costs, st.randoms())
def test_the_choice_does_not_depend_on_the_order(candidates: list[Candidate], cost: int, random: Random) -> None:
    shuffled = random.sample(candidates, len(candidates))
    assert choose_least_loaded(shuffled, cost=cost) == choose_least_loaded(candidates, cost=cost)


def test_the_smallest_share_of_used_slots_wins_not_the_smallest_number() -> None:
    big, small = Candidate("n0-b/cpu", 8, 2), Candidate("n0-a/cpu", 2, 1)
    assert choose_least_loaded([small, big], cost=1) == big


def test_the_name_breaks_a_tie() -> None:
    one, two = Candidate("n0-a/cpu", 2, 1), Candidate("n0-b/cpu", 4, 2)
    assert choose_least_loaded([two, one], cost=1) == one


def test_where_it_failed_before_is_the_last_resort() -> None:
    failed, busy, full = Candidate("n0-a/cpu", 4, 0), Candidate("n0-b/cpu", 4, 3), Candidate("n0-c/cpu", 4, 4)
    excluded = {"n0-a/cpu"}
    assert choose_least_loaded([failed, busy, full], cost=1, excluded=excluded) == busy
    assert choose_least_loaded([failed, full], cost=1, excluded=excluded) == failed


def test_nobody_has_room() -> None:
    assert choose_least_loaded([], cost=1) is None
    assert choose_least_loaded([Candidate("n0-a/cpu", 2, 1)], cost=2) is None
