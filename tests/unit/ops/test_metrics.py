"""Metrics come out in the Prometheus text format, and the reference names each of them."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from mediafleet.domain.node import NodeState
from mediafleet.ops.metrics import Metrics

REFERENCE = Path(__file__).parents[3] / "docs/reference/metrics.md"


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_counts_come_out_under_their_labels() -> None:
    metrics = Metrics()
    metrics.tasks_placed.inc(3)
    metrics.tasks_finished.labels("done").inc()
    metrics.http_requests.labels("/api/v1/jobs", "POST", "201").inc()
    assert sample(metrics, "mediafleet_tasks_placed_total") == 3
    assert sample(metrics, "mediafleet_tasks_finished_total", outcome="done") == 1
    labels = {"route": "/api/v1/jobs", "method": "POST", "status": "201"}
    assert sample(metrics, "mediafleet_http_requests_total", **labels) == 1


def test_two_instances_in_one_process_do_not_mix() -> None:
    one, two = Metrics(), Metrics()
    one.tasks_placed.inc()
    assert sample(two, "mediafleet_tasks_placed_total") == 0


def test_each_script_call_is_counted_under_its_name() -> None:
    metrics = Metrics()
    metrics.note_script("place", 0.002)
    metrics.note_script("place", 0.004)
    assert sample(metrics, "mediafleet_store_script_seconds_count", script="place") == 2


def test_states_that_no_node_is_in_are_zero() -> None:
    metrics = Metrics()
    metrics.set_nodes({NodeState.READY: 2, NodeState.DRAINING: 1})
    metrics.set_nodes({NodeState.READY: 1})
    assert sample(metrics, "mediafleet_nodes", state="ready") == 1
    assert sample(metrics, "mediafleet_nodes", state="draining") == 0
    assert sample(metrics, "mediafleet_nodes", state="offline") == 0


def test_what_is_rendered_is_the_prometheus_text_format() -> None:
    metrics = Metrics()
    metrics.queued_tasks.set(7)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    assert families["mediafleet_queued_tasks"].samples[0].value == 7
    assert families["mediafleet_dispatch_latency_seconds"].type == "histogram"


def test_the_reference_names_every_metric_and_no_other() -> None:
    told = set(re.findall(r"^\| `(mediafleet_\w+)`", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE))
    made = {family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()}
    assert told == made
