"""What a handler may use of its node: the node's side of `mediafleet.kinds.seam.TaskContext`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import stamina

from mediafleet.domain.errors import Unavailable
from mediafleet.domain.frames import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from mediafleet.artifacts.originals import Originals
    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.domain.frames import Assignment
    from mediafleet.domain.plan import TaskSpec
    from mediafleet.kinds.seam import ChildProcess, Engines
    from mediafleet.node.processes import Children
    from mediafleet.node.progress import ProgressBoard

T = TypeVar("T")

_MEGABYTE = 1_000_000


class ArtifactTransfer(Protocol):
    """How a node gets at bytes and stores them; `mediafleet.artifacts.transfer.ArtifactClient` is one."""

    async def resolve(
        self,
        ref: ArtifactRef,
        workspace: Path,
        /,
        *,
        ranges: Sequence[tuple[int, int]] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Return a local path with the bytes, or some of them: in place where that is proven, else in the workspace."""
        ...

    async def upload(
        self, path: Path, *, name: str, grant: str, on_progress: Callable[[int], None] | None = None
    ) -> ArtifactRef:
        """Store the file as an artifact of the attempt."""
        ...


def fetching_stage(fetched: int, wanted: int) -> str:
    """Return how a stage says what was fetched: in whole megabytes, so that it is news a few times a second at most."""
    told = f"fetching {fetched // _MEGABYTE}"
    return f"{told} of {-(-wanted // _MEGABYTE)} MB" if wanted >= 0 else f"{told} MB"


@dataclass(frozen=True)
class Persistence:
    """How a transfer is tried again while the scheduler is away: for ever, because finished work is worth it."""

    first_wait_s: float
    longest_wait_s: float

    async def insist(self, transfer: Callable[[], Awaitable[T]]) -> T:
        """Return what the transfer returns; only `Unavailable` is tried again. Cancelling is safe."""
        async for attempt in stamina.retry_context(
            on=Unavailable,
            attempts=None,
            timeout=None,
            wait_initial=self.first_wait_s,
            wait_max=self.longest_wait_s,
            wait_jitter=self.first_wait_s,
        ):
            with attempt:
                return await transfer()
        raise AssertionError("unreachable: tried for ever")  # pragma: no cover


@dataclass(frozen=True)
class AttemptContext:
    """The context of one attempt; implements `TaskContext`."""

    assignment: Assignment
    spec: TaskSpec
    cores: int
    workspace: Path
    children: Children
    artifacts: ArtifactTransfer
    persistence: Persistence
    board: ProgressBoard
    originals: Originals
    engines: Engines

    async def fetch(self, ref: ArtifactRef, *, ranges: Sequence[tuple[int, int]] | None = None) -> Path:
        """Return a local path with the artifact's bytes; waits while the scheduler is away."""
        return await self.persistence.insist(
            lambda: self.artifacts.resolve(ref, self.workspace, ranges=ranges, on_progress=self._note_fetched)
        )

    def _note_fetched(self, fetched: int, wanted: int) -> None:
        # The fraction is the handler's: it alone knows what part of the work fetching is.
        self.report(0.0, stage=fetching_stage(fetched, wanted))

    async def publish(self, path: Path, *, name: str) -> ArtifactRef:
        """Store a file as an artifact of this attempt; waits while the scheduler is away."""
        # The scheduler keeps what a grant published only if that grant wins, so a late attempt leaves nothing behind.
        grant = self.assignment.grant
        return await self.persistence.insist(lambda: self.artifacts.upload(path, name=name, grant=grant))

    def report(
        self, fraction: float, *, stage: str = "", speed: float | None = None, eta_ms: int | None = None
    ) -> None:
        """Note progress, 0..1."""
        self.board.note(Progress(self.assignment.task, self.assignment.grant, fraction, stage, speed, eta_ms))

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> ChildProcess:
        """Start a child without a shell, with empty standard input and a clean environment."""
        return await self.children.start(arguments, cwd=cwd)

    async def start_script(self, script: Path, arguments: Sequence[str]) -> ChildProcess:
        """Start a script of a kind, or take one that was started before."""
        return await self.children.start_script(script, arguments)
