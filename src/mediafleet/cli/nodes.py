"""`mediafleet nodes`, `drain`, `pools`: the machines of a fleet."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import run_client
from mediafleet.cli._show import NODE_HEADER, POOL_HEADER, node_notes, node_row, pool_row
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.node import parse_state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mediafleet.client import FleetClient

_NO_OPTIONS = ClientOptions()


def nodes(*, state: str = "", options: ClientOptions = _NO_OPTIONS) -> int:
    """List nodes, what they can do, what they run, and why some take no work.

    Args:
        state: Only nodes in this state; `unavailable`, as older fleets say, is `offline`.
        options: Shared options.
    """

    async def show(client: FleetClient, output: Output) -> None:
        wanted = parse_state(state) if state else None
        found = [one for one in await client.nodes() if wanted in {None, one.state}]
        output.document(found)
        now_ms = SystemClock().now_ms()
        output.table(NODE_HEADER, [node_row(one, now_ms=now_ms) for one in found], empty="The fleet has no nodes yet.")
        for line in chain.from_iterable(map(node_notes, found)):
            output.say(line)

    return _ask(show, options)


def drain(
    node_id: Annotated[str, Parameter(name="NODE")],
    /,
    *,
    undo: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Let a node finish what it runs and take nothing new.

    Args:
        node_id: The node's id, as `mediafleet nodes` shows it.
        undo: Let it take work again.
        options: Shared options.
    """

    async def steer(client: FleetClient, output: Output) -> None:
        view = await client.drain(node_id, draining=not undo)
        output.document(view)
        output.say(f"{view.id} {'takes work again' if undo else 'finishes what it runs and takes nothing new'}.")

    return _ask(steer, options)


def pools(*, options: ClientOptions = _NO_OPTIONS) -> int:
    """List pools: executors that can do the same.

    Args:
        options: Shared options.
    """

    async def show(client: FleetClient, output: Output) -> None:
        found = await client.pools()
        output.document(found)
        output.table(POOL_HEADER, [pool_row(one) for one in found], empty="The fleet has no executors yet.")

    return _ask(show, options)


def _ask(question: Callable[[FleetClient, Output], Awaitable[None]], options: ClientOptions) -> int:
    output = Output(as_json=options.json)

    async def work() -> int:
        async with open_fleet(options) as fleet:
            await question(fleet.client, output)
        return 0

    return run_client(work(), output, debug=options.debug)
