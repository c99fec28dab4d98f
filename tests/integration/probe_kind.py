"""The kind that node tests use: each step shows one way in which a handler can behave."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.domain.plan import FinishedTask, Step, TaskResult, Wait
from mediafleet.kinds.seam import Kind, TaskContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.job import Job


class NoParams(msgspec.Struct, frozen=True):
    """Takes nothing."""


def plan_nothing(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """Never asked: node tests have no scheduler that plans."""
    del job, finished
    return Wait()


@dataclass
class Probe:
    """What the handlers of one test saw and wait for."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    started: list[str] = field(default_factory=list[str])
    workspaces: list[Path] = field(default_factory=list[Path])
    most_at_once: int = 0
    at_once: int = 0

    async def echo(self, context: TaskContext) -> TaskResult:
        """Return the payload."""
        self._enter(context)
        return TaskResult(result=context.spec.payload)

    async def wait(self, context: TaskContext) -> TaskResult:
        """Wait for the gate."""
        self._enter(context)
        context.report(0.5, stage="waiting")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        return TaskResult(result={"waited": True})

    async def reject(self, context: TaskContext) -> TaskResult:
        """Find the input unusable."""
        self._enter(context)
        raise UnreadableMedia("The file is no video.")

    async def crash(self, context: TaskContext) -> TaskResult:
        """Have a fault."""
        self._enter(context)
        raise ZeroDivisionError("a fault of the kind")

    async def leave(self, context: TaskContext) -> TaskResult:
        """Try to end the whole process."""
        self._enter(context)
        raise SystemExit(3)

    async def publish(self, context: TaskContext) -> TaskResult:
        """Store a file."""
        self._enter(context)
        path = context.workspace / "out.txt"
        path.write_text("made")
        return TaskResult(outputs=(await context.publish(path, name="out.txt"),))

    async def sleep(self, context: TaskContext) -> TaskResult:
        """Run a child that never ends by itself, and write its number to a file."""
        self._enter(context)
        child = await context.start_process(["sleep", "1000"])
        report = Path(context.spec.payload["report"])
        unfinished = report.with_suffix(".part")
        unfinished.write_text(f"{child.pid} {context.workspace}")
        unfinished.rename(report)
        await child.wait()
        return TaskResult()

    def _enter(self, context: TaskContext) -> None:
        self.started.append(context.spec.name)
        self.workspaces.append(context.workspace)
        (context.workspace / "scratch").write_bytes(b"x" * 1000)

    def kind(self) -> Kind:
        """Return the kind with these handlers."""
        steps = (self.echo, self.wait, self.reject, self.crash, self.leave, self.publish, self.sleep)
        return Kind("probe", 1, NoParams, plan_nothing, {step.__name__: step for step in steps}, "Probe the node.")
