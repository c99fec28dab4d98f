"""One node process."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from mediafleet.app.signals import Signals
from mediafleet.app.spans import start_traces
from mediafleet.artifacts.cache import ArtifactCache
from mediafleet.artifacts.transfer import ArtifactClient
from mediafleet.domain.addresses import AddressRing
from mediafleet.domain.path_map import PathMap
from mediafleet.kinds import KindRegistry
from mediafleet.node import Farewell, NodeAgent, Surroundings, WebSocketLink

if TYPE_CHECKING:
    from mediafleet.node.link import Dial
    from mediafleet.ops.settings import Settings

LOOK_AGAIN = signal.SIGUSR2
"""Sent to a node whose machine has changed."""
ABORTED = 130
"""Exit code of a node that was made to leave its work."""


def run_node(settings: Settings) -> int:
    """Run one node until a signal ends it: SIGTERM drains, SIGINT or a second signal aborts; return the exit code."""
    return asyncio.run(serve_node(settings))


async def serve_node(settings: Settings) -> int:
    """Run one node until a signal ends it; return the exit code."""
    signals = Signals()
    data, node = settings.data, settings.node
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    ring = AddressRing(node.scheduler)
    async with AsyncExitStack() as stack:
        start_traces("mediafleet-node", stack)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        cache = ArtifactCache(data / "cache", node.cache_bytes)
        trimming = asyncio.create_task(cache.keep_small(), name="cache")
        stack.callback(trimming.cancel)
        dial, move_on = await stack.enter_async_context(_links(settings, ring))
        agent = NodeAgent(
            node,
            data,
            Surroundings(
                kinds=KindRegistry.installed(),
                dial=dial,
                move_on=move_on,
                artifacts=ArtifactClient(
                    session, ring, settings.server.token, cache=cache, direct=True, paths=PathMap(node.paths)
                ),
                cell=settings.store.cell,
                engines=settings.engines,
            ),
        )
        if node.api or settings.master.url:
            await _stand_alone(settings, stack)
        # Models are installed and cards are plugged in while a node runs.
        asyncio.get_running_loop().add_signal_handler(LOOK_AGAIN, agent.look_again)
        teller = asyncio.create_task(_tell(agent, signals), name="signals")
        try:
            farewell = await agent.run()
        finally:
            teller.cancel()
    return 0 if farewell is Farewell.DRAINED else ABORTED


async def _stand_alone(settings: Settings, stack: AsyncExitStack) -> None:
    from mediafleet.doors.foreign.node_api import standing_alone  # noqa: PLC0415 - a web server, which most nodes have not

    working = standing_alone(settings, settings.node.scheduler, settings.server.token)
    print(f"mediafleet node answers at {await stack.enter_async_context(working)}", file=sys.stderr)


@asynccontextmanager
async def _links(settings: Settings, ring: AddressRing) -> AsyncGenerator[tuple[Dial, Callable[[], None]]]:
    """Yield how a node gets its links, by calling or by being called, and what it does when one was not taken."""
    token = settings.server.token
    if not settings.node.listen:
        yield lambda: WebSocketLink.open(ring.current, token=token), lambda: ring.move_on(ring.current)
        return
    from mediafleet.doors.push.node_api import listening  # noqa: PLC0415 - a web server, which most nodes have not

    async with listening(settings.node.listen, settings.server) as (listener, url):
        print(f"mediafleet node listens at {url}", file=sys.stderr)
        yield listener.accept, lambda: None


async def _tell(agent: NodeAgent, signals: Signals) -> None:
    await signals.wait_first()
    agent.drain()
    await signals.wait_interrupt()
    agent.abort()
