"""What an instance counts and measures, in the Prometheus text format and as data.

One `Metrics` for each instance, on a registry of its own, so that several can live in one process.
`docs/reference/metrics.md` says what each is for. Counting must cost nothing a task: callers count once a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from mediafleet.domain.insight import KindTally, MetricValue, MetricView
from mediafleet.domain.rates import FadingTallies
from mediafleet.ops.gauges import FleetCollector
from mediafleet.ops.settings import SlowSettings
from mediafleet.ops.slow import SlowWatch, Timed

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SCRIPT_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
"""Buckets: a script on an idle store takes well under a millisecond; 1 s means the store is in trouble."""
_LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
_DEAD_REASONS = {"poison": "poison", "timed-out": "timed-out", "deadline-exceeded": "deadline"}
MOST_KINDS = 100
"""Job kinds that have a label of their own."""
_NO_IDS: Mapping[str, Any] = {}


class Metrics:
    """The metrics of one scheduler instance; each attribute is one metric, safe to use from any thread."""

    def __init__(self, slow: SlowSettings | None = None) -> None:
        # The library's own registry is one for the whole process, and refuses the same names a second time.
        self.registry = CollectorRegistry()
        self._slow = SlowWatch(slow or SlowSettings())
        self._make_counters()
        self._make_task_counters()
        self.store_script_seconds = self._histogram(
            "store_script_seconds", "Round trip of a store script.", _SCRIPT_SECONDS, "script"
        )
        self.dispatch_latency_seconds = self._histogram(
            "dispatch_latency_seconds",
            "From when the instance learned that tasks may be placed to when the batch was handed on.",
            _LATENCY_SECONDS,
        )
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late the event loop wakes a timer.", _LATENCY_SECONDS
        )
        self.section_seconds = self._histogram(
            "section_seconds", "How long one turn of a critical section took.", _LATENCY_SECONDS, "section"
        )
        self.lock_wait_seconds = self._histogram(
            "lock_wait_seconds",
            "How long work waited for a section that only one turn may be in.",
            _LATENCY_SECONDS,
            "section",
        )
        # The library looks a label up under a lock each time, which costs more than what is counted.
        self._of_script: Callable[[str], Histogram] = cache(self.store_script_seconds.labels)
        self._of_section: Callable[[str], Histogram] = cache(self.section_seconds.labels)
        self._of_wait: Callable[[str], Histogram] = cache(self.lock_wait_seconds.labels)
        self.by_kind, self.by_node = FadingTallies(), FadingTallies()
        """Of the last while: what nodes ran of each kind, and how the attempts of each node ended."""
        self._kinds: set[str] = set()
        self.fleet = FleetCollector()
        self.registry.register(self.fleet)

    def _make_counters(self) -> None:
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
        self.backstop_placements = self._counter(
            "backstop_placements",
            "Tasks that only the periodic look at the queues placed; rising means a lost wake-up.",
        )
        self.http_requests = self._counter("http_requests", "Answers of the HTTP routes.", "route", "method", "status")
        self.unknown_events = self._counter(
            "unknown_events", "Events of types that only a newer version knows; they were passed over."
        )
        self.plans_left = self._counter(
            "plans_left", "Plans that this instance left to others, since it lacks the kind or its version.", "kind"
        )
        self.slow_sections = self._counter(
            "slow_sections", "Turns of a critical section that took longer than its threshold.", "section"
        )

    def _make_task_counters(self) -> None:
        self.breakers_opened = self._counter(
            "breakers_opened", "Executors that get no tasks of a kind for a while, since too many failed there.", "kind"
        )
        self.tasks_placed = self._counter("tasks_placed", "Attempts that got an executor.")
        self.reserve_conflicts = self._counter(
            "reserve_conflicts", "Placing calls and reservations that something else had overtaken.", "reason"
        )
        self.placing_blocked = self._counter(
            "placing_blocked", "Looks at a queue whose tasks found no executor.", "reason"
        )
        self.tasks_finished = self._counter("tasks_finished", "Outcomes that were accepted.", "outcome")
        self.retries = self._counter("retries", "Tries that were spent and are followed by another.")
        self.dead_letters = self._counter("dead_letters", "Tasks that failed for good.", "reason")
        self.stale_messages = self._counter(
            "stale_messages", "Messages about attempts that were revoked or settled; they changed nothing.", "kind"
        )
        self.attempts_lost = self._counter(
            "attempts_lost", "Attempts that ended through no fault of their task.", "reason"
        )
        self.ack_timeouts = self._counter("ack_timeouts", "Reservations that no node confirmed in time.")
        self.task_runs = self._counter("task_runs", "Attempts that nodes ran to an end.", "kind", "outcome")
        self.task_seconds = self._counter("task_seconds", "Time that those attempts took on their nodes.", "kind")

    def note_script(self, script: str, seconds: float) -> None:
        """Count one call of a store script."""
        self._of_script(script).observe(seconds)
        self._judge("script", seconds, {"script": script})

    def section(self, name: str, **ids: Any) -> Timed:
        """Return what measures its block as one turn of a critical section; `ids` are told if it was slow."""
        return Timed(self._note_section, name, ids or _NO_IDS)

    def note_lag(self, seconds: float) -> None:
        """Note how late the event loop woke a timer."""
        self.event_loop_lag_seconds.observe(seconds)
        self._judge("loop", seconds, _NO_IDS)

    def note_dead(self, codes: dict[str, int] | list[int]) -> None:
        """Count new dead letters by the code of their error."""
        # Codes are the kinds' own, without a bound: a label takes only those that are ours.
        for code, count in codes.items() if isinstance(codes, dict) else ():
            self.dead_letters.labels(_DEAD_REASONS.get(code, "failed")).inc(count)

    def note_breakers(self, opened: dict[str, int] | list[int]) -> None:
        """Count circuit breakers that opened, by the capability that they took away: `kind:<name>`."""
        for capability, count in opened.items() if isinstance(opened, dict) else ():
            self.breakers_opened.labels(self._kind_label(capability.removeprefix("kind:").partition("@")[0])).inc(count)

    def note_plan_left(self, kind: str) -> None:
        """Count a plan that this instance cannot make."""
        self.plans_left.labels(self._kind_label(kind)).inc()

    def note_outcomes(self, node: str, *, done: int, failed: int) -> None:
        """Count how attempts of a node ended; those that it was told to stop are neither."""
        self.by_node.note(node, KindTally(done + failed, failed), now_s=monotonic())

    def note_runs(self, ran: Mapping[str, KindTally]) -> None:
        """Count what a node ran since its last heartbeat, by kind."""
        for name, tally in ran.items():
            kind = self._kind_label(name)
            self.task_runs.labels(kind, "done").inc(max(0, tally.runs - tally.failed))
            self.task_runs.labels(kind, "failed").inc(tally.failed)
            self.task_seconds.labels(kind).inc(tally.took_ms / 1000)
            self.by_kind.note(kind, tally, now_s=monotonic())

    def _kind_label(self, kind: str) -> str:
        # Nodes may name what they like, and every label is a time series for ever.
        if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
            return "other"
        self._kinds.add(kind)
        return kind

    def note_answer(self, route: str, method: str, status: int) -> None:
        """Count one answer of an HTTP route."""
        self.http_requests.labels(route, method, str(status)).inc()

    def note_wait(self, section: str, seconds: float) -> None:
        """Note how long the first piece of work waited for its turn in a critical section."""
        self._of_wait(section).observe(seconds)

    def _note_section(self, name: str, seconds: float, ids: Mapping[str, Any]) -> None:
        self._of_section(name).observe(seconds)
        self._judge(name, seconds, ids)

    def _judge(self, section: str, seconds: float, ids: Mapping[str, Any]) -> None:
        if self._slow.note(section, seconds, ids):
            self.slow_sections.labels(section).inc()

    def total(self, name: str) -> float:
        """Return a counter's value, all its labels together; 0 for one that there is not."""
        metric: Counter | None = getattr(self, name, None)
        families = metric.collect() if metric else ()
        return sum(sample.value for family in families for sample in family.samples if sample.name.endswith("_total"))

    def render(self) -> bytes:
        """Return everything as the body of `GET /metrics`; its type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def views(self) -> list[MetricView]:
        """Return everything as data."""
        return [_view(family) for family in self.registry.collect()]

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"mediafleet_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"mediafleet_{name}", text, labels, buckets=buckets, registry=self.registry)


def _view(family: Metric) -> MetricView:
    if family.type == "histogram":
        return MetricView(family.name, family.type, family.documentation, _histograms(family))
    name = family.name + ("_total" if family.type == "counter" else "")
    # Beside each counter the library has a sample of when it began, which the text format of Prometheus leaves out.
    values = [MetricValue(dict(sample.labels), value=sample.value) for sample in family.samples if sample.name == name]
    return MetricView(name, family.type, family.documentation, values)


def _histograms(family: Metric) -> list[MetricValue]:
    series: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in family.samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        series.setdefault(labels, []).append(sample)
    return [_histogram_value(dict(labels), samples) for labels, samples in series.items()]


def _histogram_value(labels: dict[str, str], samples: list[Sample]) -> MetricValue:
    by_part = {sample.name.rpartition("_")[2]: sample.value for sample in samples if "le" not in sample.labels}
    buckets = {sample.labels["le"]: sample.value for sample in samples if "le" in sample.labels}
    return MetricValue(labels, count=by_part.get("count", 0), sum=by_part.get("sum", 0), buckets=buckets)
