"""A worker of a master on a fake scheduler, and a master that does what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from foreign_fleet import FakeFleet
from tests_support.stub_master import PATIENCE_S, StubMaster

from mediafleet.client import FleetClient
from mediafleet.doors.foreign.book import Stage
from mediafleet.doors.foreign.worker import ForeignWorker, working_for_masters
from mediafleet.ops.settings import MasterSettings, NodeSettings, Settings

ENDPOINT = "http://127.0.0.1:9000"


class Scene:
    """A worker's data directory, its scheduler, and files that masters name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fleet = FakeFleet()
        self.master = StubMaster()
        self.video = folder / "film.mkv"
        self.video.write_bytes(b"film")
        self.raw, self.translated = folder / "out" / "film.eo.srt", folder / "out" / "deep" / "film.en.vtt"

    @asynccontextmanager
    async def worker(self, url: str = "", **changes: Any) -> AsyncGenerator[ForeignWorker]:
        """The worker; a second one is the first after a restart."""
        # No pause between attempts, or tests would sleep.
        given: dict[str, Any] = {"url": url or self.master.url, "retry_s": 0} | changes
        settings = Settings(data=self.folder / "data", master=MasterSettings(**given), node=NodeSettings(name="studio"))
        async with working_for_masters(settings, cast("FleetClient", self.fleet), ENDPOINT) as worker:
            yield worker

    async def start(self, task: int = 1) -> None:
        await self.master.start(task, self.video, self.raw, self.translated)

    async def job(self, number: int = 1) -> str:
        """Return the job that was handed in as this one."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.fleet.views) < number:
                await self.fleet.job_news()
        return list(self.fleet.views)[number - 1]


async def turns(claim: Callable[[], Any]) -> None:
    """Wait until a claim about a worker of this loop holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not claim():  # noqa: ASYNC110 - what it is about tells no event
            await asyncio.sleep(0)


async def gone(worker: ForeignWorker) -> None:
    """Wait until nothing is left to be told."""
    await turns(lambda: not worker.place.book.entries)


async def lost(worker: ForeignWorker) -> None:
    """Wait until the worker has noticed that its master is away."""
    await turns(lambda: not worker.line.is_connected)


async def finished(worker: ForeignWorker) -> None:
    """Wait until a result waits for its master."""
    await turns(lambda: [entry.stage for entry in worker.place.book.entries] == [Stage.FINISHED])
