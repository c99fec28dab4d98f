"""Whole instances on one store, and what nodes do on their links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from recording_link import RecordingLink
from scheduler_parts import DEADLINE_S, assigned, refs

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.frames import (
    PROTOCOL_VERSION,
    AttemptRef,
    JobAck,
    JobResults,
    Outcome,
    Register,
)
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds import KindRegistry
from mediafleet.kinds.noop import KIND
from mediafleet.ops.metrics import Metrics
from mediafleet.ops.settings import SchedulerSettings, Settings
from mediafleet.scheduler.service import Resources, Scheduler
from mediafleet.store import Store

NODE = "n0-a-1"
CPU = Executor("cpu", 1, ("kind:noop",))


def register(node: str = NODE, **changes: Any) -> Register:
    """Return the first frame of a node."""
    given: dict[str, Any] = {
        "protocol": PROTOCOL_VERSION,
        "node": node,
        "incarnation": "first",
        "host": "host",
        "version": "1",
        "executors": (CPU,),
    }
    return Register(**given | changes)


class Instances:
    """Starts instances on one store, and ends them with the test."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.kinds = [KIND]
        self.settings = Settings(data=folder, scheduler=SchedulerSettings(reap_ms=20, backstop_ms=60_000))

    @asynccontextmanager
    async def run(self, name: str = "i-1", **changes: Any) -> AsyncGenerator[Scheduler]:
        """Run an instance inside the block; its scheduler settings may differ from the others'."""
        settings = replace(self.settings, scheduler=replace(self.settings.scheduler, **changes))
        blobs = BlobStore(self.folder / "blobs")
        resources = Resources(self.store, blobs, KindRegistry(self.kinds), SystemClock(), Metrics())
        async with Scheduler(name, settings, resources) as scheduler:
            yield scheduler


async def until(claim: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Ask until the loops of the instance have made it true."""
    async with asyncio.timeout(DEADLINE_S):
        while not await claim():  # noqa: ASYNC110 - what the loops did tells no event
            await asyncio.sleep(0)


async def join(fleet: Scheduler, node: str = NODE, **changes: Any) -> RecordingLink:
    """Let a node register on a link."""
    link = RecordingLink(node)
    await fleet.attach(link, register(node, **changes))
    return link


async def submit(fleet: Scheduler) -> str:
    """Submit a job and return its id."""
    return (await fleet.submit([Submission("noop", params={"echo": "hi"})], principal="ann"))[0].job.id


async def given(link: RecordingLink, count: int = 1) -> AttemptRef:
    """Return the latest of so many attempts once the node has them."""

    async def is_given() -> bool:
        return len(assigned(link)) >= count

    await until(is_given)
    return refs(link)[-1]


async def ended(fleet: Scheduler, job: str) -> JobView:
    """Return a job once it has ended."""
    async with asyncio.timeout(DEADLINE_S):
        while (view := await fleet.job(job)).finished_ms is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    return view


async def answer(fleet: Scheduler, link: RecordingLink, ref: AttemptRef) -> None:
    """Let a node confirm and finish an attempt."""
    await fleet.receive(link, JobAck((ref,)))
    await fleet.receive(link, JobResults((Outcome(ref.task, ref.grant, TaskResult({"echo": "hi"})),)))
