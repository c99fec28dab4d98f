"""The doors before the real scheduler on a real store: what the fakes promise must be so."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from mediafleet.app.serving import serving
from mediafleet.ops.settings import ServerSettings, Settings

CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    settings = replace(Settings(), data=tmp_path / "data", server=ServerSettings(port=0))
    async with serving(settings) as running:
        yield running.url


@pytest.fixture
async def client(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(url) as session:
        yield session


async def read_event(response: aiohttp.ClientResponse) -> str:
    """Return the type of the next event of a stream."""
    async with asyncio.timeout(20):
        async for line in response.content:
            if line.startswith(b"event: "):
                return line.decode().removeprefix("event: ").strip()
    raise AssertionError("the stream ended")


async def test_a_job_is_submitted_followed_cancelled_and_revived(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/jobs", json={"kind": "noop", "idempotency_key": "k"}) as response:
        assert response.status == 201
        job = await response.json()
    async with client.post("/api/v1/jobs", json={"kind": "noop", "idempotency_key": "k"}) as response:
        assert (response.status, (await response.json())["id"]) == (200, job["id"])
    path = f"/api/v1/jobs/{job['id']}"
    async with client.get(path + "/events") as stream:
        assert await read_event(stream) == "job.snapshot"
        async with client.delete(path) as response:
            assert response.status == 202
        assert await read_event(stream) == "job.cancelled"
    async with client.get(path + "/events?after=0-0") as stream:
        assert await read_event(stream) == "job.accepted"
    async with client.delete(path) as response:
        assert response.status == 409
    async with client.post(path + "/retry") as response:
        assert (response.status, (await response.json())["status"]) == (202, "pending")


async def test_bytes_go_in_and_come_out_whole_and_in_parts(client: aiohttp.ClientSession) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    body = {"name": 'naïve "clip"\n.mkv', "size": len(CONTENT), "sha256": sha256}
    async with client.post("/api/v1/artifacts", json=body) as response:
        assert response.status == 201
        path = f"/api/v1/artifacts/{(await response.json())['id']}"
    async with client.put(path, data=io.BytesIO(CONTENT)) as response:
        assert (response.status, (await response.json())["sha256"]) == (200, sha256)
    async with client.get(path, headers={"Range": "bytes=300-4000000"}) as response:
        assert (response.status, await response.read()) == (206, CONTENT[300:4000001])
    async with client.get(path) as response:
        assert await response.read() == CONTENT
        assert response.headers["ETag"] == f'"{sha256}"'


async def test_a_wrong_hash_leaves_no_artifact(client: aiohttp.ClientSession) -> None:
    body = {"name": "a", "size": len(CONTENT), "sha256": "0" * 64}
    async with client.post("/api/v1/artifacts", json=body) as response:
        path = f"/api/v1/artifacts/{(await response.json())['id']}"
    async with client.put(path, data=io.BytesIO(CONTENT)) as response:
        assert response.status == 409
    async with client.get(path) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/jobs", {"kind": "transcode"}),
        ("POST", "/api/v1/jobs", {"kind": "transcode", "input": "file:///no/such/file.mkv"}),
        ("POST", "/api/v1/jobs", {"kind": "transcode", "input": "gopher://x"}),
        ("POST", "/api/v1/jobs", {"kind": "transcode", "input": "artifact:a0-0000000000000"}),
        ("POST", "/api/v1/jobs", {"kind": "noop", "input": ["file:///a"] * 50}),
        ("POST", "/api/v1/jobs", {"kind": "noop", "tenant": "\x00", "idempotency_key": "x" * 100_000}),
        ("POST", "/api/v1/jobs", {"kind": "noop", "params": {"nothing": "known"}}),
        ("POST", "/api/v1/artifacts", {"name": "../../etc/passwd", "size": -1}),
        ("POST", "/api/v1/artifacts", {"name": "", "size": 1}),
        ("POST", "/api/v1/artifacts", {"name": "a", "size": 1 << 62}),
        ("POST", "/api/v1/artifacts", {"name": "a", "size": 1, "sha256": "zz"}),
        ("PUT", "/api/v1/artifacts/a0-0000000000000", None),
        ("PUT", "/api/v1/artifacts/a9z-0000000000000", None),
        ("GET", "/api/v1/jobs/j9z-0000000000000", None),
        ("GET", "/api/v1/nodes/{}", None),
        ("GET", "/api/v1/nodes/n9z-none", None),
        ("POST", "/api/v1/nodes/n0-none/drain", None),
        ("GET", "/api/v1/events?after=99999999999999999999-99999999999999999999", None),
    ],
)
async def test_bad_input_reaches_no_further_than_a_problem(
    client: aiohttp.ClientSession, method: str, path: str, body: object
) -> None:
    async with client.request(method, path, json=body) as response:
        assert 400 <= response.status < 500, await response.text()
        problem = await response.json(content_type="application/problem+json")
        assert problem["detail"].endswith((".", "?"))


NONSENSE: list[dict[str, Any]] = [
    {"node": ""},
    {"node": "x\x00y"},
    {"executors": [{"name": "cpu", "slots": 0, "capabilities": []}]},
    {"executors": [{"name": "cpu", "slots": 1, "capabilities": ["no capability"]}]},
    {"executors": [{"name": "../x", "slots": 1, "capabilities": []}]},
    {"executors": [{"name": "cpu", "slots": 1, "capabilities": []}] * 2},
]


@pytest.mark.parametrize("changes", NONSENSE)
async def test_a_node_that_registers_nonsense_is_told_why(url: str, changes: dict[str, Any]) -> None:
    frame = {
        "type": "register",
        "protocol": 1,
        "node": "n0-a-000000",
        "incarnation": "i",
        "host": "h",
        "version": "1",
        "executors": [{"name": "cpu", "slots": 1, "capabilities": ["kind:noop"]}],
    }
    async with connect(url.replace("http", "ws") + "/ws/node") as socket:
        await socket.send(json.dumps(frame | changes))
        async with asyncio.timeout(20):
            await socket.wait_closed()
    assert socket.close_code in {4400, 4409}
    assert socket.close_reason


async def test_the_console_shows_the_real_fleet(client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/jobs", json={"kind": "noop", "name": "<b>mine</b>"}) as response:
        job = await response.json()
    for path in ("/", f"/jobs/{job['id']}"):
        async with client.get(path) as response:
            assert response.status == 200
            assert "&lt;b&gt;mine&lt;/b&gt;" in await response.text()
