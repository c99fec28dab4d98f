"""Pausing jobs, nodes and the fleet, and letting them go on (docs/decisions/0026)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.errors import IllegalTransition
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, JobStatus
from mediafleet.domain.pause import FleetPause

if TYPE_CHECKING:
    from mediafleet.domain.job import JobView
    from mediafleet.domain.node import NodeView
    from mediafleet.scheduler.links import LinkTable
    from mediafleet.scheduler.placer import Placer
    from mediafleet.store import Store

log = structlog.get_logger(__name__)


class PauseDesk:
    """Pauses in one cell; implements `facade.Pauses`."""

    def __init__(
        self,
        store: Store,
        links: LinkTable,
        placer: Placer,
        *,
        show_job: Callable[[str], Awaitable[JobView]],
        show_node: Callable[[str], Awaitable[NodeView]],
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the parts.

        Args:
            show_job: Returns a job, or raises NotFound; `show_node` the same for a node.
            hurry: Has the reaper tick soon, which stops what much is running.
        """
        self._store, self._links, self._placer = store, links, placer
        self._show_job, self._show_node = show_job, show_node
        self._hurry = hurry

    async def pause_job(self, job_id: str, *, now: bool = False) -> JobView:
        """See `facade.Pauses.pause_job`. Cancelling this is safe: the reaper goes on."""
        view = await self._show_job(job_id)
        cursor = 0
        while True:
            piece = await self._store.pause(job_id, cursor=cursor, now=now)
            if not cursor and piece.status in FINAL_JOB_STATUSES:
                raise IllegalTransition(f"The job {job_id}", piece.status or view.status, "pause")
            # Nodes on links of other instances learn of it at their next heartbeat.
            self._links.cancel(piece.stops, "the job is paused")
            cursor = piece.cursor
            if not cursor:
                return await self._show_job(job_id)

    async def resume_job(self, job_id: str) -> JobView:
        """See `facade.Pauses.resume_job`. Cancelling this is safe: the reaper goes on."""
        await self._show_job(job_id)
        is_first = True
        while True:
            piece = await self._store.resume(job_id, first=is_first)
            if is_first and piece.status in FINAL_JOB_STATUSES:
                raise IllegalTransition(f"The job {job_id}", JobStatus(piece.status), "resume")
            self._placer.ask(piece.queues)
            if not piece.left:
                # Its plan is asked then whether it waits for a person again.
                self._hurry()
                return await self._show_job(job_id)
            is_first = False

    async def pause_node(self, node_id: str, *, now: bool = False) -> NodeView:
        """See `facade.Pauses.pause_node`."""
        return await self._steer_node(node_id, paused=True, now=now)

    async def resume_node(self, node_id: str) -> NodeView:
        """See `facade.Pauses.resume_node`."""
        return await self._steer_node(node_id, paused=False, now=False)

    async def _steer_node(self, node_id: str, *, paused: bool, now: bool) -> NodeView:
        await self._show_node(node_id)
        steered = await self._store.pause_node(node_id, paused=paused, now=now)
        self._links.cancel(steered.stops, "the node is paused")
        # What was stopped goes elsewhere; what waits may go to a node that is back.
        self._placer.ask(steered.queues)
        self._placer.note_executors()
        self._hurry()
        return await self._show_node(node_id)

    async def pause_fleet(self, *, now: bool = False) -> FleetPause:
        """See `facade.Pauses.pause_fleet`."""
        found = await self._store.pause_fleet(paused=True, now=now)
        log.info("the fleet is paused", now=now)
        self._hurry()
        return found

    async def resume_fleet(self) -> FleetPause:
        """See `facade.Pauses.resume_fleet`."""
        found = await self._store.pause_fleet(paused=False, now=False)
        log.info("the fleet goes on")
        self._placer.note_executors()
        return found

    async def fleet(self) -> FleetPause:
        """See `facade.Pauses.fleet`."""
        return await self._store.fleet_pause()
