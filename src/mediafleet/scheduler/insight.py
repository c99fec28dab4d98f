"""What operators see of an instance and its cell: metrics, counts and rates, and log levels that can be changed.

Nothing here is on the way of a task: what describes the cell is read when somebody looks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from mediafleet.domain.errors import StoreUnavailable
from mediafleet.domain.insight import FleetGauges, LogLevels, MetricView, merge_gauges
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import NodeState
from mediafleet.domain.rates import RateMeter
from mediafleet.ops.log_levels import apply_levels, check_request, default_level
from mediafleet.scheduler.bounds import describe_bounds

if TYPE_CHECKING:
    from mediafleet.ops.metrics import Metrics
    from mediafleet.store import Store

FRESH_S = 1.0
"""How long one look at the store serves all who ask."""
LOOK_SHARE = 20
"""A look that took long serves for so many times as long: looking must not become the load."""
PATIENCE_S = 5.0
"""How long who asks for metrics waits for the store; collectors give up after ten seconds, and would miss all of them."""
PULSE_S = 0.5
LEVELS_S = 2.0
"""How often an instance looks which log levels were set: when a new one is in force everywhere."""
MOST_FAILING = 20
"""Nodes that metrics name: a line for each of thousands would be a burden to who collects them."""
_RATED = ("tasks_placed", "tasks_finished", "retries", "dead_letters", "attempts_lost")

log = structlog.get_logger(__name__)


class Insight:
    """One instance's account of itself and of its cell; `pulse` and `follow_levels` are loops of the instance."""

    def __init__(self, instance: str, stores: Sequence[Store], metrics: Metrics) -> None:
        """Look at these cells; log levels are kept in the first."""
        self._instance = instance
        self._stores = stores
        self._store = stores[0]
        self._metrics = metrics
        self._rates = RateMeter()
        self._looking = asyncio.Lock()
        self._looked_s = 0.0
        self._fresh_s = 0.0
        self._lag_s = 0.0
        self._followers: list[Callable[[dict[str, str]], None]] = []
        self.levels: dict[str, str] = {}
        """The log levels that are in force here, by module."""

    def follow_with(self, tell: Callable[[dict[str, str]], None]) -> None:
        """Have somebody told whenever other log levels are in force."""
        self._followers.append(tell)

    async def render(self) -> bytes:
        """Return the metrics in the Prometheus text format; also while the store is away."""
        await self._look_if_it_answers()
        return self._metrics.render()

    async def metrics(self) -> list[MetricView]:
        """Return the metrics as data; also while the store is away."""
        await self._look_if_it_answers()
        return self._metrics.views()

    async def stats(self) -> dict[str, Any]:
        """Return counts of jobs, nodes and slots, what waits how long, rates and means. Raises StoreUnavailable."""
        nodes = [node for store in self._stores for node in await store.read.nodes()]
        jobs = Counter[JobStatus]()
        for store in self._stores:
            jobs.update(await store.read.count_jobs())
        gauges = await self._look()
        _, rules = await self._store.read.config()
        # What nobody can use is no room: a fleet whose nodes are off has none.
        executors = [executor for node in nodes if node.state is not NodeState.OFFLINE for executor in node.executors]
        now_s = monotonic()
        return {
            "jobs": jobs,
            "nodes": Counter(node.state for node in nodes),
            "slots": {"total": sum(e.slots for e in executors), "used": sum(e.used for e in executors)},
            "queued_tasks": sum(depth.tasks for depth in gauges.queues.values()),
            "queues": {priority: msgspec.to_builtins(depth) for priority, depth in gauges.queues.items()},
            "paused": msgspec.to_builtins(await self._store.fleet_pause()),
            "bounds": describe_bounds(rules, gauges.open, cells=len(self._stores)),
            "dead_letters": gauges.dead_letters,
            "instance": self._instance,
            "rates_per_s": self._rates.read(),
            "kinds": msgspec.to_builtins(self._metrics.by_kind.read(now_s=now_s)),
            "node_outcomes": msgspec.to_builtins(self._metrics.by_node.read(now_s=now_s)),
            "loop_lag_ms": round(self._lag_s * 1000, 1),
        }

    async def log_levels(self) -> LogLevels:
        """Return which lines the instances write. Raises StoreUnavailable."""
        return LogLevels(default_level(), dict(sorted((await self._store.read.log_levels()).items())))

    async def set_log_level(self, module: str, level: str) -> LogLevels:
        """Let all instances write the lines of a module from a level on. Raises InvalidRequest, StoreUnavailable."""
        name, kept = check_request(module, level)
        await self._store.set_log_level(name, kept)
        # This one at once, so that who set it sees it work.
        await self._apply_levels()
        return await self.log_levels()

    # --- loops ---

    async def pulse(self) -> None:
        """Measure once how late the event loop is, and how fast the counters rise."""
        due = monotonic() + PULSE_S
        await asyncio.sleep(PULSE_S)
        now_s = monotonic()
        lag = max(0.0, now_s - due)
        # The worst of the last minute or so, so that a person who looks now and then sees it.
        self._lag_s = max(lag, self._lag_s * 0.98)
        self._metrics.note_lag(lag)
        self._rates.sample({name: self._metrics.total(name) for name in _RATED}, now_s=now_s)

    async def follow_levels(self) -> None:
        """Go once by the log levels that were set on any instance. Raises StoreUnavailable."""
        await self._apply_levels()
        await asyncio.sleep(LEVELS_S)

    async def _apply_levels(self) -> None:
        levels = await self._store.read.log_levels()
        if apply_levels(levels):
            log.info("log levels changed", levels=levels)
        # Compared here as well: beside another instance of its process this one finds the levels as they are to be.
        if levels != self.levels:
            self.levels = levels
            for tell in self._followers:
                tell(levels)

    # --- the store ---

    async def _look_if_it_answers(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._look()
        except (StoreUnavailable, TimeoutError):
            self._metrics.fleet.seen = None

    async def _look(self) -> FleetGauges:
        # One look at a time: several who ask in the same moment are served by the same.
        async with self._looking:
            seen, now_s = self._metrics.fleet.seen, monotonic()
            if seen is None or now_s - self._looked_s >= self._fresh_s:
                seen = self._metrics.fleet.seen = merge_gauges([await store.read.gauges() for store in self._stores])
                self._looked_s = monotonic()
                self._fresh_s = max(FRESH_S, LOOK_SHARE * (self._looked_s - now_s))
            self._metrics.fleet.failing = self._metrics.by_node.worst(MOST_FAILING, now_s=self._looked_s)
            return seen
