"""A serving fleet as programs of an older one see it: `/api/tasks`, `/api/workers`, and the hub."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from tests_support.hub_worker import eventually

from mediafleet.app.serving import Serving, serving
from mediafleet.ops.settings import SchedulerSettings, ServerSettings, Settings, SignalrSettings

FILM = {
    "video_path": "/films/a.mkv",
    "raw_subtitle_path": "/out/a.srt",
    "translated_subtitle_path": "/out/a.es.srt",
    "language": "es",
}
# signalrcore closes its socket while a thread of it reads, which ends only when something comes: the next ping.
SHORT = SignalrSettings(worker_timeout_ms=1_500, resume_ms=1_500, ping_ms=300)
QUICK = SchedulerSettings(heartbeat_ms=200, node_lease_ms=1_000, reap_ms=100, backstop_ms=300, outage_gap_ms=2_000)


@dataclass
class Master:
    """A serving fleet, and requests to it."""

    serving: Serving
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.serving.url

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port
        return port

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.session.request(method, path, json=body) as response:
            return response.status, await response.json()

    async def submit(self, **changes: Any) -> int:
        status, answer = await self.ask("POST", "/api/tasks", FILM | changes)
        assert status == 201, answer
        return answer["task_id"]

    async def task(self, number: int) -> Any:
        return (await self.ask("GET", f"/api/tasks/{number}"))[1]

    async def until(self, number: int, status: str) -> Any:
        return await eventually(lambda: self.task(number), lambda task: task["status"] == status)


@asynccontextmanager
async def serving_master(*, cells: int = 1, signalr: SignalrSettings = SHORT) -> AsyncGenerator[Master]:
    """Serve a fleet with a store of its own until the block ends."""
    # A short path: a unix socket must fit below it.
    data = Path(tempfile.mkdtemp(prefix="mf-"))
    settings = Settings(data=data, server=ServerSettings(port=0), signalr=signalr, scheduler=QUICK)
    settings = replace(settings, store=replace(settings.store, cells=cells))
    try:
        async with serving(settings) as instance, aiohttp.ClientSession(instance.url) as session:
            yield Master(instance, session)
    finally:
        shutil.rmtree(data)
