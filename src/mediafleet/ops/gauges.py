"""Numbers that describe the whole cell: they are read when somebody looks, and left out while they cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mediafleet.domain.health import Cause
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import NodeState

if TYPE_CHECKING:
    from mediafleet.domain.insight import FleetGauges


class FleetCollector(Collector):
    """Shows the last look at the cell; a gauge of the library would go on showing it while the store is away."""

    def __init__(self) -> None:
        self.seen: FleetGauges | None = None
        """The last look; None where the store did not answer."""
        self.failing: Mapping[str, float] = {}
        """Share of failed outcomes of the nodes that fail most."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all gauges; those that are not known have no values."""
        seen = self.seen
        up = GaugeMetricFamily("mediafleet_store_up", "Whether the store answered the last look, 1 or 0.")
        up.add_metric([], float(seen is not None))
        queued = GaugeMetricFamily("mediafleet_queued_tasks", "Tasks that wait for an executor.", labels=["class"])
        age = GaugeMetricFamily(
            "mediafleet_queue_age_seconds", "Age of the oldest job with a task that waits.", labels=["class"]
        )
        nodes = GaugeMetricFamily("mediafleet_nodes", "Nodes by state.", labels=["state"])
        dead = GaugeMetricFamily("mediafleet_dead_letters_kept", "Dead letters that nobody has dealt with.")
        withheld = GaugeMetricFamily(
            "mediafleet_withheld_capabilities",
            "Capabilities that executors claim and get no work for at present.",
            labels=["reason"],
        )
        failing = GaugeMetricFamily(
            "mediafleet_node_failure_rate",
            "Share of failed outcomes, 0 to 1, of the nodes of this instance that fail most.",
            labels=["node"],
        )
        if seen is not None:
            for priority in PriorityClass:
                depth = seen.queues[priority]
                queued.add_metric([priority.value], depth.tasks)
                age.add_metric([priority.value], depth.oldest_ms / 1000)
            # Those that no node is in as well: a line that vanishes cannot be alarmed on.
            for state in NodeState:
                nodes.add_metric([state.value], seen.nodes.get(state, 0))
            dead.add_metric([], seen.dead_letters)
            for cause in Cause:
                withheld.add_metric([cause.value], seen.withheld.get(cause, 0))
        for node, rate in self.failing.items():
            failing.add_metric([node], rate)
        yield from (up, queued, age, nodes, dead, withheld, failing)
