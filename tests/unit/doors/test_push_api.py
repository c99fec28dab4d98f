"""The HTTP server of a node that listens, over real sockets: who may call, and what malformed calls are answered."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from mediafleet.domain.errors import ConfigError
from mediafleet.doors.push.listening import Listener
from mediafleet.doors.push.messages import MOST_BODY_BYTES
from mediafleet.doors.push.node_api import listening
from mediafleet.ops.settings import ServerSettings

TOKEN = "correct-horse-battery"  # noqa: S105 - a word for the test
NAME = "a" * 16
OPENING: dict[str, Any] = {"link": NAME, "instance": "i-1", "address": "http://a:1", "term": 1, "silence_ms": 60_000}
LINK = f"/api/v1/link/{NAME}"


@asynccontextmanager
async def node(token: str = "") -> AsyncGenerator[tuple[Listener, aiohttp.ClientSession]]:
    """A node that listens, and who calls it."""
    async with (
        listening("127.0.0.1:0", ServerSettings(token=token)) as (listener, url),
        aiohttp.ClientSession(url) as client,
    ):
        yield listener, client


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A caller that has opened the link."""
    async with node() as (listener, client):
        agent = asyncio.create_task(listener.accept())
        async with client.post("/api/v1/link", json=OPENING) as answer:
            assert (answer.status, await answer.json()) == (200, {"link": NAME})
        await agent
        yield client


async def test_frames_go_in_and_the_answer_says_how_many_have_come(client: aiohttp.ClientSession) -> None:
    for _ in range(2):
        async with client.post(f"{LINK}/frames", json={"first": 1, "frames": [{"type": "ping"}]}) as answer:
            assert (answer.status, await answer.json()) == (200, {"received": 1})
    async with client.get(f"{LINK}/frames?after=0&wait_ms=0") as answer:
        assert await answer.json() == {"first": 1, "frames": []}
        assert answer.headers["Cache-Control"] == "no-store"
    async with client.post(f"{LINK}/close", json={"code": 1001, "reason": "bye"}) as answer:
        assert answer.status == 200
    async with client.get(f"{LINK}/frames?after=0") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "not-found")
        assert "bye" in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/link", b""),
        ("POST", "/api/v1/link", b"{}"),
        ("POST", "/api/v1/link", b'{"link":"short","instance":"i","address":"x","term":1,"silence_ms":1000}'),
        (
            "POST",
            "/api/v1/link",
            b'{"link":"aaaaaaaaaaaaaaaa","instance":"i","address":"x","term":-1,"silence_ms":1000}',
        ),
        ("POST", "/api/v1/link", b'{"link":"aaaaaaaaaaaaaaaa","instance":"i","address":"x","term":1,"silence_ms":1}'),
        ("POST", f"{LINK}/frames", b'{"first":0,"frames":[]}'),
        ("POST", f"{LINK}/frames", b'{"first":1,"frames":[}'),
        ("POST", f"{LINK}/frames", b"\xff"),
        ("POST", f"{LINK}/frames", b"[" * 100_000),
        ("POST", f"{LINK}/close", b'{"code":99999}'),
        ("GET", f"{LINK}/frames", b""),
        ("GET", f"{LINK}/frames?after=-1", b""),
        ("GET", f"{LINK}/frames?after=0&wait_ms=60001", b""),
    ],
)
async def test_a_malformed_request_is_answered_with_a_sentence(
    client: aiohttp.ClientSession, method: str, path: str, body: bytes
) -> None:
    async with client.request(method, path, data=body, headers={"Content-Type": "application/json"}) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, bool(problem["detail"])) == (400, True)
    async with client.get(f"{LINK}/frames?after=0") as answer:
        assert answer.status == 200, "the link is as it was"


async def test_a_body_that_is_too_large_is_refused(client: aiohttp.ClientSession) -> None:
    async with client.post(f"{LINK}/frames", data=io.BytesIO(b" " * (MOST_BODY_BYTES + 1))) as answer:
        assert answer.status == 413


async def test_a_link_that_nobody_opened_is_not_found(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/link/bbbbbbbbbbbbbbbb/frames", json={"first": 1, "frames": []}) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("given", ["", "Bearer wrong-horse-battery"])
async def test_a_caller_without_the_token_learns_nothing(given: str) -> None:
    async with node(TOKEN) as (_, client):
        headers = {"Authorization": given} if given else {}
        for path in ("/api/v1/link", f"{LINK}/frames", "/nothing"):
            async with client.post(path, json=OPENING, headers=headers) as answer:
                assert answer.status == 401


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
async def test_a_page_of_a_browser_on_the_same_machine_can_do_nothing(headers: dict[str, str]) -> None:
    async with node() as (_, client), client.post("/api/v1/link", json=OPENING, headers=headers) as answer:
        assert answer.status == 403


async def test_listening_where_others_reach_it_needs_a_token() -> None:
    with pytest.raises(ConfigError, match="--token-file"):
        async with listening("192.0.2.7:0", ServerSettings()):
            raise AssertionError


async def test_an_address_that_is_taken_is_named_with_its_setting() -> None:
    async with listening("127.0.0.1:0", ServerSettings()) as (_, url):
        with pytest.raises(ConfigError, match=r"node\.listen"):
            async with listening(url.removeprefix("http://"), ServerSettings()):
                raise AssertionError
