"""Spans go from submit to done over what travels with the task, and cost nothing where nobody asks for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from mediafleet.ops import traces
from mediafleet.ops.traces import TracedTask

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
DOC = '{"kind":"noop","kind_version":1,"step":"run","name":"a","tenant":"t","traceparent":"%s","submitted_ms":1000}'


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """Tracing belongs to the process: leave none of it."""
    yield
    traces.stop()


@pytest.fixture
def spans(stopped: None) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    assert traces.start("test", {}, exporter=exporter)
    return exporter


def one(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return found


def traceparent_of(exporter: InMemorySpanExporter) -> str:
    """Return what a job carries that was submitted just now."""
    with traces.submitting() as begin:
        return begin("j0-1", "noop", "default")


def parent_of(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}"


def task(traceparent: str, *, attempt: int = 1) -> TracedTask:
    return TracedTask("j0-1.a", "j0-1", attempt, "n0-a/cpu", DOC % traceparent)


# --- whether there are any -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
    ],
)
def test_spans_are_made_only_where_the_standard_variables_ask_for_them(
    environ: dict[str, str], *, wanted: bool
) -> None:
    assert traces.are_wanted(environ) is wanted


def test_without_being_asked_for_nothing_is_made_and_nothing_is_imported() -> None:
    code = (
        "import sys, mediafleet.app.processes; from mediafleet.ops import traces; "
        "assert not traces.start('x', {}); assert not traces.is_on(); "
        "assert 'mediafleet.ops._otel' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_where_the_extra_is_missing_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediafleet.ops._otel", None)
    monkeypatch.delattr("mediafleet.ops._otel", raising=False)
    with capture_logs() as lines:
        assert not traces.start("test", ENDPOINT)
    assert "mediafleet[traces]" in lines[0]["event"]
    assert not traces.is_on()


def test_an_exporter_that_is_not_supported_is_named() -> None:
    with capture_logs() as lines:
        assert not traces.start("test", {"OTEL_TRACES_EXPORTER": "zipkin"})
    assert lines[0]["exporter"] == "zipkin"


def test_while_nobody_asks_jobs_carry_nothing() -> None:
    assert traceparent_of(InMemorySpanExporter()) == ""
    traces.note_placed([task(CALLER)], began_ns=1)
    traces.note_accepted(CALLER, {}, began_ns=1)
    with traces.running(CALLER, {}) as note_failure:
        note_failure("nobody hears it")


def test_after_the_end_no_more_are_made(spans: InMemorySpanExporter) -> None:
    traces.stop()
    traces.stop()
    assert not traces.is_on()
    assert traceparent_of(spans) == ""


def test_the_variables_name_the_service_and_the_default_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for environ, name in (({}, "mediafleet-scheduler"), ({"OTEL_SERVICE_NAME": "mine"}, "mine")):
        for key, value in environ.items():
            monkeypatch.setenv(key, value)
        exporter = InMemorySpanExporter()
        traces.start("mediafleet-scheduler", environ, exporter=exporter)
        traceparent_of(exporter)
        assert one(exporter, "submit").resource.attributes["service.name"] == name
        traces.stop()


# --- submit --------------------------------------------------------------------------------


def test_a_job_carries_the_trace_that_its_submission_began(spans: InMemorySpanExporter) -> None:
    carried = traceparent_of(spans)
    context = one(spans, "submit").context
    assert context is not None
    # The last two digits are flags, of which only the first is of interest: sampled.
    assert carried[:-2] == f"00-{context.trace_id:032x}-{context.span_id:016x}-"
    assert int(carried[-2:], 16) & 1
    assert one(spans, "submit").parent is None


def test_a_caller_that_traces_finds_the_job_in_its_own_trace(spans: InMemorySpanExporter) -> None:
    token = traces.incoming.set(CALLER)
    traceparent_of(spans)
    traces.incoming.reset(token)
    assert parent_of(one(spans, "submit")) == "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.mark.parametrize("header", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff" * 40, "00-ñ-1-1"])
def test_a_header_that_is_no_trace_begins_a_new_one(spans: InMemorySpanExporter, header: str) -> None:
    token = traces.incoming.set(header)
    carried = traceparent_of(spans)
    traces.incoming.reset(token)
    assert carried
    assert one(spans, "submit").parent is None


def test_a_caller_that_does_not_sample_gets_no_spans(spans: InMemorySpanExporter) -> None:
    token = traces.incoming.set(CALLER[:-2] + "00")
    assert traceparent_of(spans) == ""
    traces.incoming.reset(token)
    assert spans.get_finished_spans() == ()


def test_each_job_of_a_list_has_a_trace_of_its_own(spans: InMemorySpanExporter) -> None:
    with traces.submitting() as begin:
        carried = {begin(f"j0-{number}", "noop", "default").split("-")[1] for number in range(3)}
    assert len(carried) == 3


def test_a_refused_submission_is_a_failed_span(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no room"), traces.submitting() as begin:
        begin("j0-1", "noop", "default")
        raise ValueError("no room")
    status = one(spans, "submit").status
    assert (status.is_ok, status.description) == (False, "no room")


# --- queued, placed, run, accepted ---------------------------------------------------------


def test_a_placed_task_shows_how_long_it_waited_and_was_handed_over(spans: InMemorySpanExporter) -> None:
    carried = traceparent_of(spans)
    traces.note_placed([task(carried)], began_ns=3_000_000_000)
    queued, placed = one(spans, "queued"), one(spans, "placed")
    assert (queued.start_time, queued.end_time, placed.start_time) == (1_000_000_000, 3_000_000_000, 3_000_000_000)
    assert {parent_of(queued), parent_of(placed)} == {carried[3:-3]}
    assert placed.attributes is not None
    assert placed.attributes["mediafleet.task"] == "j0-1.a"
    assert placed.attributes["mediafleet.kind"] == "noop"
    assert placed.status.is_ok is not False


def test_only_the_first_attempt_has_waited_since_the_submission(spans: InMemorySpanExporter) -> None:
    traces.note_placed([task(traceparent_of(spans), attempt=2)], began_ns=3_000_000_000)
    assert [span.name for span in spans.get_finished_spans()] == ["submit", "placed"]


def test_a_clock_that_is_behind_makes_no_span_that_ends_before_it_begins(spans: InMemorySpanExporter) -> None:
    traces.note_placed([task(traceparent_of(spans))], began_ns=500_000_000)
    queued = one(spans, "queued")
    assert queued.start_time == queued.end_time == 500_000_000


def test_tasks_without_a_trace_are_passed_over(spans: InMemorySpanExporter) -> None:
    plain = TracedTask("j0-1.a", "j0-1", 1, "n0-a/cpu", '{"kind":"noop","step":"run"}')
    traces.note_placed([plain, task("nonsense")], began_ns=1_000)
    traces.note_accepted("", {}, began_ns=1)
    assert all(span.parent is None for span in spans.get_finished_spans())


def test_a_node_that_could_not_be_reached_is_a_failed_span(spans: InMemorySpanExporter) -> None:
    traces.note_placed([task(traceparent_of(spans))], began_ns=1, undelivered=["j0-1.a"])
    assert one(spans, "placed").status.description == "the node could not be reached"


def test_what_a_handler_traces_is_part_of_its_run(spans: InMemorySpanExporter) -> None:
    from opentelemetry import trace  # noqa: PLC0415 - the way a handler would

    carried = traceparent_of(spans)
    with traces.running(carried, {"task": "j0-1.a"}):
        inner = trace.get_current_span().get_span_context().span_id
    run = one(spans, "run")
    assert run.context is not None
    assert run.context.span_id == inner
    assert parent_of(run) == carried[3:-3]
    assert trace.get_current_span().get_span_context().span_id == 0


def test_a_run_says_why_it_failed(spans: InMemorySpanExporter) -> None:
    with traces.running(traceparent_of(spans), {}) as note_failure:
        note_failure("the disk is full" * 1000)
    description = one(spans, "run").status.description
    assert description is not None
    assert description.startswith("the disk is full")
    assert len(description) == 500


def test_a_run_that_raises_is_a_failed_span_and_ends(spans: InMemorySpanExporter) -> None:
    with pytest.raises(KeyError), traces.running(traceparent_of(spans), {}):
        raise KeyError
    assert one(spans, "run").status.description == "KeyError"


def test_the_verdict_on_an_outcome_is_told(spans: InMemorySpanExporter) -> None:
    carried = traceparent_of(spans)
    traces.note_accepted(carried, {"task": "j0-1.a", "verdict": "accepted"}, began_ns=1_000)
    span = one(spans, "accepted")
    assert span.attributes is not None
    assert (span.start_time, span.attributes["mediafleet.verdict"]) == (1_000, "accepted")
    assert parent_of(span) == carried[3:-3]


def test_spans_say_which_instance_or_node_made_them(spans: InMemorySpanExporter) -> None:
    with structlog.contextvars.bound_contextvars(instance="i-1", job="not this"):
        traceparent_of(spans)
    attributes: Any = one(spans, "submit").attributes
    assert attributes["mediafleet.instance"] == "i-1"
    assert attributes["mediafleet.job"] == "j0-1"
