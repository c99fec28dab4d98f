"""Reads what keeps executors busy and what else waits for them, for estimates; bounded, and never writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.capability import is_covered
from mediafleet.domain.explanation import PoolMembers, QueuedWork, RunningWork
from mediafleet.domain.ids import node_of
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.store.connection import translate_errors
from mediafleet.store.paces import read_paces
from mediafleet.store.scripts import from_fields
from mediafleet.store.views import paced_of

if TYPE_CHECKING:
    from mediafleet.store.keys import Keys
    from mediafleet.store.records import QueueSpec

MOST_EXECUTORS = 300
"""Executors whose running work is read; of more, these stand for all."""
MOST_QUEUES = 50
MOST_LINES = 1_000
"""Pairs of a queue and a tenant whose tasks are counted."""
RECENT_JOBS = 100
"""Completed jobs that tell how long tasks of their kinds take."""
_CLASSES = {priority[0]: priority for priority in PriorityClass}


async def read_running(redis: Any, keys: Keys, pools: Sequence[PoolMembers]) -> tuple[RunningWork, ...]:
    """Return what holds slots of the pools' executors, of at most `MOST_EXECUTORS`."""
    executors = [name for pool in pools for name in pool.used][:MOST_EXECUTORS]
    grants = await _ask(redis, [("hgetall", keys.executor_grants(name)) for name in executors])
    held = [
        (executor, grant.decode(), value.decode().split("|", 3))
        for executor, found in zip(executors, grants, strict=True)
        for grant, value in found.items()
    ]
    asked: list[tuple[Any, ...]] = []
    for _, grant, (*_, task) in held:
        job = task.partition(".")[0]
        asked.append(("hmget", keys.task(task), "doc", "rule", "fraction", "grant", "attempt"))
        asked.append(("zscore", keys.due, f"deadline|{task}|{grant}"))
        asked.append(("hmget", keys.job(job), "open", "eta_ms", "started"))
        asked.append(("llen", keys.job_tasks(job)))
    answers = await _ask(redis, asked)
    specs = [paced_of(doc or b"{}") for doc, *_ in answers[::4]]
    nodes = [node_of(executor) for executor, *_ in held]
    paces = await read_paces(redis, keys, {(spec.pace, node) for spec, node in zip(specs, nodes, strict=True)})
    works = (
        _running(executor, grant, value, answers[4 * place : 4 * place + 4])
        for place, (executor, grant, value) in enumerate(held)
    )
    return tuple(
        msgspec.structs.replace(work, total_ms=paces.on_node(spec.pace, spec.size, node)) if work.kind else work
        for work, spec, node in zip(works, specs, nodes, strict=True)
    )


def _running(executor: str, grant: str, value: Sequence[str], answers: Sequence[Any]) -> RunningWork:
    (doc, rule, fraction, current, attempt), ends, (still_open, eta, started), tasks = answers
    found = RunningWork(executor, int(value[0]), _CLASSES.get(value[1], PriorityClass.BATCH))
    if doc is None or current is None or current.decode() != grant:
        # Given up, but its node has not confirmed that it stopped.
        return found
    since_ms = int(ends) - int(rule.split(b"|")[5]) if ends is not None else None
    if since_ms is None and started and tasks == 1 and attempt == b"1":
        # No limit says when it began; but a job begins with its first task.
        since_ms = int(started)
    return msgspec.structs.replace(
        found,
        kind=paced_of(doc).kind,
        since_ms=since_ms,
        fraction=float(fraction or 0),
        # A job has one remaining time; of several tasks, nobody knows whose it is.
        eta_ms=int(float(eta)) if eta and still_open == b"1" else None,
    )


async def read_queued(
    redis: Any, keys: Keys, specs: Sequence[QueueSpec], pools: Sequence[PoolMembers]
) -> tuple[QueuedWork, ...]:
    """Return what waits for any of the pools, of the queues that have waited longest."""
    rivals = [spec for spec in specs if any(is_covered(spec.requirement, pool.signature) for pool in pools)]
    rivals = rivals[:MOST_QUEUES]
    found = await _ask(redis, [("zrange", keys.queue_tenants(spec.id), 0, MOST_LINES) for spec in rivals])
    lines = [(spec.id, name.decode()) for spec, names in zip(rivals, found, strict=True) for name in names]
    counts = await _ask(redis, [("zcard", keys.queue_tenant(*line)) for line in lines[:MOST_LINES]])
    tasks: Mapping[str, dict[str, int]] = defaultdict(dict)
    for (queue, tenant), count in zip(lines, counts, strict=False):
        tasks[queue][tenant] = int(count)
    return tuple(QueuedWork(spec.id, spec.priority, spec.requirement, tasks[spec.id]) for spec in rivals)


async def read_task_times(redis: Any, keys: Keys) -> dict[str, float]:
    """Return how long jobs of one task that completed lately ran, milliseconds, on the average of each kind."""
    with translate_errors():
        jobs = await redis.zrevrange(keys.jobs(JobStatus.COMPLETED), 0, RECENT_JOBS - 1)
        names = [name.decode() for name in jobs]
        found = await _ask(
            redis,
            [("hmget", keys.job(name), "rule", "started", "finished") for name in names]
            + [("llen", keys.job_tasks(name)) for name in names],
        )
    times: Mapping[str, list[float]] = defaultdict(list)
    for values, tasks in zip(found[: len(names)], found[len(names) :], strict=True):
        job = from_fields(dict(zip((b"rule", b"started", b"finished"), values, strict=True))) if all(values) else {}
        if job and tasks == 1:
            kind = job["rule"].split("|", 3)[3]
            times[kind].append(max(0.0, float(job["finished"]) - float(job["started"])))
    return {kind: sum(took) / len(took) for kind, took in times.items()}


async def _ask(redis: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    answers: list[Any] = []
    for start in range(0, len(commands), 500):
        pipeline = redis.pipeline(transaction=False)
        for command, *arguments in commands[start : start + 500]:
            getattr(pipeline, command)(*arguments)
        answers += await pipeline.execute()
    return answers
