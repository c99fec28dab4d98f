"""Metrics come out in the Prometheus text format, and the reference names each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mediafleet.domain.node import NodeState
from mediafleet.ops.metrics import CONTENT_TYPE, Metrics

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


@pytest.mark.parametrize("name", ["dispatch_latency_seconds", "event_loop_lag_seconds"])
def test_a_latency_falls_into_the_first_bucket_it_fits(name: str) -> None:
    metrics = Metrics()
    getattr(metrics, name).observe(0.005)
    counts = [sample(metrics, f"mediafleet_{name}_bucket", le=le) for le in ("0.002", "0.005", "0.01", "+Inf")]
    assert counts == [0, 1, 1, 1]


@pytest.mark.parametrize("seconds", [0.0001, 0.003, 0.99])
def test_the_buckets_of_scripts_tell_a_quick_one_from_one_in_trouble(seconds: float) -> None:
    metrics = Metrics()
    metrics.note_script("place", seconds)
    assert sample(metrics, "mediafleet_store_script_seconds_bucket", script="place", le="1.0") == 1
    assert sample(metrics, "mediafleet_store_script_seconds_sum", script="place") == seconds


def test_scripts_are_told_apart() -> None:
    metrics = Metrics()
    metrics.note_script("place", 0.002)
    assert sample(metrics, "mediafleet_store_script_seconds_count", script="finish") is None


@pytest.mark.parametrize("state", NodeState)
def test_every_state_of_a_node_has_a_line_from_the_first_count_on(state: NodeState) -> None:
    metrics = Metrics()
    metrics.set_nodes({})
    assert sample(metrics, "mediafleet_nodes", state=state.value) == 0


def test_what_can_fall_is_a_gauge_and_what_only_rises_a_counter() -> None:
    kinds = {family.name: family.type for family in Metrics().registry.collect()}
    assert {name for name, kind in kinds.items() if kind == "gauge"} == {"mediafleet_queued_tasks", "mediafleet_nodes"}
    assert set(kinds.values()) == {"counter", "gauge", "histogram"}


def test_every_metric_says_what_it_counts() -> None:
    for family in Metrics().registry.collect():
        assert re.fullmatch(r"[A-Z].+\.", family.documentation), family.name


def test_labels_take_only_words_that_are_few() -> None:
    """An id as a label would make a time series of its own for each job."""
    labels = {
        label for family in Metrics().registry._collector_to_names for label in getattr(family, "_labelnames", ())
    }
    assert labels == {"outcome", "kind", "reason", "route", "method", "status", "script", "state"}


def test_the_body_says_which_format_it_has() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    assert Metrics().render().endswith(b"\n")
