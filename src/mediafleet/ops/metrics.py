"""What an instance counts and measures, in the Prometheus text format.

One `Metrics` for each instance, on a registry of its own, so that several can live in one process.
`docs/reference/metrics.md` says what each is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mediafleet.domain.node import NodeState

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SCRIPT_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
"""Buckets: a script on an idle store takes well under a millisecond; 1 s means the store is in trouble."""
_LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """The metrics of one scheduler instance; each attribute is one metric, safe to use from any thread."""

    def __init__(self) -> None:
        # The library's own registry is one for the whole process, and refuses the same names a second time.
        self.registry = CollectorRegistry()
        self.tasks_placed = self._counter("tasks_placed", "Attempts that got an executor.")
        self.tasks_finished = self._counter("tasks_finished", "Outcomes that were accepted.", "outcome")
        self.stale_messages = self._counter(
            "stale_messages", "Messages about attempts that were revoked or settled; they changed nothing.", "kind"
        )
        self.duplicate_results = self._counter(
            "duplicate_results", "Results that came again after they were accepted; they changed nothing."
        )
        self.submissions_refused = self._counter(
            "submissions_refused", "Submissions that a bound of open tasks kept out.", "reason"
        )
        self.limits_reached = self._counter("limits_reached", "Attempts and tasks that a time limit ended.", "reason")
        self.messages_undelivered = self._counter(
            "messages_undelivered", "Messages between instances that nobody could deliver; nothing depends on them."
        )
        self.attempts_lost = self._counter(
            "attempts_lost", "Attempts that ended through no fault of their task.", "reason"
        )
        self.backstop_placements = self._counter(
            "backstop_placements",
            "Tasks that only the periodic look at the queues placed; rising means a lost wake-up.",
        )
        self.http_requests = self._counter("http_requests", "Answers of the HTTP routes.", "route", "method", "status")
        self.store_script_seconds = self._histogram(
            "store_script_seconds", "Round trip of a store script.", _SCRIPT_SECONDS, "script"
        )
        self.dispatch_latency_seconds = self._histogram(
            "dispatch_latency_seconds", "From a task's submission or release to its assignment.", _LATENCY_SECONDS
        )
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late the event loop wakes a timer.", _LATENCY_SECONDS
        )
        self.queued_tasks = self._gauge("queued_tasks", "Tasks that wait for an executor.")
        self.nodes = self._gauge("nodes", "Nodes by state.", "state")

    def set_nodes(self, counts: Mapping[NodeState, int]) -> None:
        """Set the number of nodes in each state; states that are not named have none."""
        # Those that are not named as well: a gauge keeps its last value until it is told another.
        for state in NodeState:
            self.nodes.labels(state.value).set(counts.get(state, 0))

    def note_script(self, script: str, seconds: float) -> None:
        """Count one call of a store script."""
        self.store_script_seconds.labels(script).observe(seconds)

    def render(self) -> bytes:
        """Return everything as the body of `GET /metrics`; its type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"mediafleet_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"mediafleet_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"mediafleet_{name}", text, labels, buckets=buckets, registry=self.registry)
