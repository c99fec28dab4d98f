"""Pauses and batches of the in-memory fleet of the doors' tests."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from mediafleet.domain.batch import BatchJob, BatchView, JobPace, sum_up
from mediafleet.domain.errors import IllegalTransition, NotFound
from mediafleet.domain.event import EventType
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, JobStatus
from mediafleet.domain.node import NodeState, NodeView
from mediafleet.domain.pause import NOT_PAUSED, FleetPause


class PausableFleet(Protocol):
    """What a fake fleet has that can be paused."""

    views: dict[str, JobView]
    node_views: dict[str, NodeView]

    async def job(self, job_id: str) -> JobView: ...
    async def node(self, node_id: str) -> NodeView: ...
    async def update(self, job_id: str, kind: EventType, **changes: Any) -> JobView: ...


class FakePauses:
    """Implements `scheduler.facade.Pauses` in memory."""

    def __init__(self, fleet: PausableFleet) -> None:
        self._fleet = fleet
        self.asked: list[bool] = []
        """Of each pause, whether what runs was to be stopped."""
        self.kept = NOT_PAUSED

    async def pause_job(self, job_id: str, *, now: bool = False) -> JobView:
        if (view := await self._fleet.job(job_id)).status in FINAL_JOB_STATUSES:
            raise IllegalTransition(job_id, view.status, "pause")
        self.asked.append(now)
        return await self._fleet.update(job_id, EventType.JOB_PAUSED, status=JobStatus.PAUSED, paused_ms=7)

    async def resume_job(self, job_id: str) -> JobView:
        if (view := await self._fleet.job(job_id)).status in FINAL_JOB_STATUSES:
            raise IllegalTransition(job_id, view.status, "resume")
        return await self._fleet.update(job_id, EventType.JOB_RESUMED, status=JobStatus.PENDING, paused_ms=None)

    async def pause_node(self, node_id: str, *, now: bool = False) -> NodeView:
        self.asked.append(now)
        return await self._put(node_id, NodeState.PAUSED)

    async def resume_node(self, node_id: str) -> NodeView:
        return await self._put(node_id, NodeState.READY)

    async def _put(self, node_id: str, state: NodeState) -> NodeView:
        self._fleet.node_views[node_id] = msgspec.structs.replace(await self._fleet.node(node_id), state=state)
        return self._fleet.node_views[node_id]

    async def pause_fleet(self, *, now: bool = False) -> FleetPause:
        self.kept = FleetPause(paused=True, since_ms=7, now=now)
        return self.kept

    async def resume_fleet(self) -> FleetPause:
        self.kept = NOT_PAUSED
        return self.kept

    async def fleet(self) -> FleetPause:
        return self.kept


class FakeBatches:
    """Implements `scheduler.facade.Batches` in memory."""

    def __init__(self, fleet: PausableFleet) -> None:
        self._fleet = fleet

    async def show(self, batch: str, *, offset: int = 0, limit: int = 50) -> BatchView:
        views = [view for view in self._fleet.views.values() if view.batch == batch]
        if not views:
            raise NotFound(f"There is no batch {batch!r}.")
        paces = [JobPace(view.status, view.progress, view.started_ms, view.finished_ms) for view in views]
        jobs = tuple(
            BatchJob(view.id, view.name, view.status, view.progress) for view in views[offset : offset + limit]
        )
        return sum_up(batch, paces, now_ms=10_000, jobs=jobs)
