"""The one module that imports OpenTelemetry (extra `traces`); `mediafleet.ops.traces` says what for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

SERVER, CONSUMER = SpanKind.SERVER, SpanKind.CONSUMER
_FIELD = "traceparent"
_LONGEST_REASON = 500
_propagator = TraceContextTextMapPropagator()


def make_provider(service: str | None, exporter: SpanExporter | None) -> TracerProvider:
    """Return what makes spans and sends them, to an OTLP address over HTTP unless another exporter is given."""
    # Attributes that are given here would win over those of the variables.
    resource = Resource.create({"service.name": service} if service else {})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    processor = SimpleSpanProcessor(exporter) if exporter else BatchSpanProcessor(OTLPSpanExporter())
    provider.add_span_processor(processor)
    return provider


def extract(traceparent: str) -> Context:
    """Return the context that a `traceparent` names; an empty one for what is none."""
    return _propagator.extract({_FIELD: traceparent})


def carry(span: Span) -> str:
    """Return a span as `traceparent`; empty for one that is not sampled, so that nobody makes more of them."""
    if not span.get_span_context().trace_flags.sampled:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(span))
    return carrier[_FIELD]


def use(span: Span) -> AbstractContextManager[Any]:
    """Return a block in which the span is the parent of all others."""
    return use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def end(span: Span, *, failure: str = "", at_ns: int | None = None) -> None:
    """End a span, as failed if a reason is given."""
    if failure:
        span.set_status(Status(StatusCode.ERROR, failure[:_LONGEST_REASON]))
    span.end(at_ns)
