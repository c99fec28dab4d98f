"""Queues are matched to pools once, and every pool that matches has its turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests_support.store_driver import spec

from mediafleet.domain.capability import Signature
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.scheduler.matching import MAX_POOLS, PoolMatcher
from mediafleet.scheduler.turns import in_order
from mediafleet.store.records import PoolShare, QueueSpec, QueueTurn

POOLS = {
    "small": Signature(("kind:a",), 1),
    "large": Signature(("encoder:x", "kind:a"), 8, 2, 5),
    "other": Signature(("kind:b",), 8),
}


def matcher_of(pools: dict[str, Signature]) -> PoolMatcher:
    matcher = PoolMatcher()
    matcher.update(1, pools)
    return matcher


def many(count: int, *words: str, start: str = "p") -> dict[str, Signature]:
    return {f"{start}{number}": Signature(words or ("kind:a",), 1) for number in range(count)}


def offered(matcher: PoolMatcher, *specs: QueueSpec, freed: set[str] | None = None) -> list[list[str]]:
    """Return the names of the pools that each queue gets in the next call."""
    turns, pools = matcher.offer(specs, freed=freed or set())
    assert len({pool.id for pool in pools}) == len(pools) <= MAX_POOLS
    return [[pools[position - 1].id for position in turn.pools] for turn in turns]


def test_a_queue_is_matched_to_the_pools_that_can_run_its_tasks() -> None:
    matcher = matcher_of(POOLS)
    assert list(matcher.matches(spec("kind:a"))) == ["small", "large"]
    assert list(matcher.matches(spec("kind:a", slots=2))) == ["large"]
    assert list(matcher.matches(spec("kind:a", "encoder:x"))) == ["large"]
    assert list(matcher.matches(spec("kind:none"))) == []


def test_a_pool_is_sent_once_however_many_queues_it_matches() -> None:
    one, two = spec("kind:a", slots=2, policy="pack"), spec("kind:a")
    turns, pools = matcher_of(POOLS).offer([one, two])
    assert pools == [PoolShare("large", 8, 2, 5), PoolShare("small", 1)]
    assert turns == [QueueTurn(one.id, 2, "pack", [1]), QueueTurn(two.id, 1, "least_loaded", [1, 2])]


def test_a_newer_set_of_pools_is_matched_as_if_it_had_been_there_from_the_start() -> None:
    matcher, queue = matcher_of(POOLS), spec("kind:a")
    matcher.matches(queue)
    newer = {"large": POOLS["large"], "late": Signature(("kind:a",), 4), "useless": Signature((), 4)}
    matcher.update(2, newer)
    assert list(matcher.matches(queue)) == list(matcher_of(newer).matches(queue)) == ["large", "late"]
    assert matcher.version == 2


def test_slots_that_became_free_help_only_queues_whose_tasks_can_run_there() -> None:
    matcher = matcher_of(POOLS)
    assert matcher.is_helped(spec("kind:a"), {"other", "small"})
    assert not matcher.is_helped(spec("kind:a", slots=2), {"other", "small"})
    assert not matcher.is_helped(spec("kind:a"), {"a pool that is new"})
    assert not matcher.is_helped(spec("kind:a"), set())


@given(st.integers(1, 4 * MAX_POOLS), st.integers(0, 3))
def test_each_of_many_pools_is_looked_at_before_any_is_looked_at_twice_in_a_call(count: int, before: int) -> None:
    matcher, queue = matcher_of(many(count)), spec("kind:a")
    for _ in range(before):
        offered(matcher, queue)
    looks = [offered(matcher, queue)[0] for _ in range(-(-count // MAX_POOLS))]
    assert all(len(set(look)) == len(look) == min(count, MAX_POOLS) for look in looks)
    assert {name for look in looks for name in look} == set(many(count))


@given(st.integers(MAX_POOLS, 3 * MAX_POOLS), st.integers(1, MAX_POOLS), st.integers(0, 3))
def test_a_queue_that_matches_very_many_pools_leaves_the_others_theirs(wide: int, narrow: int, calls: int) -> None:
    matcher = matcher_of(many(wide) | many(narrow, "kind:b", start="q"))
    first, second = spec("kind:a"), spec("kind:b")
    for _ in range(calls):
        offered(matcher, first, second)
    looks = offered(matcher, first, second)
    assert len(looks[1]) >= min(narrow, MAX_POOLS // 2)
    assert len(looks[0]) + len(looks[1]) == MAX_POOLS


@given(st.lists(st.integers(1, 2 * MAX_POOLS), min_size=2, max_size=4))
def test_every_pool_has_its_turn_though_queues_share_a_call(counts: list[int]) -> None:
    pools: dict[str, Signature] = {}
    for number, count in enumerate(counts):
        pools |= many(count, f"kind:{number}", start=f"q{number}-")
    matcher, specs = matcher_of(pools), [spec(f"kind:{number}") for number in range(len(counts))]
    seen: set[str] = set()
    for _ in range(sum(counts) * len(counts) // MAX_POOLS + len(counts)):
        seen.update(name for look in offered(matcher, *specs) for name in look)
    assert seen == set(pools)


def test_two_calls_that_alternate_do_not_keep_each_other_at_the_same_pools() -> None:
    matcher, one, two = matcher_of(many(2 * MAX_POOLS)), spec("kind:a"), spec("kind:a", policy="pack")
    looks = [offered(matcher, queue)[0] for _ in range(2) for queue in (one, two)]
    assert set(looks[0]) | set(looks[2]) == set(looks[1]) | set(looks[3]) == set(many(2 * MAX_POOLS))


def test_pools_with_slots_that_became_free_are_looked_at_first() -> None:
    matcher, queue = matcher_of(many(4 * MAX_POOLS)), spec("kind:a")
    freed = {"p200", "p100", "not a pool of it"}
    assert freed & set(offered(matcher, queue, freed=freed)[0]) == {"p100", "p200"}


def test_where_a_queue_goes_on_is_still_there_after_pools_have_gone() -> None:
    matcher, queue = matcher_of(many(2 * MAX_POOLS)), spec("kind:a")
    offered(matcher, queue)
    matcher.update(2, many(3))
    assert offered(matcher, queue) == [["p0", "p1", "p2"]]


def test_what_is_known_of_queues_that_are_gone_is_dropped() -> None:
    matcher, kept, gone = matcher_of(many(MAX_POOLS + 1)), spec("kind:a"), spec("kind:b")
    for queue in (kept, gone):
        offered(matcher, queue)
    matcher.forget({kept})
    assert set(matcher._matches) == {kept}
    assert set(matcher._starts) == {kept}


@given(st.permutations([spec(priority=priority, slots=slots) for priority in PriorityClass for slots in (1, 2)]))
def test_queues_go_by_class_and_then_in_the_same_order_everywhere(specs: list[QueueSpec]) -> None:
    ordered = in_order(specs)
    assert [queue.priority for queue in ordered] == [priority for priority in PriorityClass for _ in range(2)]
    assert ordered == in_order(reversed(specs))
