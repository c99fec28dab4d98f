"""The placing script chooses as `domain/placement.py` does, on fleets drawn at random.

`MEDIAFLEET_TEST_FLEETS` sets how many (10,000 on each server). A failure names its seed; `draw_fleet(seed)` is that fleet.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Any

import pytest
from tests_support.store_driver import PLACE_RULES

from mediafleet.domain.capability import Requirement
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.placement import Candidate, Policy, Wish, choose
from mediafleet.store import Store, records

FLEETS = int(os.environ.get("MEDIAFLEET_TEST_FLEETS", "10000"))
PARTS = 4
"""So that the workers of a test run share them."""
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Executor:
    """An executor as it is written to the store."""

    id: str
    pool: records.PoolShare
    used: int
    batch_used: int

    def seen_by(self, priority: PriorityClass) -> Candidate:
        """Return what a policy sees: batch may not take what is kept for live work."""
        used = self.used
        if priority is PriorityClass.BATCH and self.pool.reserve:
            used = max(self.used, self.batch_used + self.pool.reserve)
        return Candidate(self.id, self.pool.slots, used, self.pool.priority, self.pool.id)


@dataclass(frozen=True)
class Fleet:
    """One case: executors, and a task that wants one of them."""

    pools: list[records.PoolShare]
    executors: list[Executor]
    wish: Wish
    priority: PriorityClass
    draw: float

    @property
    def spec(self) -> records.QueueSpec:
        """The queue that the task waits in."""
        return records.QueueSpec(Requirement((), self.wish.cost), self.priority, self.wish.policy)

    def expected(self) -> Candidate | None:
        """Return what the reference takes."""
        order = {pool.id: position for position, pool in enumerate(self.pools)}
        seen = [e.seen_by(self.priority) for e in sorted(self.executors, key=lambda e: order[e.pool.id])]
        return choose(seen, self.wish, draw=self.draw)


def draw_pool(rng: random.Random, number: int) -> records.PoolShare:
    slots = rng.choice([1, 2, 2, 4, 8])
    return records.PoolShare(f"p{number}", slots, rng.choice([0, 0, 1]) if slots > 1 else 0, rng.choice([0, 0, 1, 9]))


def draw_executor(rng: random.Random, number: int, pool: records.PoolShare) -> Executor:
    used = rng.randint(0, pool.slots)
    return Executor(f"n0-{rng.choice('abcdef')}/e{number}", pool, used, rng.randint(0, used))


def draw_fleet(seed: int) -> Fleet:
    rng = random.Random(seed)  # noqa: S311 - draws a case, no secret
    pools = [draw_pool(rng, number) for number in range(rng.randint(1, 4))]
    executors = [draw_executor(rng, number, rng.choice(pools)) for number in range(rng.randint(1, 10))]
    nodes = sorted({e.id.partition("/")[0] for e in executors})
    wish = Wish(
        cost=rng.choice([1, 1, 1, 2, 4]),
        policy=rng.choice(list(Policy)),
        excluded=frozenset(rng.sample(nodes, rng.choice([0, 0, 1]) and rng.randint(1, len(nodes)))),
        near=frozenset(rng.sample(nodes, rng.choice([0, 1]) and rng.randint(1, len(nodes)))),
    )
    return Fleet(pools, executors, wish, rng.choice(list(PriorityClass)), rng.random())


async def write_fleet(store: Store, fleet: Fleet) -> None:
    """Write executors, pools and one waiting task as the scripts would have left them."""
    client: Any = store.redis
    keys, pipe = store.keys, client.pipeline(transaction=False)
    pipe.flushdb()
    for e in fleet.executors:
        node = e.id.partition("/")[0]
        fields = {"slots": e.pool.slots, "pool": e.pool.id, "reserve": e.pool.reserve, "used": e.used}
        pipe.hset(keys.executor(e.id), mapping={**fields, "batch_used": e.batch_used, "owner": "i-1", "listed": "1"})
        pipe.sadd(keys.node_executors(node), e.id)
        pipe.zadd(keys.pool_members(e.pool.id), {e.id: e.used})
        if e.pool.reserve:
            pipe.zadd(keys.pool_batch(e.pool.id), {e.id: e.seen_by(PriorityClass.BATCH).used})
    queue, wish = fleet.spec.id, fleet.wish
    rule = f"{queue}|default|{wish.cost}|1|3|0|1.0"
    fields = {
        "state": "NEW",
        "rule": rule,
        "doc": "{}",
        "excluded": " ".join(wish.excluded),
        "near": " ".join(wish.near),
    }
    pipe.hset(keys.task("j0-x.run"), mapping=fields)
    pipe.zadd(keys.queue_tenants(queue), {"default": 0})
    pipe.zadd(keys.queue_tenant(queue, "default"), {"j0-x.run": 1})
    await pipe.execute()


async def place_one(store: Store, fleet: Fleet) -> list[str]:
    """Place the waiting task; return the executor it got, if any."""
    turn = records.QueueTurn(fleet.spec.id, fleet.wish.cost, fleet.wish.policy, list(range(1, len(fleet.pools) + 1)))
    request = records.PlaceRequest([turn], fleet.pools, ["g1"], (fleet.draw - GOLDEN) % 1)
    return [task.executor for task in (await store.place(request, PLACE_RULES)).assignments]


@pytest.mark.no_cover  # the same few lines, ten thousand times
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
async def test_the_script_chooses_as_the_reference_does(store: Store, part: int) -> None:
    taken, seeds = 0, range(part, FLEETS, PARTS)
    for seed in seeds:
        fleet = draw_fleet(seed)
        await write_fleet(store, fleet)
        expected = fleet.expected()
        assert await place_one(store, fleet) == ([expected.executor] if expected else []), f"seed {seed}: {fleet}"
        taken += expected is not None
    assert len(seeds) // 3 < taken < len(seeds), "the fleets drawn are all full, or all empty"


async def test_what_was_taken_is_counted_where_the_next_choice_looks(store: Store) -> None:
    pool = records.PoolShare("p0", 4, 1)
    fleet = Fleet([pool], [Executor("n0-a/e", pool, 0, 0)], Wish(), PriorityClass.BATCH, 0.5)
    await write_fleet(store, fleet)
    assert await place_one(store, fleet) == ["n0-a/e"]
    client: Any = store.redis
    assert await client.zscore(store.keys.pool_members("p0"), "n0-a/e") == 1
    assert await client.zscore(store.keys.pool_batch("p0"), "n0-a/e") == 2
