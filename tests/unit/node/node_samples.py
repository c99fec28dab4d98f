"""What tests of a node share: a kind made of plain functions, its assignments, and a link whose other side is the test."""

from __future__ import annotations

import asyncio
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mediafleet.artifacts.originals import Originals
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import SchedulerUnavailable
from mediafleet.domain.frames import Assignment, Register, Registered, SchedulerFrame
from mediafleet.domain.plan import TaskSpec, Wait
from mediafleet.engines import EngineRegistry
from mediafleet.engines.hosted import Tether
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.seam import Kind
from mediafleet.node.context import Persistence
from mediafleet.node.engines import NodeEngines
from mediafleet.node.guard import choose_guard
from mediafleet.node.processes import Launcher
from mediafleet.node.progress import ProgressBoard
from mediafleet.node.runner import Runner
from mediafleet.node.state import Start
from mediafleet.node.workspace import Workspaces
from mediafleet.ops.settings import EngineSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mediafleet.domain.frames import NodeFrame
    from mediafleet.kinds.seam import Handler

F = TypeVar("F")

DEADLINE_S = 20.0
REGISTER = Register(1, "n0-a", "i", "host", "1", ())
REGISTERED = Registered("n0-a", 20, 1_000)
LINK_END = SchedulerUnavailable("The link ended.")


class NoParams(msgspec.Struct, frozen=True):
    """Takes nothing."""


def kind_of(**steps: Handler) -> Kind:
    """Return a kind named `probe` with a step for each function."""
    return Kind("probe", 1, NoParams, lambda _, __: Wait(), steps, "Probe the node.")


def assignment(step: str, grant: str = "g1", *, cost: int = 1, **payload: Any) -> Assignment:
    """Return an assignment of one step of that kind; its task is `j0-x.<grant>`."""
    spec = TaskSpec("probe", 1, step, grant, "default", payload=payload)
    return Assignment(f"j0-x.{grant}", grant, 1, "cpu", cost, "j0-x", msgspec.Raw(msgspec.json.encode(spec)))


def start_of(step: str, grant: str = "g1") -> Start:
    """Return the instruction to start that assignment."""
    given = assignment(step, grant)
    return Start(given, msgspec.json.decode(given.spec, type=TaskSpec), Fraction(1))


class Shelf:
    """Stores the names of artifacts and has every one that is asked for."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, str]] = []

    async def resolve(self, ref: ArtifactRef, workspace: Path, /, **_: object) -> Path:
        """Make the artifact a file of the workspace."""
        path = workspace / ref.name
        path.write_text(ref.id)
        return path

    async def upload(
        self, path: Path, *, name: str, grant: str, on_progress: Callable[[int], None] | None = None
    ) -> ArtifactRef:
        """Note who stores what."""
        del on_progress
        self.stored.append((name, grant))
        return ArtifactRef(f"a0-{grant}", name, size=_size(path))


def _size(path: Path) -> int:
    return path.stat().st_size


def runner_for(folder: Path, kind: Kind, shelf: Shelf | None = None) -> Runner:
    """Return a runner whose workspaces lie in `<folder>/work`."""
    workspaces = Workspaces(folder / "work")
    workspaces.sweep()
    launcher = Launcher(choose_guard(), environment=os.environ, grace_s=1)
    kinds = KindRegistry([kind])
    originals = Originals((), folder / "originals")
    engines = NodeEngines(EngineRegistry(()), EngineSettings(), Tether(), folder / "engines.json")
    persistence = Persistence(0.001, 0.002)
    return Runner(kinds, workspaces, launcher, shelf or Shelf(), persistence, ProgressBoard(), originals, engines)


class ScriptedLink:
    """A link whose other side is the test."""

    def __init__(self, *incoming: SchedulerFrame) -> None:
        self.incoming: asyncio.Queue[SchedulerFrame | None] = asyncio.Queue()
        self.sent: asyncio.Queue[NodeFrame] = asyncio.Queue()
        self.is_closed = False
        self.fails = False
        self.is_silent = False
        self.probes = asyncio.Queue[float]()
        self.end: Exception = LINK_END
        """Why the link ends once it was closed."""
        for frame in incoming:
            self.incoming.put_nowait(frame)

    async def send(self, frame: NodeFrame) -> None:
        """Take a frame from the node."""
        if self.fails:
            raise SchedulerUnavailable("The link is down.")
        self.sent.put_nowait(frame)

    async def receive(self) -> AsyncIterator[SchedulerFrame]:
        """Hand the test's frames to the node."""
        while frame := await self.incoming.get():
            yield frame
        raise self.end

    async def probe(self, *, within_s: float) -> None:
        """Show that the other side is there; if it is not, end the link after the time."""
        self.probes.put_nowait(within_s)
        if self.is_silent:
            raise SchedulerUnavailable("The link went silent.")

    async def close(self) -> None:
        """End the link."""
        self.is_closed = True
        self.incoming.put_nowait(None)

    async def expect(self, wanted: type[F]) -> F:
        """Return the next frame of that type, skipping others."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if isinstance(frame := await self.sent.get(), wanted):
                    return frame
