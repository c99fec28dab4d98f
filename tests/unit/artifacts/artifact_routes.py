"""The artifact routes on a real socket, with faults on demand."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from mediafleet.artifacts.disk import BLOCK_BYTES

CONTENT = os.urandom(3 * BLOCK_BYTES + 11)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
TOKEN = "secret"  # noqa: S105 - a test's own


@dataclass
class Scheduler:
    """The artifact routes of `docs/reference/rest-api.md` on a real socket, with faults on demand."""

    announced: dict[str, Any] = field(default_factory=dict[str, Any])
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    requests: list[str] = field(default_factory=list[str])
    faults: list[Callable[[web.Request], Any]] = field(default_factory=list[Any])
    """Each answers one request in place of the scheduler."""
    cut_after: list[int] = field(default_factory=list[int])
    """Each breaks one download after that many bytes."""
    damage: int = 0
    """How many of the next transfers arrive as other bytes than were sent."""
    take: list[int] = field(default_factory=list[int])
    """Each breaks one upload's part after that many bytes."""
    received: int = 0
    """Bytes that came with uploads, over all tries."""
    sent: int = 0
    """Bytes that went with downloads."""
    held: asyncio.Event | None = None
    """Downloads wait for it before their first byte."""
    ignores_ranges: bool = False
    completed: set[str] = field(default_factory=set[str])
    announcements: int = 0

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 40)
        app.router.add_post("/api/v1/artifacts", self._announce)
        app.router.add_put("/api/v1/artifacts/{id}", self._receive)
        app.router.add_get("/api/v1/artifacts/{id}", self._send, allow_head=False)
        app.router.add_head("/api/v1/artifacts/{id}", self._tell)
        app.router.add_delete("/api/v1/artifacts/{id}", self._discard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.headers.get('Range', '')}".strip())
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return problem(401, "unauthorized", "Send the token.")
        if self.faults:
            return await self.faults.pop(0)(request)
        return await handler(request)

    async def _announce(self, request: web.Request) -> web.Response:
        self.announced = await request.json()
        self.announcements += 1
        upload = f"up{self.announcements}"
        self.blobs[upload] = b""
        return web.json_response({"id": upload, "offset": 0, "length": self.announced["size"]}, status=201)

    async def _receive(self, request: web.Request) -> web.Response:
        upload, offset = request.match_info["id"], int(request.query["offset"])
        if upload not in self.blobs:
            return problem(404, "not-found", "The upload was given up.")
        if offset != len(self.blobs[upload]):
            return problem(409, "upload-mismatch", f"Go on from offset {len(self.blobs[upload])}.")
        assert request.content_length == self.announced["size"] - offset
        limit = self.take.pop(0) if self.take else 1 << 40
        part = await request.content.read(0)
        while len(part) < limit and (chunk := await request.content.readany()):
            part += chunk
        self.received += len(part)
        self.blobs[upload] += part[:limit]
        if len(part) > limit or len(self.blobs[upload]) != self.announced["size"]:
            return await hang_up(request)
        return self._finish(upload)

    def _finish(self, upload: str) -> web.Response:
        self.completed.add(upload)
        content, is_damaged = self.blobs[upload], self.damage > 0
        self.damage -= is_damaged
        digest = hashlib.sha256(content + b"!" * is_damaged).hexdigest()
        return web.json_response({"id": upload, "name": self.announced["name"], "size": len(content), "sha256": digest})

    async def _tell(self, request: web.Request) -> web.Response:
        content = self.blobs.get(request.match_info["id"])
        if content is None:
            return web.Response(status=404)
        if request.match_info["id"] in self.completed:
            return web.Response(headers={"ETag": f'"{hashlib.sha256(content).hexdigest()}"'})
        return web.Response(headers={"Upload-Offset": str(len(content)), "Upload-Length": str(self.announced["size"])})

    async def _send(self, request: web.Request) -> web.StreamResponse:
        content = self.blobs.get(unquote(request.match_info["id"]))
        if content is None:
            return problem(404, "not-found", "There is no such artifact.")
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        start, end = self._span(request, etag, len(content))
        response = web.StreamResponse(status=206 if (start, end) != (0, len(content)) else 200, headers={"ETag": etag})
        if response.status == 206:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        response.content_length = end - start
        await response.prepare(request)
        if self.held:
            await self.held.wait()
        body = bytes(len(content)) if self.damage else content
        part = body[start : min(end, start + self.cut_after.pop(0))] if self.cut_after else body[start:end]
        self.sent += len(part)
        await response.write(part)
        if len(part) < end - start:
            assert request.transport is not None
            request.transport.close()
        return response

    def _span(self, request: web.Request, etag: str, size: int) -> tuple[int, int]:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        is_same = request.headers.get("If-Range", etag) == etag
        if not asked or not is_same or self.ignores_ranges:
            return 0, size
        return int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size

    async def _discard(self, request: web.Request) -> web.Response:
        self.blobs.pop(request.match_info["id"], None)
        return web.Response(status=204)


def problem(status: int, code: str, detail: str) -> web.Response:
    return web.json_response({"code": code, "detail": detail}, status=status, content_type="application/problem+json")


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def be_away(_: web.Request) -> web.Response:
    return problem(503, "store-unavailable", "Redis is away.")


async def be_full(_: web.Request) -> web.Response:
    return problem(503, "unavailable", "The disk is full.")


async def be_a_proxy(_: web.Request) -> web.Response:
    return web.Response(status=502, text="<html>Bad Gateway</html>")


async def be_something_else(_: web.Request) -> web.Response:
    return web.Response(text="<html>Welcome to nginx</html>")


@asynccontextmanager
async def serve(scheduler: Scheduler) -> AsyncGenerator[str]:
    runner = web.AppRunner(scheduler.application(), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()
