"""Pauses in a fleet of several cells: each job and each node has its own, the fleet has them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediafleet.domain.job import JobView
    from mediafleet.domain.node import NodeView
    from mediafleet.domain.pause import FleetPause
    from mediafleet.scheduler.cells import CellFleet


class CellPauses:
    """Pauses of all cells; implements `facade.Pauses`."""

    def __init__(self, fleet: CellFleet) -> None:
        self._fleet = fleet

    async def pause_job(self, job_id: str, *, now: bool = False) -> JobView:
        """See `facade.Pauses.pause_job`."""
        return await self._fleet.cell(job_id, "j").pauses.pause_job(job_id, now=now)

    async def resume_job(self, job_id: str) -> JobView:
        """See `facade.Pauses.resume_job`."""
        return await self._fleet.cell(job_id, "j").pauses.resume_job(job_id)

    async def pause_node(self, node_id: str, *, now: bool = False) -> NodeView:
        """See `facade.Pauses.pause_node`."""
        return await self._fleet.home(node_id).pauses.pause_node(node_id, now=now)

    async def resume_node(self, node_id: str) -> NodeView:
        """See `facade.Pauses.resume_node`."""
        return await self._fleet.home(node_id).pauses.resume_node(node_id)

    async def pause_fleet(self, *, now: bool = False) -> FleetPause:
        """See `facade.Pauses.pause_fleet`: one cell after the other; where one does not answer it is to be repeated."""
        found = [await cell.pauses.pause_fleet(now=now) for cell in self._fleet.schedulers]
        return found[0]

    async def resume_fleet(self) -> FleetPause:
        """See `facade.Pauses.resume_fleet`."""
        found = [await cell.pauses.resume_fleet() for cell in self._fleet.schedulers]
        return found[0]

    async def fleet(self) -> FleetPause:
        """See `facade.Pauses.fleet`: paused as soon as one cell is, since somebody is about to pause all."""
        found = [await cell.pauses.fleet() for cell in self._fleet.schedulers]
        return next((one for one in found if one.paused), found[0])
