"""OpenTelemetry spans from submit to done, if they are asked for; while they are not, nothing of it is even imported.

The trace travels with the task: its specification carries a `traceparent` (W3C Trace Context), which the node sends back
with the outcome. So any instance can add its spans, and none keeps anything of a trace in memory. Tracing belongs to
the process, as logging does. docs/decisions/0013 has the reasons.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import time_ns
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

STOP_S = 2.0
"""How long the end of a process waits for the last spans to be sent."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_MARK = '"traceparent":"'

incoming: ContextVar[str] = ContextVar("incoming", default="")
"""The `traceparent` that the caller of the present request sent."""

log = structlog.get_logger(__name__)


@dataclass
class _State:
    """The tracing of this process."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


_state = _State()


class _Traced(msgspec.Struct):
    """What spans need of a task's specification."""

    kind: str
    step: str
    traceparent: str = ""
    submitted_ms: int = 0


class TracedTask(msgspec.Struct, frozen=True):
    """A task that was handed to a node."""

    task: str
    job: str
    attempt: int
    executor: str
    doc: str
    """Its specification as JSON."""


def is_on() -> bool:
    """Tell whether spans are made: asked once a batch where tasks are many."""
    return _state.tracer is not None


# --- the process -------------------------------------------------------------------------------


def are_wanted(environ: Mapping[str, str]) -> bool:
    """Tell whether the standard variables ask for spans; without any of them nothing is sent anywhere."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if exporter := environ.get("OTEL_TRACES_EXPORTER", ""):
        if exporter not in {"otlp", "none"}:
            log.warning("only the exporter otlp is supported for traces; none are sent", exporter=exporter)
        return exporter == "otlp"
    return any(environ.get(name) for name in _ENDPOINTS)


def start(service: str, environ: Mapping[str, str], *, exporter: SpanExporter | None = None) -> bool:
    """Begin to make spans if the variables ask for them; return whether they are made.

    Args:
        service: Name of this process, unless `OTEL_SERVICE_NAME` gives another.
        environ: The process's environment; the exporter and the sampler read their variables themselves.
        exporter: Stands in for OTLP over HTTP, and is used whatever the variables say.
    """
    if exporter is None and not are_wanted(environ):
        return False
    try:
        from mediafleet.ops import _otel  # noqa: PLC0415 - the extra may be missing, and takes a while to import
    except ImportError:
        log.warning("traces are asked for and not installed; `pip install mediafleet[traces]` brings them")
        return False
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _HTTP)
    if exporter is None and protocol != _HTTP:
        log.warning("traces are sent as http/protobuf only", asked=protocol)
    _state.provider = _otel.make_provider(None if environ.get("OTEL_SERVICE_NAME") else service, exporter)
    _state.tracer = _state.provider.get_tracer("mediafleet")
    return True


def stop() -> None:
    """Send what is left, for a moment, and make no more spans. Blocks; safe to repeat."""
    provider, _state.provider, _state.tracer = _state.provider, None, None
    if provider:
        # In a thread that nobody waits for at the end of the process: a collector that is away must not hold it up.
        ending = threading.Thread(target=provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(STOP_S)


# --- the spans ---------------------------------------------------------------------------------

BeginTrace = Callable[[str, str, str], str]
"""Takes id, kind and tenant of a job, and returns the `traceparent` that it carries; empty for a job without spans."""


def _no_trace(_job: str, _kind: str, _tenant: str) -> str:
    return ""


@contextmanager
def submitting() -> Generator[BeginTrace]:
    """Make a span for each job that is begun inside the block; they end with it, as failed ones if it fails."""
    tracer = _state.tracer
    if tracer is None:
        yield _no_trace
        return
    from mediafleet.ops import _otel  # noqa: PLC0415 - there where tracing is on, and only there

    spans: list[Any] = []
    context = _otel.extract(incoming.get())

    def begin(job: str, kind: str, tenant: str) -> str:
        attributes = _attributes({"job": job, "kind": kind, "tenant": tenant})
        spans.append(tracer.start_span("submit", context, kind=_otel.SERVER, attributes=attributes))
        return _otel.carry(spans[-1])

    failure = ""
    try:
        yield begin
    except BaseException as error:
        failure = str(error) or type(error).__name__
        raise
    finally:
        for span in spans:
            _otel.end(span, failure=failure)


def note_placed(tasks: Iterable[TracedTask], *, began_ns: int, undelivered: Iterable[str] = ()) -> None:
    """Make the spans `queued` and `placed` of tasks that were handed to nodes just now.

    Args:
        tasks: All of them; those without a trace are left out.
        began_ns: When their hand-over began, nanoseconds since 1970.
        undelivered: Ids of those whose node could not be reached.
    """
    if _state.tracer is None:
        return
    lost, now_ns = set(undelivered), time_ns()
    for task in tasks:
        # Looked for as text first: most specifications are large, and without a trace.
        if _MARK not in task.doc:
            continue
        traced = msgspec.json.decode(task.doc, type=_Traced)
        about = {
            "job": task.job,
            "task": task.task,
            "attempt": task.attempt,
            "executor": task.executor,
            "kind": traced.kind,
            "step": traced.step,
        }
        # Where a task waits again, nobody knows since when: the gap to the attempt before shows it.
        if task.attempt == 1 and traced.submitted_ms:
            _span("queued", traced.traceparent, about, times=(traced.submitted_ms * 1_000_000, began_ns))
        failure = "the node could not be reached" if task.task in lost else ""
        _span("placed", traced.traceparent, about, times=(began_ns, now_ns), failure=failure)


@contextmanager
def running(traceparent: str, about: Mapping[str, Any]) -> Generator[Callable[[str], None]]:
    """Make the span `run` of an attempt; what its handler traces becomes part of it.

    Args:
        traceparent: That of the task's specification; without one there is no span.
        about: Ids.

    Yields:
        A function that takes why the attempt failed.
    """
    tracer = _state.tracer
    if tracer is None or not traceparent:
        yield lambda _: None
        return
    from mediafleet.ops import _otel  # noqa: PLC0415 - as above

    span = tracer.start_span("run", _otel.extract(traceparent), kind=_otel.CONSUMER, attributes=_attributes(about))
    failures: list[str] = []
    with _otel.use(span):
        try:
            yield failures.append
        except BaseException as error:
            failures.append(str(error) or type(error).__name__)
            raise
        finally:
            _otel.end(span, failure=failures[-1] if failures else "")


def note_accepted(traceparent: str, about: Mapping[str, Any], *, began_ns: int) -> None:
    """Make the span `accepted`: from the frame that told of an outcome to its verdict in the store."""
    _span("accepted", traceparent, about, times=(began_ns, time_ns()))


def _span(name: str, traceparent: str, about: Mapping[str, Any], *, times: tuple[int, int], failure: str = "") -> None:
    tracer = _state.tracer
    if tracer is None or not traceparent:
        return
    from mediafleet.ops import _otel  # noqa: PLC0415 - as above

    first_ns, last_ns = times
    # Two clocks are compared where one instance accepted the job and another placed it.
    first_ns = min(first_ns, last_ns)
    span = tracer.start_span(name, _otel.extract(traceparent), attributes=_attributes(about), start_time=first_ns)
    _otel.end(span, failure=failure, at_ns=last_ns)


def _attributes(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return ids as attributes, with those that are bound to every log line: the instance, or the node."""
    bound = structlog.contextvars.get_contextvars()
    known = {name: bound[name] for name in ("instance", "node") if name in bound}
    return {f"mediafleet.{name}": value for name, value in {**known, **about}.items()}
