"""Runs the handlers of a kind with children that a node's launcher starts: bounded, and without a network."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing
from functools import cache
from pathlib import Path
from typing import Any

from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.transcode import KIND
from mediafleet.node.containment import Containment, contain
from mediafleet.node.guard import choose_guard
from mediafleet.node.processes import Children, Launcher
from mediafleet.ops.settings import NodeSettings
from mediafleet.testing import LocalTaskContext

KINDS = KindRegistry([KIND])


@cache
def _contain(settings: NodeSettings) -> Containment:
    """Return one for all tests of this process, as a node has one for all tasks."""
    return contain(settings)


class ContainedContext(LocalTaskContext):
    """A context on this machine whose children are those of a node."""

    children: Children

    async def start_process(self, arguments: Any, *, cwd: Path | None = None) -> Any:
        """Start a contained child."""
        return await self.children.start(arguments, cwd=cwd)

    async def start_script(self, script: Path, arguments: Any) -> Any:
        """Start a contained script."""
        return await self.children.start_script(script, arguments)


@asynccontextmanager
async def contained_children(
    folder: Path, settings: NodeSettings | None = None, *, containment: Containment | None = None
) -> AsyncGenerator[Children]:
    """Yield what starts children as a node with these settings does; the caller closes a containment of its own."""
    made = containment or await asyncio.to_thread(_contain, settings or NodeSettings())
    with closing(choose_guard()) as guard:
        launcher = Launcher(guard, environment=os.environ, grace_s=1, containment=made)
        async with launcher.children(folder) as children:
            yield children


async def transcode_contained(
    source: Path, folder: Path, params: Mapping[str, Any], settings: NodeSettings | None = None
) -> tuple[ContainedContext, TaskResult]:
    """Run the handler on a file as a node does; raises what it raises."""
    checked = KINDS.check_params("transcode", dict(params))
    context = ContainedContext.for_file(source, folder=folder, params=checked)
    async with contained_children(context.workspace, settings) as children:
        context.children = children
        return context, await KIND.handlers["transcode"](context)
