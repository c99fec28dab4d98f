"""Reads of attempts by the node that has them, for links whose nodes do not know what they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.ids import node_of
from mediafleet.domain.lifecycle import FINAL_TASK_STATES
from mediafleet.domain.worker import HeldAttempt
from mediafleet.store.connection import translate_errors

if TYPE_CHECKING:
    from mediafleet.store.keys import Keys

_LIVE = ("reserved", "running")
_COUNTING = (*_LIVE, "lost")
"""Standings of grants by which a result still counts, the best first."""


async def read_held(redis: Any, keys: Keys, node: str) -> list[HeldAttempt]:
    """Return the attempts that executors of a node hold slots for, but for those that were revoked."""
    with translate_errors():
        executors = sorted(name.decode() for name in await redis.smembers(keys.node_executors(node)))
        pipeline = redis.pipeline(transaction=False)
        for executor in executors:
            pipeline.hgetall(keys.executor_grants(executor))
        grants = [
            (executor, grant.decode(), *_cost_and_task(value))
            for executor, held in zip(executors, await pipeline.execute(), strict=True)
            for grant, value in held.items()
        ]
        for _, grant, _, task in grants:
            pipeline.hmget(keys.task(task), "doc", f"grant:{grant}")
        found: list[tuple[bytes | None, bytes | None]] = await pipeline.execute() if grants else []
    return [
        HeldAttempt(task, grant, executor.partition("/")[2], cost, msgspec.Raw(doc))
        for (executor, grant, cost, task), (doc, standing) in zip(grants, found, strict=True)
        if doc and _standing(standing) in _LIVE
    ]


async def read_attempt_at(redis: Any, keys: Keys, task: str, node: str) -> AttemptRef | None:
    """Return the attempt of a task by which a result of a node would count most; None where none would."""
    with translate_errors():
        fields = await redis.hgetall(keys.task(task))
    if fields.get(b"state", b"").decode() in FINAL_TASK_STATES:
        return None
    found = [
        (_COUNTING.index(standing), name.decode().removeprefix("grant:"))
        for name, value in fields.items()
        if name.startswith(b"grant:") and (standing := _standing(value)) in _COUNTING and _node(value) == node
    ]
    return AttemptRef(task, min(found)[1]) if found else None


async def read_job_of_key(redis: Any, keys: Keys, tenant: str, key: str) -> str:
    """Return the id of the job that an idempotency key stands for; empty where none does."""
    with translate_errors():
        return (await redis.get(keys.idempotency(tenant, key)) or b"").decode()


def _cost_and_task(value: bytes) -> tuple[int, str]:
    cost, *_, task = value.decode().split("|")
    return int(float(cost)), task


def _standing(value: bytes | None) -> str:
    return (value or b"").decode().partition("|")[0]


def _node(value: bytes) -> str:
    return node_of(value.decode().partition("|")[2])
