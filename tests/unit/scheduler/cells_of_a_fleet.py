"""Instances of a fleet of two cells, and what tests do with them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from recording_link import RecordingLink
from running_instances import answer, register
from scheduler_parts import DEADLINE_S, refs
from tests_support.proofread_kind import KIND as PROOFREAD

from mediafleet.domain.cells import cell_names, home_of_node
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.node import Executor
from mediafleet.kinds import KindRegistry
from mediafleet.kinds.noop import KIND
from mediafleet.ops.metrics import Metrics
from mediafleet.ops.settings import ArtifactSettings, SchedulerSettings, Settings, StoreSettings
from mediafleet.scheduler.cells import CellBlobs, CellFleet
from mediafleet.scheduler.facade import UploadAnnouncement
from mediafleet.scheduler.service import Resources
from mediafleet.store.cell_store import CellStore, check_cells
from mediafleet.store.connection import connect
from mediafleet.store.keys import Keys


def _fail(*_: object) -> NoReturn:
    raise ZeroDivisionError


CELLS = cell_names(2)
FILM = b"a whole film"
BROKEN = replace(KIND, name="broken", plan=_fail)
FILES = replace(KIND, name="files", inputs=(0, None))
_prefixes = itertools.count()
# One node of each cell, whatever its id says of cells.
NODES = {cell: next(n for n in (f"n0-node-{i}" for i in range(99)) if home_of_node(n, CELLS) == cell) for cell in CELLS}


class Cells:
    """Instances of one fleet of two cells."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.prefix = f"cells{next(_prefixes)}"
        self.blobs: CellBlobs
        self.stores: list[CellStore] = []

    @asynccontextmanager
    async def connected(self, count: int = 2) -> AsyncGenerator[list[CellStore]]:
        """Give a store for each cell."""
        async with AsyncExitStack() as stack:
            stores: list[CellStore] = []
            for cell in cell_names(count):
                client: Any = connect(self.url, prefix="test", cell=cell)
                stack.push_async_callback(client.aclose)
                stores.append(CellStore(client, Keys(self.prefix, cell), keep_ms=60_000))
            for store in stores:
                store.meet(stores)
            yield stores

    @asynccontextmanager
    async def run(self, name: str = "i-1") -> AsyncGenerator[CellFleet]:
        """Run an instance inside the block."""
        settings = Settings(
            data=self.folder,
            store=StoreSettings(prefix=self.prefix, cells=2),
            scheduler=SchedulerSettings(reap_ms=20, backstop_ms=60_000),
            artifacts=ArtifactSettings(file_roots=(str(self.folder),)),
        )
        async with self.connected() as stores:
            await check_cells(stores)
            for store in stores:
                await store.check_schema()
            self.stores, self.blobs = stores, CellBlobs(self.folder / "blobs", stores)
            kinds = KindRegistry([KIND, FILES, BROKEN, PROOFREAD])
            resources = Resources(stores[0], self.blobs, kinds, SystemClock(), Metrics())
            async with CellFleet(name, settings, stores, resources) as fleet:
                yield fleet


async def join(fleet: CellFleet, cell: str, *capabilities: str, slots: int = 1) -> RecordingLink:
    """Let the node of a cell register."""
    link = RecordingLink(NODES[cell])
    offered = capabilities or ("kind:noop", "kind:files")
    await fleet.attach(link, register(link.node, executors=(Executor("cpu", slots, offered),)))
    await fleet._chooser.look()
    return link


async def submit(fleet: CellFleet, count: int = 1, **changes: Any) -> list[JobView]:
    wish: dict[str, Any] = {"kind": "noop"} | changes
    wanted = [Submission(**wish) for _ in range(count)]
    return [accepted.job for accepted in await fleet.submit(wanted, principal="ann")]


async def in_cell(fleet: CellFleet, cell: str, **changes: Any) -> JobView:
    """Accept a job in a cell, as the choice may have had it."""
    wish: dict[str, Any] = {"kind": "noop"} | changes
    accepted = await fleet._cells[cell].submit([Submission(**wish)], principal="ann")
    return accepted[0].job


async def ended(fleet: CellFleet, job: str) -> JobView:
    async with asyncio.timeout(DEADLINE_S):
        while (view := await fleet.job(job)).finished_ms is None:  # noqa: ASYNC110 - as in running_instances
            await asyncio.sleep(0)
    return view


async def work(fleet: CellFleet, link: RecordingLink, done: set[str]) -> None:
    """Answer what the node was given and has not answered yet."""
    for ref in refs(link):
        if ref.grant not in done:
            done.add(ref.grant)
            await answer(fleet, link, ref)  # pyright: ignore[reportArgumentType] - any Fleet will do


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def announce(fleet: CellFleet, cell: str, *, grant: str = "") -> str:
    """Announce an upload whose record is in that cell."""
    wish = UploadAnnouncement("film.mkv", len(FILM), grant=grant)
    if grant:
        return (await fleet.announce_upload(wish, principal="ann")).ref.id
    return (await fleet._cells[cell].announce_upload(wish, principal="ann")).ref.id


async def send(fleet: CellFleet, artifact: str) -> Any:
    return await fleet.receive_upload(artifact, offset=0, length=len(FILM), chunks=pieces(FILM))


async def read(fleet: CellFleet, artifact: str) -> bytes:
    found = await fleet.open_artifact(artifact)
    return b"".join([piece async for piece in found.read(0, 100)])
