"""Requests to a node: what breaks is repeated, what is no node is said so, and nothing is followed elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from mediafleet.doors.push import exchange
from mediafleet.doors.push.exchange import Exchange, NodeAway, NodeRefused
from mediafleet.doors.push.messages import Closing, Received

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN = "correct-horse-battery"  # noqa: S105 - a word for the test


@asynccontextmanager
async def served(handler: Handler) -> AsyncGenerator[Exchange]:
    """An exchange with something that answers as the handler says."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as session:
            yield Exchange(session, f"http://127.0.0.1:{port}", token=TOKEN)
    finally:
        await runner.cleanup()


async def ask(node: Exchange, *, within_s: float = 10) -> Received:
    return await node.ask("/x/frames", Received, body=Closing(1001), within_s=within_s)


async def test_a_request_carries_the_token_and_gets_the_answer() -> None:
    seen: list[tuple[str, str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, request.headers["Authorization"]))
        return web.json_response({"received": 7})

    async with served(handler) as node:
        assert await ask(node) == Received(7)
        assert await node.ask("/x/frames", Received, within_s=10) == Received(7)
    path = "/api/v1/link/x/frames"
    assert seen == [("POST", path, f"Bearer {TOKEN}"), ("GET", path, f"Bearer {TOKEN}")]


async def test_a_connection_that_broke_is_made_anew() -> None:
    calls: list[bytes] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        calls.append(await request.read())
        if len(calls) < 3:
            assert request.transport
            request.transport.abort()
        return web.json_response({"received": 1})

    async with served(handler) as node:
        assert await ask(node) == Received(1)
    assert len(calls) == 3
    assert len(set(calls)) == 1, "the same request each time"


async def test_a_node_that_is_gone_is_not_waited_for(unused: int) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NodeAway, match="cannot be reached: Connection refused"):
            await ask(Exchange(session, f"http://127.0.0.1:{unused}"))


async def test_a_node_that_does_not_answer_is_given_up_at_once() -> None:
    calls: list[None] = []
    released = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        calls.append(None)
        await released.wait()
        return web.json_response({})

    async with served(handler) as node:
        with pytest.raises(NodeAway, match="did not answer within"):
            await ask(node, within_s=0.05)
        released.set()
    assert len(calls) == 1, "its silence was long enough already"


async def test_what_points_elsewhere_is_not_followed() -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/stolen")

    async with served(handler) as node:
        with pytest.raises(NodeRefused, match="307"):
            await ask(node)
    assert paths == ["/api/v1/link/x/frames"]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, b"{}", "refused this fleet's token"),
        (409, b'{"detail":"comes too late"}', "comes too late"),
        (502, b"<html>", "perhaps it is no node"),
        (503, b"[" * 100_000, "perhaps it is no node"),
        (200, b"<html>", "is no node"),
        (200, b'{"received":"many"}', "is no node"),
        (200, b"[" * 100_000, "is no node"),
    ],
)
async def test_an_answer_that_is_none_becomes_a_sentence(status: int, body: bytes, sentence: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with served(handler) as node:
        with pytest.raises(NodeAway, match=sentence):
            await ask(node)


async def test_an_answer_that_does_not_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST_BODY_BYTES", 1_000_000)

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(OSError):
            while True:
                await response.write(b" " * 65_536)
        return response

    async with served(handler) as node:
        with pytest.raises(NodeAway, match="larger than"):
            await ask(node)


@pytest.fixture
def unused(unused_tcp_port: int) -> int:
    return unused_tcp_port
