"""Spans of a whole fleet, scheduler and node as processes, arrive at a collector over OTLP and HTTP."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests_support.fleet_process import running_fleet, wait_for

pytestmark = pytest.mark.timeout(180)
CALLER = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


class Collector:
    """Takes what is posted to `/v1/traces`, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        """Names of services, with their spans."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, self.headers["Content-Type"], body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, content_type: str, body: bytes) -> None:
        assert (path, content_type) == ("/v1/traces", "application/x-protobuf")
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            self.spans += [(names["service.name"], span) for scope in resource.scope_spans for span in scope.spans]

    def of_trace(self, trace: str) -> dict[str, tuple[str, Any]]:
        return {span.name: (service, span) for service, span in list(self.spans) if span.trace_id.hex() == trace}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def submit(url: str) -> str:
    """Submit a job as a caller that traces."""
    headers = {"Content-Type": "application/json", "traceparent": f"00-{CALLER[0]}-{CALLER[1]}-01"}
    body = json.dumps({"kind": "noop", "params": {"echo": "hi"}}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1/jobs", body, headers)) as answer:
        return json.load(answer)["id"]


def lines_of(log: Path, event: str) -> list[dict[str, Any]]:
    """Return the log lines of a process that tell of an event."""
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def metric(metrics: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    (found,) = [one for one in metrics if one["name"] == f"mediafleet_{name}"]
    return found["values"]


def test_a_collector_gets_the_whole_way_of_a_job(collector: Collector, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{collector.server.server_port}"
    with running_fleet(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="100") as fleet:
        fleet.start_node("one")
        job = submit(fleet.url)
        fleet.wait_status(job, "completed")
        names = {"submit", "queued", "placed", "run", "accepted"}
        assert lines_of(tmp_path / "scheduler.log", "node registered")[0].keys() >= {"instance", "node", "host"}
        assert lines_of(tmp_path / "one.log", "linked")[0]["node"].startswith("n0-")
        answered = {value["labels"]["route"] for value in metric(fleet.get("/api/v1/metrics"), "http_requests_total")}
        wait_for(lambda: names <= collector.of_trace(CALLER[0]).keys(), "all spans of the job")
    assert answered >= {"/api/v1/jobs", "/ready"}
    spans = collector.of_trace(CALLER[0])
    assert {name: service for name, (service, _) in spans.items()} == {
        **dict.fromkeys(names, "mediafleet-scheduler"),
        "run": "mediafleet-node",
    }
    submitted = spans["submit"][1]
    assert submitted.parent_span_id.hex() == CALLER[1]
    assert {spans[name][1].parent_span_id for name in names - {"submit"}} == {submitted.span_id}
    assert spans["queued"][1].start_time_unix_nano <= spans["queued"][1].end_time_unix_nano
    assert spans["placed"][1].end_time_unix_nano <= spans["accepted"][1].end_time_unix_nano
    run = {attribute.key: attribute.value.string_value for attribute in spans["run"][1].attributes}
    assert run["mediafleet.job"] == job
    assert run["mediafleet.node"].startswith("n0-")
