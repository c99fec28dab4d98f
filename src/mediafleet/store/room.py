"""Reads what is free for one kind of job, for plans that weigh it; bounded, and never writes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.capability import Requirement, Signature, is_covered
from mediafleet.domain.explanation import PoolMembers
from mediafleet.domain.ids import node_of
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.room import FreeSlots, Room
from mediafleet.store.connection import translate_errors
from mediafleet.store.records import QueueSpec
from mediafleet.store.workload import read_queued

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.store.keys import Keys

MOST_POOLS = 300
MOST_OF_POOL = 300
"""Executors of one pool that are looked at, those with most room."""
_URGENCY = (PriorityClass.LIVE, PriorityClass.INTERACTIVE, PriorityClass.BATCH)


async def read_room(redis: Any, keys: Keys, capability: str, priority: PriorityClass) -> Room:
    """Return what is free on executors with the capability, and what waits for them. Raises StoreUnavailable."""
    with translate_errors():
        pipeline = redis.pipeline(transaction=False)
        pipeline.hgetall(keys.pools)
        pipeline.zrange(keys.waiting, 0, -1)
        pipeline.hgetall(keys.queues)
        pools, waiting, queues = await pipeline.execute()
        signatures = {name.decode(): msgspec.json.decode(doc, type=Signature) for name, doc in pools.items()}
        fitting = ((name, one) for name, one in signatures.items() if is_covered(Requirement((capability,)), one))
        members = await _read_members(redis, keys, list(islice(fitting, MOST_POOLS)))
        specs = [msgspec.json.decode(queues[name], type=QueueSpec) for name in waiting if name in queues]
        rivals = _URGENCY[: _URGENCY.index(priority) + 1]
        queued = await read_queued(redis, keys, [spec for spec in specs if spec.priority in rivals], members)
    free = tuple(
        FreeSlots(node_of(executor), pool.signature.capabilities, pool.signature.slots - used)
        for pool in members
        for executor, used in pool.used.items()
        if used < pool.signature.slots
    )
    return Room(free, sum(sum(work.tasks.values()) for work in queued))


async def _read_members(redis: Any, keys: Keys, pools: Sequence[tuple[str, Signature]]) -> list[PoolMembers]:
    pipeline = redis.pipeline(transaction=False)
    for name, signature in pools:
        # As batch must count it, where slots are kept for live work.
        key = keys.pool_batch(name) if signature.live_reserve else keys.pool_members(name)
        pipeline.zrange(key, 0, MOST_OF_POOL - 1, withscores=True)
    found = zip(pools, await pipeline.execute(), strict=True)
    return [
        PoolMembers(name, signature, {executor.decode(): int(score) for executor, score in scores})
        for (name, signature), scores in found
    ]
