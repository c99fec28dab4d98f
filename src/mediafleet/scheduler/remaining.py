"""Finds out when jobs and batches should end: reads what the decision in `eta.py` goes by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import is_covered
from mediafleet.domain.ids import node_of
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, STANDING_JOB_STATUSES
from mediafleet.scheduler.eta import OpenTask, eta_ms, open_tasks
from mediafleet.scheduler.why_start import free_places
from mediafleet.store.paces import read_paces
from mediafleet.store.reader import SHOWN_TASKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mediafleet.domain.capability import Requirement
    from mediafleet.domain.explanation import FleetSnapshot, PoolMembers, TaskSnapshot
    from mediafleet.domain.job import JobView
    from mediafleet.domain.lifecycle import JobStatus
    from mediafleet.store import Store

MOST_JOBS = 100
"""Of a batch, jobs whose tasks are read; of a larger one, how fast it went so far must do."""
MOST_NODES = 200
"""Nodes whose own speed is looked at for work that waits."""
MOST_SORTS = 8
"""Paces of waiting work whose requirements are looked at."""


class Remaining:
    """Tells how long jobs of one cell take still."""

    def __init__(
        self, store: Store, look_at_fleet: Callable[[Sequence[Requirement]], Awaitable[FleetSnapshot]]
    ) -> None:
        self._store, self._look_at_fleet = store, look_at_fleet

    async def with_eta(self, job: JobView) -> JobView:
        """Return a job with when it should end, by what was measured; as it is where nothing of it is measured."""
        tasks = open_tasks(job)
        if tasks is None or not any(task.pace for task in tasks) or len(job.tasks) >= SHOWN_TASKS:
            return job
        return msgspec.structs.replace(job, eta_ms=await self._eta(tasks))

    async def of_jobs(self, jobs: Sequence[tuple[str, JobStatus]]) -> int | None:
        """Return in how many milliseconds the last of these jobs should end; None where nobody can say."""
        left = [job for job, status in jobs if status not in FINAL_JOB_STATUSES | STANDING_JOB_STATUSES]
        if not left:
            return 0
        if len(left) > MOST_JOBS:
            return None
        # Most batches have one kind of work: where the first job is not measured, the others need not be read.
        first = await self._open(left[0])
        if first is None:
            return None
        others = await asyncio.gather(*map(self._open, left[1:]))
        found = [tasks for tasks in others if tasks is not None]
        if len(found) < len(others):
            return None
        return await self._eta([*first, *(task for tasks in found for task in tasks)])

    async def _open(self, job_id: str) -> list[OpenTask] | None:
        view = await self._store.read.job(job_id)
        tasks = open_tasks(view) if view else None
        return tasks if tasks and all(task.pace or task.said_ms is not None for task in tasks) else None

    async def _eta(self, tasks: Sequence[OpenTask]) -> int | None:
        waiting = [task for task in tasks if not task.node]
        places, nodes = await self._places(waiting) if waiting else ([], [])
        # Work that runs is asked for by its own node, which need not be among those.
        wanted = {(task.pace, task.node) for task in tasks if task.node}
        wanted |= {(pace, node) for pace in {task.pace for task in waiting} for node in ("", *nodes)}
        paces = await read_paces(self._store.redis, self._store.keys, wanted)
        return eta_ms(tasks, places, paces, nodes=nodes)

    async def _places(self, waiting: Sequence[OpenTask]) -> tuple[list[float], list[str]]:
        """Return when places are free for the first of these tasks, and which nodes have them."""
        # One task stands for all of its sort: they need the same.
        heads = {task.pace: task.id for task in reversed(waiting)}
        found = await self._store.read.task_snapshots(list(reversed(heads.values()))[:MOST_SORTS])
        if not found or any(task.uploads for task in found):
            return [], []
        requirements = sorted({task.ask.requirement for task in found}, key=repr)
        fleet = await self._look_at_fleet(requirements)
        if fleet.is_paused:
            return [], []
        matching = [pool for pool in fleet.pools if any(is_covered(one, pool.signature) for one in requirements)]
        nodes = sorted({node_of(name) for pool in matching for name in pool.used})
        return _free(fleet, found[0], matching), nodes[:MOST_NODES]


def _free(fleet: FleetSnapshot, task: TaskSnapshot, matching: Sequence[PoolMembers]) -> list[float]:
    held_ms = max(0.0, (task.held_until_ms or 0) - fleet.now_ms)
    return [max(place, held_ms) for place in free_places(fleet, task.ask, matching)]
