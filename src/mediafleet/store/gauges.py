"""Reads the numbers that describe a cell as a whole; bounded, whatever waits."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from time import time_ns
from typing import TYPE_CHECKING, Any

from mediafleet.domain.health import Cause
from mediafleet.domain.insight import FleetGauges, OpenTasks, QueueDepth
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import NodeState
from mediafleet.store.connection import translate_errors
from mediafleet.store.scripts import from_fields
from mediafleet.store.views import withheld_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mediafleet.store.keys import Keys

MOST_LINES = 20_000
"""Most pairs of a queue and a tenant that one look counts: more would take this process a second."""
PIECE = 500
"""Most commands of one round trip: more would hold up what else the server and this process do."""
_CLASSES = {priority[0]: priority for priority in PriorityClass}
"""A queue's name begins with the first letter of its class."""

Line = tuple[str, str]
"""A queue and a tenant that has tasks in it."""


async def read_gauges(redis: Any, keys: Keys, *, most: int = MOST_LINES) -> FleetGauges:
    """Return the numbers of a cell. Raises StoreUnavailable."""
    with translate_errors():
        lines, is_cut = await _lines(redis, keys, most)
        # Jobs are dated by the clocks of instances, so their age is told by one as well, and not by the server's.
        queues = _depths(lines, await _measure(redis, keys, lines), time_ns() // 1_000_000, is_cut=is_cut)
        return FleetGauges(
            queues,
            await _node_states(redis, keys),
            int(await redis.zcard(keys.dead)),
            await _withheld(redis, keys),
            _open_tasks(from_fields(await redis.hgetall(keys.open))),
        )


async def _lines(redis: Any, keys: Keys, most: int) -> tuple[list[Line], bool]:
    queues = _texts(await redis.zrange(keys.waiting, 0, -1))
    counted = _texts(await redis.hkeys(keys.open))
    tenants = [name.removeprefix("tenant:") for name in counted if name.startswith("tenant:")]
    # A tenant at its cap is taken out of its queues, and its tasks wait all the same.
    parked = await _ask(redis, "smembers", [keys.parked(tenant) for tenant in tenants])
    waiting = await _ask(redis, "zrange", [keys.queue_tenants(queue) for queue in queues], 0, -1)
    found = {(queue, tenant) for queue, names in zip(queues, waiting, strict=True) for tenant in _texts(names)}
    found |= {(queue, tenant) for tenant, names in zip(tenants, parked, strict=True) for queue in _texts(names)}
    return list(islice(found, most)), len(found) > most


async def _measure(redis: Any, keys: Keys, lines: Sequence[Line]) -> list[tuple[int, float | None]]:
    """Return for each line how many tasks it has, and the score of its first."""
    names = [keys.queue_tenant(queue, tenant) for queue, tenant in lines]
    counts = await _ask(redis, "zcard", names)
    heads = await _ask(redis, "zrange", names, 0, 0, withscores=True)
    return [(int(count), head[0][1] if head else None) for count, head in zip(counts, heads, strict=True)]


def _depths(
    lines: Sequence[Line], measured: Sequence[tuple[int, float | None]], now_ms: int, *, is_cut: bool
) -> dict[PriorityClass, QueueDepth]:
    tasks, oldest = Counter[PriorityClass](), dict.fromkeys(PriorityClass, now_ms)
    for (queue, _), (count, score) in zip(lines, measured, strict=True):
        # One of a newer version may be of a class that this one does not know.
        priority = _CLASSES.get(queue[:1])
        if priority is not None and score is not None:
            tasks[priority] += count
            # The score of a task is when its job was accepted, by that instance's clock.
            oldest[priority] = min(oldest[priority], int(score))
    return {priority: QueueDepth(tasks[priority], now_ms - oldest[priority], is_cut) for priority in PriorityClass}


async def _node_states(redis: Any, keys: Keys) -> dict[NodeState, int]:
    names = _texts(await redis.zrange(keys.nodes, 0, -1))
    states = await _ask(redis, "hget", [keys.node(name) for name in names], "state")
    counts = Counter(state.decode() for state in states if state)
    return {state: counts[state.value] for state in NodeState}


async def _withheld(redis: Any, keys: Keys) -> dict[Cause, int]:
    names = _texts(await redis.smembers(keys.withheld))
    healths = await _ask(redis, "hget", [keys.executor(name) for name in names], "health")
    entries = [entry for health in healths if health for entry in withheld_of(health.decode())]
    counts = Counter(entry.cause for entry in entries if entry.is_out)
    return {cause: counts[cause] for cause in Cause}


def _open_tasks(counts: dict[str, str]) -> OpenTasks:
    tenants = {name.removeprefix("tenant:"): int(count) for name, count in counts.items() if name.startswith("tenant:")}
    fullest = max(tenants, key=tenants.__getitem__, default="")
    by_class = {priority: int(counts.get(f"class:{letter}", 0)) for letter, priority in _CLASSES.items()}
    return OpenTasks(int(counts.get("all", 0)), by_class, fullest, tenants.get(fullest, 0))


async def _ask(redis: Any, command: str, names: Sequence[str], *arguments: Any, **options: Any) -> list[Any]:
    """Return what the command answers for each key; in pieces, so that others get their turn in between."""
    answers: list[Any] = []
    for start in range(0, len(names), PIECE):
        pipeline = redis.pipeline(transaction=False)
        for name in names[start : start + PIECE]:
            getattr(pipeline, command)(name, *arguments, **options)
        answers += await pipeline.execute()
    return answers


def _texts(names: Iterable[bytes]) -> list[str]:
    return [name.decode() for name in names]
