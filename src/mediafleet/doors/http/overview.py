"""The fleet as a whole: pools, kinds, counts, instances, health and metrics."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Response, get, post, put
from litestar.params import JSONBody

from mediafleet.domain.insight import LevelRequest, LogLevels, MetricView
from mediafleet.domain.limits import largest_wish, show_limits
from mediafleet.domain.node import PoolView
from mediafleet.domain.pause import FleetPause, PauseRequest
from mediafleet.doors.http.context import InjectedFleet
from mediafleet.kinds.seam import Kind

PROMETHEUS_TEXT = "text/plain; version=0.0.4"


class KindView(msgspec.Struct, frozen=True):
    """A job kind as the API shows it."""

    name: str
    version: int
    summary: str
    inputs: tuple[int, int | None]
    """Fewest and most inputs; None for any number."""
    params: dict[str, Any]
    """JSON schema of the params."""
    limits: dict[str, dict[str, int]]
    """`usual`: what holds for tasks that say nothing else; `most`: the largest that a submission may ask for."""


def describe_kind(kind: Kind) -> KindView:
    """Return what a client needs to offer a kind."""
    limits = {"usual": show_limits(kind.limits.usual), "most": show_limits(largest_wish(kind.limits))}
    return KindView(kind.name, kind.version, kind.summary, kind.inputs, msgspec.json.schema(kind.params), limits)


class OverviewController(Controller):
    """The fleet as a whole, over REST."""

    path = "/api/v1"
    tags = ("fleet",)

    @get("/pools")
    async def pools(self, fleet: InjectedFleet) -> list[PoolView]:
        """Return the pools that have executors."""
        return await fleet.pools()

    @get("/kinds", sync_to_thread=False)
    def kinds(self, fleet: InjectedFleet) -> list[KindView]:
        """Return the installed job kinds."""
        return [describe_kind(kind) for kind in fleet.kinds]

    @get("/stats")
    async def stats(self, fleet: InjectedFleet) -> dict[str, Any]:
        """Return counts of jobs, nodes, slots and queued tasks, with rates, ages and means."""
        return await fleet.stats()

    @get("/metrics")
    async def metrics(self, fleet: InjectedFleet) -> list[MetricView]:
        """Return the metrics as data."""
        return await fleet.insight.metrics()

    @get("/log-levels")
    async def log_levels(self, fleet: InjectedFleet) -> LogLevels:
        """Return which lines the instances write."""
        return await fleet.insight.log_levels()

    @put("/log-levels")
    async def set_log_level(self, fleet: InjectedFleet, data: JSONBody[LevelRequest]) -> LogLevels:
        """Let all instances write the lines of a module from a level on."""
        return await fleet.insight.set_log_level(data.module, data.level)

    @get("/pause")
    async def is_paused(self, fleet: InjectedFleet) -> FleetPause:
        """Return whether the fleet is paused."""
        return await fleet.pauses.fleet()

    @post("/pause", status_code=202)
    async def pause(self, fleet: InjectedFleet, data: JSONBody[PauseRequest | None] = None) -> FleetPause:
        """Let nothing begin on any node until the fleet is resumed, over all restarts; what runs finishes, or is stopped."""
        return await fleet.pauses.pause_fleet(now=data.now if data else False)

    @post("/resume", status_code=202)
    async def resume(self, fleet: InjectedFleet) -> FleetPause:
        """Let the fleet go on."""
        return await fleet.pauses.resume_fleet()

    @get("/cluster")
    async def cluster(self, fleet: InjectedFleet) -> dict[str, Any]:
        """Return the instances and the state of their store."""
        return await fleet.cluster()


class HealthController(Controller):
    """What machines ask: is it alive, is it ready, what does it count."""

    tags = ("health",)

    @get("/health", sync_to_thread=False)
    def health(self) -> dict[str, str]:
        """Answer while the process runs."""
        return {"status": "ok"}

    @get("/ready")
    async def ready(self, fleet: InjectedFleet) -> dict[str, str]:
        """Answer while the store does; 503 otherwise."""
        await fleet.check_ready()
        return {"status": "ready"}

    @get("/metrics", media_type=PROMETHEUS_TEXT)
    async def metrics(self, fleet: InjectedFleet) -> Response[bytes]:
        """Return the metrics in Prometheus' text format."""
        return Response(await fleet.insight.render(), media_type=PROMETHEUS_TEXT)
