"""For kinds with modules: a plan of one chain, and the handler that runs several of its parts in one task.

A handler of a module sees the same whether it is run alone or with others: its inputs are the outputs of the modules
that it needs, `payload["results"]` has what they returned, and the rest of the payload is that of the chain.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.chain import Chain, ChainPart, part_name
from mediafleet.domain.errors import ErrorInfo, TaskFailed
from mediafleet.domain.ids import new_token
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, Step, TaskResult, TaskSpec

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.artifacts.originals import Originals
    from mediafleet.kinds.seam import ChildProcess, Engines, TaskContext

RESULTS = "results"
"""Where a payload has the results of the parts that a part needs."""
OUTPUTS = "outputs"
"""Where the payload of a task that runs several parts has the outputs of earlier ones that these need."""
PARTS = "parts"
"""Where it names the parts that it runs."""


def find_results(chain: Chain, finished: Sequence[FinishedTask]) -> dict[str, FinishedTask]:
    """Return the parts of a chain that are final, by the names of their modules."""
    by_name = {task.name: task for task in finished}
    names = {part.name: part_name(chain.name, part.name) for part in chain.parts}
    return {module: by_name[name] for module, name in names.items() if name in by_name}


def plan_chain(chain: Chain, finished: Sequence[FinishedTask]) -> Step:
    """Plan a job that is one chain; pure.

    Completes with `{module: result}` and the outputs of the modules that were asked for; fails with the first error.
    """
    found = find_results(chain, finished)
    ended = next((one for one in found.values() if one.state is not TaskState.DONE), None)
    if ended:
        return Fail(ended.error or ErrorInfo("task-failed", f"{ended.name!r} ended without a result."))
    if len(found) < len(chain.parts):
        return Expand((), chains=(chain,))
    asked = [found[part.name] for part in chain.parts if part.is_asked_for]
    return Complete(
        {part.name: found[part.name].result for part in chain.parts if part.is_asked_for},
        tuple(ref for one in asked for ref in one.outputs),
        tuple(text for one in found.values() for text in one.warnings),
    )


# --- on the node -------------------------------------------------------------------------------


class PartOutcome(msgspec.Struct, frozen=True):
    """What one part of a task gave, inside the result of the task."""

    result: dict[str, Any]
    outputs: int
    """How many of the task's outputs are its own; those of all parts stand in their order."""
    warnings: tuple[str, ...] = ()


class _Handler(Protocol):
    async def __call__(self, context: TaskContext, /) -> TaskResult: ...


def run_parts(handlers: Mapping[str, _Handler]) -> Callable[[TaskContext], Awaitable[TaskResult]]:
    """Return a handler that runs the parts which its payload names, one after the other, each by its own handler.

    What a part publishes that nobody asked for goes to the next part on this machine, and nowhere else.
    """

    async def run(context: TaskContext) -> TaskResult:
        spec = context.spec
        parts = msgspec.convert(spec.payload[PARTS], tuple[ChainPart, ...])
        payload = {name: value for name, value in spec.payload.items() if name not in {PARTS, RESULTS, OUTPUTS}}
        shared = _Shared(context, parts, payload)
        for part in parts:
            await shared.run(part, handlers[part.name])
        return shared.result()

    return run


class _Shared:
    """What the parts of one attempt have in common."""

    def __init__(self, context: TaskContext, parts: tuple[ChainPart, ...], payload: dict[str, Any]) -> None:
        self.context = context
        self.parts = parts
        self._payload = payload
        self._done: dict[str, TaskResult] = _earlier(context.spec)
        self._here: set[str] = set()
        self.files: dict[str, Path] = {}
        """Artifacts that never leave this machine."""
        self._weight = 0.0

    async def run(self, part: ChainPart, handler: _Handler) -> None:
        """Run one part. Cancelling is safe."""
        result = await handler(_PartContext(self, part, self._spec(part), done=self._weight))
        if not isinstance(result, TaskResult):  # pyright: ignore[reportUnnecessaryIsInstance] - a plug-in may return anything
            raise TaskFailed(f"The module {part.name!r} returned no TaskResult: the kind is faulty.")
        self._done[part.name] = result
        self._here.add(part.name)
        self._weight += part.weight

    def _spec(self, part: ChainPart) -> TaskSpec:
        spec = self.context.spec
        results = {name: self._done[name].result for name in part.after}
        return msgspec.structs.replace(
            spec,
            step=part.name,
            inputs=part_inputs(part, {name: one.outputs for name, one in self._done.items()}, spec.inputs),
            payload={**self._payload, RESULTS: results},
        )

    def result(self) -> TaskResult:
        """Return what all parts gave."""
        outcomes: dict[str, PartOutcome] = {}
        outputs: list[ArtifactRef] = []
        for part in self.parts:
            own = self._done[part.name]
            given = own.outputs if part.is_asked_for else ()
            outcomes[part.name] = PartOutcome(own.result, len(given), own.warnings)
            outputs += given
        return TaskResult(msgspec.to_builtins(outcomes), tuple(outputs))


def part_inputs(
    part: ChainPart, outputs: Mapping[str, tuple[ArtifactRef, ...]], inputs: tuple[ArtifactRef, ...]
) -> tuple[ArtifactRef, ...]:
    """Return what a part reads: the outputs of the parts that it needs, and the chain's inputs where it reads them."""
    own = tuple(ref for name in part.after for ref in outputs[name])
    return (*own, *inputs) if part.reads_inputs or not part.after else own


def _earlier(spec: TaskSpec) -> dict[str, TaskResult]:
    """Return what parts gave that other tasks ran before."""
    results: dict[str, Any] = spec.payload.get(RESULTS, {})
    outputs = msgspec.convert(spec.payload.get(OUTPUTS, {}), dict[str, tuple[ArtifactRef, ...]])
    return {name: TaskResult(result, outputs.get(name, ())) for name, result in results.items()}


class _PartContext:
    """The context of one part inside a task of several."""

    def __init__(self, shared: _Shared, part: ChainPart, spec: TaskSpec, *, done: float) -> None:
        self._shared = shared
        self._outer = shared.context
        self._part = part
        self._spec = spec
        self._done = done
        self._whole = sum(one.weight for one in shared.parts) or 1.0
        # Parts may use the same file names.
        self._workspace = self._outer.workspace / part.name
        self._workspace.mkdir()

    @property
    def spec(self) -> TaskSpec:
        return self._spec

    @property
    def workspace(self) -> Path:
        return self._workspace

    @property
    def cores(self) -> int:
        return self._outer.cores

    @property
    def originals(self) -> Originals:
        return self._outer.originals

    @property
    def engines(self) -> Engines:
        """The speech engines of the executor."""
        return self._outer.engines

    async def fetch(self, ref: ArtifactRef, *, ranges: Sequence[tuple[int, int]] | None = None) -> Path:
        kept = self._shared.files.get(ref.id)
        return kept or await self._outer.fetch(ref, ranges=ranges)

    async def publish(self, path: Path, *, name: str) -> ArtifactRef:
        kept = await asyncio.to_thread(self._set_aside, path, name)
        if not self._part.is_asked_for:
            ref = ArtifactRef(f"part-{new_token()}", name, size=kept.stat().st_size)
        else:
            ref = await self._outer.publish(path, name=name)
        self._shared.files[ref.id] = kept
        return ref

    def _set_aside(self, path: Path, name: str) -> Path:
        """Return another name of the file: published files may be moved away, and the next part reads them here."""
        kept = self._outer.workspace / f"kept-{new_token()}"
        try:
            kept.hardlink_to(path)
        except FileNotFoundError:
            raise TaskFailed(f"The module {self._part.name!r} published {name!r}, which it did not write.") from None
        except OSError:
            # A file system without hard links, or a file elsewhere.
            shutil.copyfile(path, kept)
        return kept

    def report(
        self, fraction: float, *, stage: str = "", speed: float | None = None, eta_ms: int | None = None
    ) -> None:
        # The ETA of a part says nothing about those that follow.
        is_last = self._part is self._shared.parts[-1]
        overall = (self._done + self._part.weight * min(1.0, max(0.0, fraction))) / self._whole
        self._outer.report(overall, stage=stage or self._part.name, speed=speed, eta_ms=eta_ms if is_last else None)

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> ChildProcess:
        return await self._outer.start_process(arguments, cwd=cwd or self._workspace)

    async def start_script(self, script: Path, arguments: Sequence[str]) -> ChildProcess:
        return await self._outer.start_script(script, arguments)
