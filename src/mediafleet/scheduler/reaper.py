"""The instance's clockwork: ends what is due, keeps presence, lets retention go."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.health import BreakerRules
from mediafleet.domain.ids import job_of, node_of
from mediafleet.domain.retry import back_off_table
from mediafleet.domain.rules import FleetRules
from mediafleet.scheduler.dependencies import DEPENDENCY_FAILED
from mediafleet.scheduler.outcomes import (
    DEADLINE_EXCEEDED,
    POISON,
    QUEUE_TIMEOUT,
    STALLED,
    TASK_DEADLINE_EXCEEDED,
)
from mediafleet.scheduler.settler import TIMED_OUT, draw_delays
from mediafleet.store.records import Reaped, ReapRules
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from mediafleet.ops.metrics import Metrics
    from mediafleet.ops.settings import SchedulerSettings
    from mediafleet.scheduler.links import LinkTable
    from mediafleet.scheduler.placer import Placer
    from mediafleet.scheduler.planner import Planner
    from mediafleet.scheduler.retention import Retention
    from mediafleet.store import Store

# As long as finished jobs by default, whose tasks name the executor that they ran on.
NODE_RETENTION_MS = 7 * 24 * 3600 * 1000

LIMITS = {
    "reserve": "accept",
    "queued": "queue",
    "stalled": "progress",
    "deadline": "total",
    "task-deadline": "deadline",
}
"""Entries of `due` that are the time limits of a task, with the limit's name."""

CALLS_A_TICK = 100
BREATH_S = 0.005
"""Between two calls of a tick, about as long as one takes: what everybody else asks of the server has its turn."""

log = structlog.get_logger(__name__)


def breaker_rules(settings: SchedulerSettings) -> BreakerRules:
    """Return when an executor gets no more tasks of a kind."""
    return BreakerRules(settings.breaker_failures, settings.breaker_cool_ms, settings.withheld_longest_ms)


@dataclass(frozen=True)
class Recovery:
    """Who has to know when something has ended."""

    placer: Placer
    planner: Planner
    links: LinkTable
    metrics: Metrics


class Reaper:
    """Ticks in one loop of its own; a tick that meets a store that is away is left out."""

    def __init__(self, store: Store, settings: SchedulerSettings, *, retention: Retention, recovery: Recovery) -> None:
        self._store = store
        self._settings = settings
        self._retention = retention
        self._placer, self._planner = recovery.placer, recovery.planner
        self._links, self._metrics = recovery.links, recovery.metrics
        self._sweep_in_ms = 0
        self._asked = asyncio.Event()
        self._max_kills = FleetRules().max_kills

    @property
    def live_grace_ms(self) -> int:
        """How long live work waits for a node whose link closed; of two silent heartbeats nothing is left to wait for."""
        return min(self._settings.live_grace_ms, self._settings.heartbeat_ms // 4)

    def follow(self, rules: FleetRules) -> None:
        """End what is due by these rules from now on."""
        self._max_kills = rules.max_kills

    async def step(self) -> None:
        """Tick once, sweep the queues now and then, and wait. Raises StoreUnavailable."""
        # The sweep is the backstop for wake-ups that were lost with an instance; where all is well it finds nothing.
        await self.tick()
        self._sweep_in_ms -= self._settings.reap_ms
        if self._sweep_in_ms <= 0:
            await self._placer.sweep()
            # Instances that were started together would otherwise all sweep in the same moment.
            self._sweep_in_ms = int(self._settings.backstop_ms * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.reap_ms / 1000):
                await self._asked.wait()
        self._asked.clear()

    def ask(self, *, in_s: float) -> None:
        """Tick soon, because something is known to be due by then: live work does not wait for the next tick."""
        asyncio.get_running_loop().call_later(in_s, self._asked.set)

    async def tick(self) -> None:
        """Do what is due now, or a good part of it if it is very much. Raises StoreUnavailable."""
        # A call ends a bounded number, so that the server is free in between. After an outage, or where thousands of
        # jobs wait for hundreds, there are many: what the step does besides is not put off until all are through.
        for number in range(CALLS_A_TICK):
            if number:
                await asyncio.sleep(BREATH_S)
            if not await self._reap():
                break
        else:
            self._asked.set()
        # Without being asked as well: another instance may have died between a result and its plan.
        self._planner.ask()

    async def _reap(self) -> bool:
        """End some of what is due; return whether there is more."""
        reaped = await self._store.reap(self._rules())
        self._links.cancel(reaped.stops, "the attempt took too long")
        self._links.cancel(reaped.halted, "its job, its node or the fleet is paused")
        self._placer.ask(reaped.queues)
        self._placer.note_freed(reaped.freed)
        self._note_ends(reaped)
        await self._retention.let_go(reaped.jobs, reaped.artifacts)
        return reaped.more

    def _note_ends(self, reaped: Reaped) -> None:
        for node in reaped.nodes:
            log.warning("node lost; its work goes elsewhere", node=node, reason="lease ended")
        for stop in reaped.stops:
            log.warning(
                "attempt took too long",
                job=job_of(stop.task),
                task=stop.task,
                grant=stop.grant,
                node=node_of(stop.executor),
                reason="deadline",
            )
        expired = reaped.expired if isinstance(reaped.expired, dict) else {}
        dead = reaped.dead if isinstance(reaped.dead, dict) else {}
        self._metrics.note_dead(dead)
        self._metrics.note_breakers(reaped.opened)
        self._metrics.ack_timeouts.inc(expired.get("reserve", 0))
        # Those that ended for good were the last try of their task.
        self._metrics.retries.inc(max(0, expired.get("deadline", 0) - dead.get(TIMED_OUT.code, 0)))
        for what, count in expired.items():
            # Only these are attempts that gave slots back; what timers let go is in the queues.
            if limit := LIMITS.get(what):
                self._metrics.limits_reached.labels(limit).inc(count)
            if what in {"reserve", "node", "live", "deadline", "stalled", "idle"}:
                self._metrics.attempts_lost.labels(what).inc(count)
            # Executors came to pools that this instance may not know yet.
            if what == "withheld":
                self._placer.note_executors()
            if what in {"reserve", "live", "deadline", "stalled", "idle"}:
                log.warning("attempts ended without a result", reason=what, count=count)

    def _rules(self) -> ReapRules:
        return ReapRules(
            gap_ms=self._settings.outage_gap_ms,
            grace_ms=self._settings.node_lease_ms,
            retention_ms=NODE_RETENTION_MS,
            timeout_error=as_text(TIMED_OUT),
            delays=back_off_table(draw_delays()),
            max_kills=self._max_kills,
            poison_error=as_text(POISON),
            deadline_error=as_text(DEADLINE_EXCEEDED),
            queue_error=as_text(QUEUE_TIMEOUT),
            stalled_error=as_text(STALLED),
            task_deadline_error=as_text(TASK_DEADLINE_EXCEEDED),
            dependency_error=as_text(DEPENDENCY_FAILED),
            breaker=breaker_rules(self._settings),
        )
