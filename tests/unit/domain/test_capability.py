"""What an executor offers covers what a task needs, or it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.capability import Requirement, Signature, check_capabilities, is_covered
from mediafleet.domain.errors import InvalidRequest

words = st.sampled_from(["encoder:libx264", "encoder:hevc_nvenc", "mt:en>es", "lang:en", "label:studio-b", "hw:cuda"])
sets = st.frozensets(words)


@given(st.lists(words))
def test_checked_capabilities_are_sorted_and_without_repeats(given_words: list[str]) -> None:
    checked = check_capabilities(given_words)
    assert list(checked) == sorted(set(given_words))
    assert check_capabilities(checked) == checked


@pytest.mark.parametrize(
    "word", ["", "libx264", "encoder:", ":x", "Encoder:x", "encoder:a b", "a:b\n", "9:x", "a:" + "b" * 81]
)
def test_what_is_no_capability_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a capability; write it like 'encoder:libx264'"):
        check_capabilities(["lang:en", word])


@given(sets, sets, st.integers(1, 8), st.integers(1, 8))
def test_a_pool_matches_if_it_has_every_capability_and_slots_enough(
    needed: frozenset[str], offered: frozenset[str], cost: int, slots: int
) -> None:
    requirement = Requirement(tuple(sorted(needed)), cost)
    signature = Signature(tuple(sorted(offered)), slots)
    assert is_covered(requirement, signature) == (needed <= offered and cost <= slots)


@given(sets, st.integers(1, 8))
def test_a_task_without_needs_runs_wherever_there_is_a_slot(offered: frozenset[str], slots: int) -> None:
    assert is_covered(Requirement(), Signature(tuple(sorted(offered)), slots))


@given(sets, sets, st.integers(1, 3), st.integers(1, 3), st.integers(0, 1))
def test_two_executors_share_a_pool_exactly_if_their_signatures_are_equal(
    one: frozenset[str], two: frozenset[str], slots: int, others: int, reserve: int
) -> None:
    first = Signature(tuple(sorted(one)), slots)
    second = Signature(tuple(sorted(two)), others, reserve)
    assert (first.pool == second.pool) == (first == second)


def test_the_name_of_a_pool_stays_the_same_over_restarts_and_versions() -> None:
    """It is part of stored keys: a change of this literal needs a migration."""
    assert Signature(("encoder:libx264", "lang:en"), 4).pool == "88d2d8b4877795ed"
