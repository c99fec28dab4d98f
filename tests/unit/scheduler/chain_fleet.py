"""One instance that plans chains, on a real store; what tests of chains go by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from scheduler_parts import Parts
from tests_support.speech_kind import KIND

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.job import Job, JobView
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.placement import Policy
from mediafleet.domain.plan import TaskResult
from mediafleet.scheduler.chain_watch import ChainWatch
from mediafleet.scheduler.facts import FactSource
from mediafleet.scheduler.tasks import job_record
from mediafleet.scheduler.turns import in_order
from mediafleet.store import Store
from mediafleet.store.records import PlacedTask

PARAMS = {"source": "en", "to": "es", "feature": "synthesise", "gate": ""}
HEARS, TRANSLATES, SPEAKS = "recognise:en", "mt:en>es", "tts:es"
WHOLE = (HEARS, TRANSLATES, SPEAKS)
OUTPUT = ArtifactRef("a0-out", "out.txt")


class Fleet:
    """One instance's planner and watch on a store, and nodes that do what their tasks ask."""

    def __init__(self, store: Store, folder: Path, kind: Any = KIND) -> None:
        self.store = store
        self.kind = kind
        self.parts = Parts(store, folder, kinds=[kind])
        self.driver = self.parts.driver
        self.watch = ChainWatch(store, self.parts.planner, FactSource(store))
        self.given: dict[str, dict[str, Any]] = {}
        """Specification of each task that was placed, by its name."""

    async def join(self, node: str, *offers: str, **changes: Any) -> None:
        """Let a node come that offers these things."""
        await self.driver.join(f"n0-{node}-1", capabilities=(*offers, "kind:speech"), **changes)

    async def submit(
        self, number: int = 0, *, policy: Policy = Policy.LEAST_LOADED, urgency: int = 0, **params: Any
    ) -> str:
        """Accept a job and plan it."""
        given = PARAMS | params
        job = Job(
            f"j0-made{number}", "0", "default", "ann", "speech", 1, "", (), given, PriorityClass.BATCH, 1000 + number
        )
        job = msgspec.structs.replace(job, policy=policy, urgency=urgency)
        record, queues = job_record(job, self.kind.plan(job, ()), self.kind, key="", waits=[], retention_ms=60_000)
        await self.store.submit([record], queues)
        await self.plan()
        return job.id

    async def plan(self) -> None:
        """Work off what is dirty."""
        self.parts.planner.ask()
        await self.parts.planner.step()

    async def look(self) -> bool:
        """Look at what waits, and plan what has moved."""
        await self.watch.look()
        has_moved = bool(await self.store.read.dirty_jobs(1))
        if has_moved:
            await self.plan()
        return has_moved

    async def tasks(self, job: str) -> dict[str, TaskState]:
        """Return the tasks of a job by name."""
        view = await self.view(job)
        return {task.id.partition(".")[2]: task.state for task in view.tasks}

    async def view(self, job: str) -> JobView:
        """Return a job."""
        return await self.parts.job(job)

    async def place(self) -> list[PlacedTask]:
        """Give what waits to whoever can do it, and let them confirm."""
        specs = in_order((await self.store.read.queues()).values())
        placed = (await self.driver.place(*specs)).assignments
        await self.driver.ack(*placed)
        self.given |= {one.task.partition(".")[2]: msgspec.json.decode(one.doc) for one in placed}
        return placed

    async def work(self) -> list[tuple[str, str]]:
        """Run what can be run to its end; return which task ran where."""
        ran: list[tuple[str, str]] = []
        for one in await self.place():
            name = one.task.partition(".")[2]
            ran.append((name, one.executor.split("-")[1]))
            await self.driver.finish(one, msgspec.json.encode(self.result(name)).decode())
        await self.plan()
        return ran

    def result(self, name: str) -> TaskResult:
        """Return what a task gives: each of its modules its own name."""
        payload = self.given[name].get("payload", {})
        if "parts" not in payload:
            return TaskResult({"of": self.given[name]["step"]}, (OUTPUT,))
        modules = [part["name"] for part in payload["parts"]]
        last = modules[-1]
        return TaskResult(
            {one: {"result": {"of": one}, "outputs": int(one == last), "warnings": []} for one in modules}, (OUTPUT,)
        )
