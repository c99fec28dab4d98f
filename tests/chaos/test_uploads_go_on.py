"""An upload goes on where it broke off, whatever was killed."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import socket
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, running_fleet, wait_for
from tests_support.redis_server import RedisServer

from mediafleet.artifacts.transfer import ArtifactClient

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

SIZE = 64 << 20
ON_THE_WAY = 16 << 20
"""More than all buffers between a client and the disk hold: what a kill can cost."""


class ByteCount:
    """Counts the bytes of bodies that a session sends."""

    def __init__(self) -> None:
        self.sent = 0
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_chunk_sent.append(self._note)

    async def _note(self, _: object, __: object, about: aiohttp.TraceRequestChunkSentParams) -> None:
        self.sent += len(about.chunk)


def left_behind(root: Path) -> list[Path]:
    """Return what is staged of uploads."""
    return [path for path in (root / ".staging").rglob("*") if path.is_file()]


async def test_an_upload_whose_scheduler_is_killed_goes_on_after_the_restart(
    fleet: FleetProcesses, folder: Path
) -> None:
    film = folder / "film.mkv"
    film.write_bytes(os.urandom(SIZE))
    count, half_is_sent, shares = ByteCount(), asyncio.Event(), list[int]()

    def note(moved: int) -> None:
        shares.append(moved)
        if moved >= SIZE // 2:
            half_is_sent.set()

    async with aiohttp.ClientSession(trace_configs=[count.trace]) as session:
        client = ArtifactClient(session, fleet.url)
        uploading = asyncio.create_task(client.upload(film, name="film.mkv", on_progress=note))
        await half_is_sent.wait()
        fleet.kill_scheduler()
        assert shares[-1] < SIZE
        await asyncio.to_thread(fleet.start_scheduler)
        ref = await uploading
    content = film.read_bytes()
    assert ref.sha256 == hashlib.sha256(content).hexdigest()
    assert await asyncio.to_thread(fleet.download, ref.id) == content
    assert SIZE < count.sent < SIZE + ON_THE_WAY
    assert shares == sorted(shares)
    assert left_behind(fleet.folder / "fleet" / "artifacts") == []
    await asyncio.to_thread(check_aftermath, fleet, fleet.accepted)


def offset_of(fleet: FleetProcesses, upload: str) -> int:
    request = urllib.request.Request(f"{fleet.url}/api/v1/artifacts/{upload}", method="HEAD")
    with urllib.request.urlopen(request, timeout=10) as response:
        return int(response.headers["Upload-Offset"])


def put(fleet: FleetProcesses, upload: str, offset: int, content: bytes) -> Any:
    """Send a part; return the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", fleet.port, timeout=30)
    try:
        connection.request("PUT", f"/api/v1/artifacts/{upload}?offset={offset}", content)
        return connection.getresponse().status
    finally:
        connection.close()


def test_another_instance_goes_on_with_the_upload_of_a_killed_one(folder: Path, redis_server: RedisServer) -> None:
    root, content = folder / "artifacts", os.urandom(8 << 20)
    shared = {"MEDIAFLEET_STORE__REDIS_URL": redis_server.url, "MEDIAFLEET_STORE__PREFIX": "shared"}
    for name in ("one", "two"):
        (folder / name).mkdir()
    with (
        running_fleet(folder / "one", MEDIAFLEET_ARTIFACTS__ROOT=str(root), **shared) as one,
        running_fleet(folder / "two", MEDIAFLEET_ARTIFACTS__ROOT=str(root), **shared) as two,
    ):
        upload = one.post("/api/v1/artifacts", {"name": "film.mkv", "size": len(content)})["id"]
        assert put(one, upload, 0, content[: 2 << 20]) == 202
        with socket.create_connection(("127.0.0.1", one.port)) as line:
            rest = content[2 << 20 :]
            head = f"PUT /api/v1/artifacts/{upload}?offset={2 << 20} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            line.sendall(f"{head}Content-Length: {len(rest)}\r\n\r\n".encode() + rest[: 4 << 20])
            wait_for(lambda: offset_of(two, upload) > 3 << 20, "bytes of the second part on disk")
            assert put(two, upload, offset_of(two, upload), b"") == 409
            one.kill_scheduler()
        offset = offset_of(two, upload)
        assert put(two, upload, offset - 1, content[offset - 1 :]) == 409
        assert put(two, upload, offset, content[offset:]) == 200
        assert two.download(upload) == content
        assert left_behind(root) == []
        check_aftermath(two, two.accepted)
