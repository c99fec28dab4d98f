"""Metrics come out in the Prometheus text format, and the reference names each of them."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mediafleet.domain.health import Cause
from mediafleet.domain.insight import FleetGauges, KindTally, MetricValue, QueueDepth
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import NodeState
from mediafleet.ops.metrics import CONTENT_TYPE, MOST_KINDS, Metrics
from mediafleet.ops.settings import SlowSettings

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


def seen(nodes: dict[NodeState, int] | None = None, **tasks: int) -> FleetGauges:
    """Return a look at a cell in which so many tasks wait in each class."""
    depths = {priority: QueueDepth(tasks.get(priority.value, 0), 1500) for priority in PriorityClass}
    return FleetGauges(depths, nodes or {}, 3)


def test_states_that_no_node_is_in_are_zero() -> None:
    metrics = Metrics()
    metrics.fleet.seen = seen({NodeState.READY: 2, NodeState.DRAINING: 1})
    metrics.fleet.seen = seen({NodeState.READY: 1})
    assert sample(metrics, "mediafleet_nodes", state="ready") == 1
    assert sample(metrics, "mediafleet_nodes", state="draining") == 0
    assert sample(metrics, "mediafleet_nodes", state="offline") == 0


def test_what_is_rendered_is_the_prometheus_text_format() -> None:
    metrics = Metrics()
    metrics.fleet.seen = seen(live=7)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    assert families["mediafleet_queued_tasks"].samples[0].value == 7
    assert families["mediafleet_queue_age_seconds"].samples[0].value == 1.5
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
    metrics.fleet.seen = seen()
    assert sample(metrics, "mediafleet_nodes", state=state.value) == 0


def test_what_can_fall_is_a_gauge_and_what_only_rises_a_counter() -> None:
    kinds = {family.name: family.type for family in Metrics().registry.collect()}
    assert {name.removeprefix("mediafleet_") for name, kind in kinds.items() if kind == "gauge"} == {
        "dead_letters_kept",
        "node_failure_rate",
        "nodes",
        "queue_age_seconds",
        "queued_tasks",
        "store_up",
        "withheld_capabilities",
    }
    assert set(kinds.values()) == {"counter", "gauge", "histogram"}


def test_every_metric_says_what_it_counts() -> None:
    for family in Metrics().registry.collect():
        assert re.fullmatch(r"[A-Z].+\.", family.documentation), family.name


def test_labels_take_only_words_that_are_few() -> None:
    """An id as a label would make a time series of its own for each job."""
    labels = {
        label for family in Metrics().registry._collector_to_names for label in getattr(family, "_labelnames", ())
    }
    assert labels == {"outcome", "kind", "reason", "route", "method", "status", "script", "section"}


def test_the_body_says_which_format_it_has() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    assert Metrics().render().endswith(b"\n")


def test_gauges_of_the_cell_have_no_values_while_the_store_is_away() -> None:
    """A number that stands still looks like a fleet at rest."""
    metrics = Metrics()
    metrics.fleet.seen = seen({NodeState.READY: 1}, batch=2)
    assert sample(metrics, "mediafleet_store_up") == 1
    metrics.fleet.seen = None
    assert sample(metrics, "mediafleet_store_up") == 0
    assert sample(metrics, "mediafleet_queued_tasks", **{"class": "batch"}) is None
    assert sample(metrics, "mediafleet_nodes", state="ready") is None
    assert sample(metrics, "mediafleet_dead_letters_kept") is None


def test_dead_letters_are_counted_under_few_reasons_whatever_kinds_call_their_errors() -> None:
    metrics = Metrics()
    metrics.note_dead({"poison": 1, "timed-out": 2, "deadline-exceeded": 3, "no-disk": 4, "no-luck": 5})
    metrics.note_dead([])
    counts = {
        reason: sample(metrics, "mediafleet_dead_letters_total", reason=reason)
        for reason in ("poison", "timed-out", "deadline", "failed", "no-disk")
    }
    assert counts == {"poison": 1, "timed-out": 2, "deadline": 3, "failed": 9, "no-disk": None}
    assert metrics.total("dead_letters") == 15


def test_runs_give_the_mean_time_of_each_kind() -> None:
    metrics = Metrics()
    metrics.note_runs({"noop": KindTally(3, 1, 600)})
    metrics.note_runs({"noop": KindTally(1, 0, 200), "transcode": KindTally(1, 0, 9000)})
    assert sample(metrics, "mediafleet_task_runs_total", kind="noop", outcome="done") == 3
    assert sample(metrics, "mediafleet_task_runs_total", kind="noop", outcome="failed") == 1
    assert sample(metrics, "mediafleet_task_seconds_total", kind="noop") == pytest.approx(0.8)
    assert round(metrics.by_kind.read(now_s=0)["noop"].mean_ms) == 200


def test_a_node_that_invents_kinds_makes_no_more_series_than_there_may_be() -> None:
    metrics = Metrics()
    for number in range(MOST_KINDS + 5):
        metrics.note_runs({f"k{number}": KindTally(1)})
    metrics.note_runs({"k0": KindTally(1)})
    assert sample(metrics, "mediafleet_task_runs_total", kind="other", outcome="done") == 5
    assert sample(metrics, "mediafleet_task_runs_total", kind="k0", outcome="done") == 2


def test_a_section_is_measured_also_when_it_fails() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="no"), metrics.section("settle", frames=3):
        raise ValueError("no")
    metrics.note_wait("settle", 0.004)
    assert sample(metrics, "mediafleet_section_seconds_count", section="settle") == 1
    assert sample(metrics, "mediafleet_lock_wait_seconds_sum", section="settle") == 0.004


@pytest.mark.parametrize("section", ["script", "settle", "place", "plan", "loop"])
def test_each_section_that_is_too_slow_is_counted(section: str) -> None:
    metrics = Metrics(SlowSettings(script_ms=10, settle_ms=10, place_ms=10, plan_ms=10, loop_ms=10))
    if section == "script":
        metrics.note_script("place", 0.02)
    elif section == "loop":
        metrics.note_lag(0.02)
    else:
        metrics._note_section(section, 0.02, {})
        metrics._note_section(section, 0.005, {})
    assert sample(metrics, "mediafleet_slow_sections_total", section=section) == 1


def test_the_same_is_there_as_data() -> None:
    metrics = Metrics()
    metrics.tasks_placed.inc(2)
    metrics.note_script("place", 0.002)
    metrics.fleet.seen = seen({NodeState.READY: 4})
    views = {view.name: view for view in metrics.views()}
    assert views["mediafleet_tasks_placed_total"].values == [MetricValue({}, 2.0)]
    assert MetricValue({"state": "ready"}, 4.0) in views["mediafleet_nodes"].values
    (script,) = views["mediafleet_store_script_seconds"].values
    assert (script.labels, script.count, script.sum) == ({"script": "place"}, 1, 0.002)
    assert script.buckets is not None
    assert (script.buckets["0.001"], script.buckets["0.002"], script.buckets["+Inf"]) == (0, 1, 1)
    assert all(view.help and view.type in {"counter", "gauge", "histogram"} for view in views.values())


def test_text_and_data_name_the_same_metrics() -> None:
    metrics = Metrics()
    metrics.fleet.seen = seen()
    told = set(re.findall(r"^# TYPE (\S+)", metrics.render().decode(), re.MULTILINE))
    assert {view.name for view in metrics.views()} == {name for name in told if not name.endswith("_created")}


def test_the_examples_for_collectors_ask_for_metrics_that_there_are() -> None:
    page = (REFERENCE.parents[1] / "howto/watch-a-fleet.md").read_text(encoding="utf-8")
    asked = {name.removesuffix("_bucket") for name in re.findall(r"mediafleet_[a-z_]+", page)}
    assert asked
    assert asked <= {view.name for view in Metrics().views()}


def test_withheld_capabilities_are_told_by_their_reason_and_zero_where_there_are_none() -> None:
    metrics = Metrics()
    metrics.fleet.seen = msgspec.structs.replace(seen(), withheld={Cause.FAILURES: 2})
    assert sample(metrics, "mediafleet_withheld_capabilities", reason="failures") == 2
    assert sample(metrics, "mediafleet_withheld_capabilities", reason="missing") == 0


def test_breakers_are_counted_by_kind() -> None:
    metrics = Metrics()
    metrics.note_breakers({"kind:clip": 2, "kind:noop": 1})
    metrics.note_breakers({"kind:clip": 1})
    # As the scripts say nothing.
    metrics.note_breakers([])
    assert sample(metrics, "mediafleet_breakers_opened_total", kind="clip") == 3
    assert metrics.total("breakers_opened") == 4
