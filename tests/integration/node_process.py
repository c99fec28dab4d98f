"""A node in a process of its own, for tests that kill it: `node_process.py <scheduler> <data> <guard>`."""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from probe_kind import Probe

from mediafleet.kinds.registry import KindRegistry
from mediafleet.node import NodeAgent, Surroundings, WebSocketLink
from mediafleet.node.guard import Watchdog, choose_guard
from mediafleet.ops.settings import NodeSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet.domain.artifact import ArtifactRef


class NoArtifacts:
    """Stores nothing: no step that is run here has files."""

    async def resolve(self, ref: ArtifactRef, workspace: Path, /, **_: object) -> Path:
        raise NotImplementedError

    async def upload(
        self, path: Path, *, name: str, grant: str, on_progress: Callable[[int], None] | None = None
    ) -> ArtifactRef:
        raise NotImplementedError


async def main(scheduler: str, data: str, guard: str) -> None:
    around = Surroundings(
        KindRegistry([Probe().kind()]),
        partial(WebSocketLink.open, scheduler),
        NoArtifacts(),
        make_guard=Watchdog if guard == "watchdog" else choose_guard,
    )
    agent = NodeAgent(NodeSettings(scheduler=scheduler, stop_grace_ms=500), Path(data), around)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, agent.drain)
    loop.add_signal_handler(signal.SIGINT, agent.abort)
    sys.stdout.write(f"{await agent.run()}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
