"""Every answer over HTTP is counted under the pattern of its route, whatever clients make up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from fake_fleet import FakeFleet
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mediafleet.doors.http.answers import AnswerCounter
from mediafleet.doors.http.application import Extras, build_application
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.http.sse import StreamEnd
from mediafleet.ops import traces
from mediafleet.ops.settings import ServerSettings

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Counted = list[tuple[str, str, int]]


@pytest.fixture
def counted() -> Counted:
    return []


@pytest.fixture
async def counting(fleet: FakeFleet, counted: Counted) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a server that asks for a token and counts."""

    def count(*answer: Any) -> None:
        counted.append(answer)

    extras = Extras(end=StreamEnd(asyncio.Event(), keepalive_s=0.05), count_answer=count)
    application = build_application(fleet, ServerSettings(token="t" * 20), extras)
    async with (
        HttpServer(application, host="127.0.0.1", port=0) as running,
        aiohttp.ClientSession(running.url, headers={"Authorization": f"Bearer {'t' * 20}"}) as session,
    ):
        yield session


async def ask(client: aiohttp.ClientSession, method: str, path: str, **options: Any) -> int:
    async with client.request(method, path, **options) as answer:
        return answer.status


async def test_the_pattern_is_counted_and_not_the_path(counting: aiohttp.ClientSession, counted: Counted) -> None:
    await ask(counting, "GET", "/api/v1/jobs?limit=3")
    await ask(counting, "GET", "/api/v1/jobs/j0-0123456789abcdefghjkmnpqrs")
    assert [(method, status) for _, method, status in counted] == [("GET", 200), ("GET", 404)]
    routes = [route for route, _, _ in counted]
    assert routes[0] == "/api/v1/jobs"
    assert routes[1].startswith("/api/v1/jobs/{")


async def test_what_strangers_make_up_is_counted_together(counting: aiohttp.ClientSession, counted: Counted) -> None:
    for path in ("/wp-login.php", "/api/v1/nothing", "/%00"):
        await ask(counting, "GET", path)
    await ask(counting, "PROPFIND", "/")
    assert {route for route, _, _ in counted} == {"other"}
    assert counted[-1][1] == "other"


async def test_who_is_not_let_in_is_counted(counting: aiohttp.ClientSession, counted: Counted) -> None:
    assert await ask(counting, "GET", "/api/v1/jobs", headers={"Authorization": "Bearer wrong"}) == 401
    assert counted == [("other", "GET", 401)]


async def test_a_fault_of_ours_is_counted_as_one(
    counting: aiohttp.ClientSession, counted: Counted, fleet: FakeFleet
) -> None:
    fleet.fault = RuntimeError("a bug")
    await ask(counting, "GET", "/api/v1/pools")
    assert counted == [("/api/v1/pools", "GET", 500)]


async def test_a_websocket_is_no_answer(counting: aiohttp.ClientSession, counted: Counted) -> None:
    async with counting.ws_connect("/ws/node"):
        pass
    assert counted == []


async def test_a_request_knows_the_trace_of_its_caller_while_traces_are_made() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(traces.incoming.get())

    def request(*headers: tuple[bytes, bytes]) -> Any:
        return {"type": "http", "method": "POST", "headers": list(headers)}

    counter: Any = AnswerCounter(app, lambda route, method, status: None)
    traced = (b"traceparent", CALLER.encode())
    await counter(request(traced), None, None)
    traces.start("test", {}, exporter=InMemorySpanExporter())
    try:
        await counter(request(traced), None, None)
        await counter(request(), None, None)
    finally:
        traces.stop()
    assert seen == ["", CALLER, ""]
    assert traces.incoming.get() == ""
