"""Reads what placing goes by, for explanations: a few pipelines whatever the number of nodes; never writes."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.capability import Requirement, Signature, is_covered
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.explanation import (
    Absence,
    AbsentExecutor,
    Ask,
    FleetSnapshot,
    Line,
    PoolMembers,
    TaskSnapshot,
)
from mediafleet.domain.ids import node_of
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.node import Executor
from mediafleet.domain.placement import Policy
from mediafleet.domain.rules import FleetRules
from mediafleet.store.connection import translate_errors
from mediafleet.store.records import QueueSpec
from mediafleet.store.views import node_reason, withheld_of
from mediafleet.store.workload import read_queued, read_running

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mediafleet.store.keys import Keys

MOST_NODES = 2_000
"""Nodes that are asked whether they are away, those that registered last first."""
MOST_ABSENT = 100
"""Nodes that are away and whose executors are read."""
MOST_TENANTS = 200
"""Of a queue, those whose turn is next."""
_FIELDS = (
    "state",
    "rule",
    "after",
    "waits",
    "excluded",
    "near",
    "grant",
    "attempt",
    "tries",
    "error",
    "ends",
    "refused",
)


async def read_fleet(redis: Any, keys: Keys, requirements: Sequence[Requirement]) -> FleetSnapshot:
    """See `Reader.fleet_snapshot`."""
    with translate_errors():
        pipeline = redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hgetall(keys.pools)
        pipeline.hgetall(keys.holds)
        pipeline.hgetall(keys.running)
        pipeline.hget(keys.config, "doc")
        pipeline.zrange(keys.waiting, 0, -1)
        pipeline.hgetall(keys.queues)
        pipeline.zrevrange(keys.nodes, 0, MOST_NODES - 1)
        pipeline.exists(keys.paused)
        (seconds, micros), pools, holds, running, rules, waiting, queues, nodes, is_paused = await pipeline.execute()
        signatures = {name.decode(): msgspec.json.decode(doc, type=Signature) for name, doc in pools.items()}
        members = await _read_members(redis, keys, signatures, requirements)
        held = {executor.decode() for executor in holds.values()}
        present = {node_of(executor) for pool in members for executor in pool.used}
        away = await _read_away(redis, keys, [name.decode() for name in nodes if name.decode() not in present])
        withheld = {name.decode(): Away(Absence.WITHHELD) for name in await redis.smembers(keys.withheld)}
        # A node that is away says more than what its executors do without.
        absent = await _read_absent(redis, keys, {**dict.fromkeys(held, Away(Absence.HELD)), **withheld, **away})
        specs = [msgspec.json.decode(queues[name], type=QueueSpec) for name in waiting if name in queues]
        matching = [pool for pool in members if pool.used]
        running_work = await read_running(redis, keys, matching)
        queued = await read_queued(redis, keys, specs, matching)
    return FleetSnapshot(
        now_ms=seconds * 1000 + micros // 1000,
        pools=tuple(members),
        absent=tuple(absent),
        running={name.decode(): int(used) for name, used in running.items()},
        rules=msgspec.json.decode(rules or b"{}", type=FleetRules),
        waiting=tuple((spec.priority, spec.requirement) for spec in specs),
        running_work=running_work,
        queued=queued,
        is_paused=bool(is_paused),
    )


async def _read_members(
    redis: Any, keys: Keys, signatures: dict[str, Signature], requirements: Sequence[Requirement]
) -> list[PoolMembers]:
    pipeline = redis.pipeline(transaction=False)
    wanted = [name for name, signature in signatures.items() if any(is_covered(r, signature) for r in requirements)]
    for name in wanted:
        pipeline.zrange(keys.pool_members(name), 0, -1, withscores=True)
        pipeline.zrange(keys.pool_batch(name), 0, -1, withscores=True)
    found = await pipeline.execute()
    used = dict(zip(wanted, map(_scores, found[::2]), strict=True))
    batch = dict(zip(wanted, map(_scores, found[1::2]), strict=True))
    return [
        PoolMembers(name, signature, used.get(name, {}), batch.get(name, {})) for name, signature in signatures.items()
    ]


def _scores(found: Iterable[tuple[bytes, float]]) -> dict[str, int]:
    return {name.decode(): int(score) for name, score in found}


class Away(msgspec.Struct, frozen=True):
    """Why an executor is in no pool."""

    absence: Absence
    reason: str = ""


_STANDING: tuple[str, ...] = ("state", "pressed", "ailing", "drained")


async def _read_away(redis: Any, keys: Keys, nodes: Sequence[str]) -> dict[str, Away]:
    """Return the executors of nodes that take no work, and why they do not."""
    pipeline = redis.pipeline(transaction=False)
    for node in nodes:
        pipeline.hmget(keys.node(node), *_STANDING)
    found = [dict(zip(_STANDING, map(_text, values), strict=True)) for values in await pipeline.execute()]
    away = [
        (node, Away(Absence(fields["state"]), node_reason(fields["state"], fields)))
        for node, fields in zip(nodes, found, strict=True)
        if fields["state"] in set(Absence)
    ]
    for node, _ in away[:MOST_ABSENT]:
        pipeline.smembers(keys.node_executors(node))
    found = await pipeline.execute()
    # Fewer than `away` where too many are.
    pairs = zip(away, found, strict=False)
    return {executor.decode(): absence for (_, absence), executors in pairs for executor in executors}


async def _read_absent(redis: Any, keys: Keys, executors: dict[str, Away]) -> list[AbsentExecutor]:
    pipeline = redis.pipeline(transaction=False)
    for executor in executors:
        pipeline.hmget(keys.executor(executor), "doc", "used", "batch_used", "held_for", "health")
    found = zip(executors.items(), await pipeline.execute(), strict=True)
    return [
        AbsentExecutor(
            executor=executor,
            signature=msgspec.json.decode(doc, type=Executor).signature,
            absence=away.absence,
            reason=away.reason,
            withheld=tuple(one for one in withheld_of(_text(health)) if one.is_out),
            used=int(used or 0),
            batch_used=int(batch_used or 0),
            held_for=(held_for or b"").decode(),
        )
        for (executor, away), (doc, used, batch_used, held_for, health) in found
        if doc
    ]


async def read_tasks(redis: Any, keys: Keys, task_ids: Sequence[str]) -> list[TaskSnapshot]:
    """See `Reader.task_snapshots`."""
    with translate_errors():
        pipeline = redis.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hmget(keys.task(task_id), *_FIELDS)
            pipeline.zscore(keys.due, f"hold|{task_id}")
        pipeline.hgetall(keys.queues)
        *found, queues = await pipeline.execute()
        tasks = [
            _Stored(task_id, dict(zip(_FIELDS, map(_text, values), strict=True)), hold)
            for task_id, values, hold in zip(task_ids, found[::2], found[1::2], strict=True)
        ]
        specs = {name.decode(): msgspec.json.decode(doc, type=QueueSpec) for name, doc in queues.items()}
        return [await _read_rest(redis, keys, task, specs[task.queue]) for task in tasks if task.queue in specs]


def _text(value: bytes | None) -> str:
    return (value or b"").decode()


class _Stored(msgspec.Struct, frozen=True):
    """A task's hash, and when its back-off ends."""

    id: str
    fields: dict[str, str]
    hold: float | None

    @property
    def queue(self) -> str:
        return self.fields["rule"].partition("|")[0]

    @property
    def tenant(self) -> str:
        return self.fields["rule"].split("|", 2)[1]


async def _read_rest(redis: Any, keys: Keys, task: _Stored, spec: QueueSpec) -> TaskSnapshot:
    fields = task.fields
    parents, uploads = fields["after"].split(), fields["waits"].split()
    pipeline = redis.pipeline(transaction=False)
    pipeline.zrank(keys.queue_tenant(task.queue, task.tenant), task.id)
    pipeline.sismember(keys.parked(task.tenant), task.queue)
    pipeline.zrange(keys.queue_tenants(task.queue), 0, MOST_TENANTS, withscores=True)
    pipeline.zscore(keys.queue_tenants(task.queue), task.tenant)
    pipeline.hget(keys.task(task.id), f"grant:{fields['grant']}")
    for parent in parents:
        pipeline.hget(keys.task(parent), "state")
    for upload in uploads:
        pipeline.hget(keys.artifact(upload), "state")
    place, is_parked, tenants, own, grant, *states = await pipeline.execute()
    states = list(map(_text, states))
    scores = {name.decode(): score for name, score in tenants[:MOST_TENANTS]}
    if own is not None:
        scores[task.tenant] = own
    line = None
    if place is not None:
        times = await _read_times(redis, keys, spec.id[0], scores)
        line = Line(task.queue, place, times, is_cut=len(tenants) > MOST_TENANTS)
    is_new = fields["state"] == TaskState.NEW
    return TaskSnapshot(
        id=task.id,
        state=TaskState(fields["state"]),
        ask=Ask(
            requirement=spec.requirement,
            priority=spec.priority,
            tenant=task.tenant,
            policy=Policy(spec.policy),
            excluded=frozenset(fields["excluded"].split()),
            near=frozenset(fields["near"].split()),
            line=line,
        ),
        executor=_text(grant).partition("|")[2],
        attempt=int(fields["attempt"] or 0),
        tries=int(fields["tries"] or 0),
        error=msgspec.json.decode(fields["error"], type=ErrorInfo).message if fields["error"] else "",
        parents=tuple(p for p, state in zip(parents, states, strict=False) if is_new and state != TaskState.DONE),
        uploads=tuple(
            u for u, state in zip(uploads, states[len(parents) :], strict=True) if is_new and state == "open"
        ),
        held_until_ms=int(task.hold) if task.hold is not None and is_new else None,
        refusals=_refusals(fields["ends"]),
        refused=msgspec.json.decode(fields["refused"], type=_Refusal).message if fields["refused"] else "",
        is_parked=bool(is_parked) and is_new,
    )


class _Refusal(msgspec.Struct, frozen=True):
    message: str = ""


def _refusals(ends: str) -> int:
    """Return how many attempts, up to the last one, their nodes refused."""
    hows = [line.split("|", 2)[1] for line in reversed(ends.split())]
    return sum(1 for _ in takewhile(lambda how: how == "rejected", hows))


async def _read_times(redis: Any, keys: Keys, priority: str, scores: dict[str, float]) -> dict[str, float]:
    """Return when it is each tenant's turn: what it had in other queues of the class counts as well."""
    pipeline = redis.pipeline(transaction=False)
    for tenant in scores:
        pipeline.get(keys.virtual_time(priority, tenant))
    found = await pipeline.execute()
    return {t: max(score, float(time or 0)) for (t, score), time in zip(scores.items(), found, strict=True)}
