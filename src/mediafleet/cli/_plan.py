"""`mediafleet transcode --dry-run`: looks into files on this machine and prints what would become of their streams.

No fleet is asked or started: the plan follows from the file and the params alone. Files that only nodes see are planned by
a job with the param `dry_run`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.cli._inputs import Source, Unusable, find_sources
from mediafleet.cli._run import FAILED
from mediafleet.cli._text import name_reason
from mediafleet.domain.errors import ErrorInfo, MediafleetError
from mediafleet.node.guard import choose_guard
from mediafleet.node.processes import Launcher

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from mediafleet.cli._output import Output
    from mediafleet.kinds.seam import ChildProcess
    from mediafleet.kinds.transcode.file_reader import Starter
    from mediafleet.kinds.transcode.preview import Preview
    from mediafleet.node.processes import Children

_GRACE_S = 2.0
_AT_ONCE = 4
"""Files that are looked into at the same time; each is read to its end."""


class PlannedFile(msgspec.Struct, frozen=True):
    """One file of the command: its plan, or why it has none."""

    path: str
    plan: Preview | None = None
    error: ErrorInfo | None = None


class _Starter:
    def __init__(self, children: Children) -> None:
        self._children = children

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> ChildProcess:
        """Start a child without a shell."""
        return await self._children.start(arguments, cwd=cwd)

    async def start_script(self, script: Path, arguments: Sequence[str]) -> ChildProcess:
        """Start a script of a kind."""
        return await self._children.start_script(script, arguments)


async def plan_all(paths: Sequence[Path], params: Mapping[str, Any], output: Output, *, recursive: bool = True) -> int:
    """Print the plan of each file and return the exit code: 0 if every one can be made.

    Raises:
        InvalidParams: The params do not fit.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    async with open_starter() as starter:

        async def plan_one(one: Source | Unusable) -> PlannedFile:
            if isinstance(one, Unusable):
                return PlannedFile(str(one.path), error=one.error.info())
            async with gate:
                return await _plan(starter, one.path, params)

        found = find_sources(paths, recursive=recursive)
        planned = await asyncio.gather(*map(plan_one, found))
    output.document(planned)
    for one in planned:
        _tell(one, output)
    return 0 if planned and all(one.plan for one in planned) else FAILED


@asynccontextmanager
async def open_starter() -> AsyncGenerator[Starter]:
    """Yield what the probe starts its children with, as a node would; none of them lives longer than this block."""
    guard = choose_guard()
    try:
        with tempfile.TemporaryDirectory(prefix="mediafleet-plan-") as folder:
            launcher = Launcher(guard, environment=os.environ, grace_s=_GRACE_S)
            async with launcher.children(Path(folder)) as children:
                yield _Starter(children)
    finally:
        guard.close()


async def _plan(starter: Starter, path: Path, params: Mapping[str, Any]) -> PlannedFile:
    # Their package knows media, which takes time to import: only a transcode needs it.
    from mediafleet.kinds.transcode.params import TranscodeParams  # noqa: PLC0415
    from mediafleet.kinds.transcode.preview import preview  # noqa: PLC0415
    from mediafleet.kinds.transcode.probe import probe  # noqa: PLC0415
    from mediafleet.kinds.transcode.verify import check_source  # noqa: PLC0415

    try:
        info = await probe(starter, _absolute(path), name=path.name)
        check_source(info, name=path.name)
        plan = preview(info, msgspec.convert(params, TranscodeParams), name=path.name)
    except MediafleetError as error:
        return PlannedFile(str(path), error=error.info())
    return PlannedFile(str(path), plan=plan)


def _absolute(path: Path) -> Path:
    # Without following links: the probe is to name the file as its user does.
    return path.absolute()


def _tell(one: PlannedFile, output: Output) -> None:
    if one.plan is None:
        output.note(name_reason(str(one.path), one.error.message if one.error else ""))
        return
    plan = one.plan
    chapters = f", {plan.chapters} chapters" if plan.chapters else ""
    output.say(f"{one.path} → {plan.container}, {plan.duration_s:.1f} s{chapters}, preset {plan.preset}")
    rows = [(line.what, _action(line.action, line.codec), line.encoder, line.why) for line in plan.streams]
    output.table(("STREAM", "ACTION", "ENCODER", "WHY"), rows, empty="It has no streams.")
    for loss in plan.losses:
        output.say(f"  loses: {loss.sentence}")
    if not plan.losses:
        output.say("  loses nothing")


def _action(action: str, codec: str) -> str:
    return f"{action} to {codec}" if action in {"encode", "convert"} else action
