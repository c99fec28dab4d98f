"""`mediafleet up`, `scheduler`, `node`: the processes of a fleet."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._local import replace_lingering
from mediafleet.cli._options import CONNECTION, NodeOptions, ServerOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import guard
from mediafleet.domain.errors import InvalidRequest
from mediafleet.ops.logs import configure_logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet.app.serving import Serving
    from mediafleet.ops.settings import Settings

_NO_OPTIONS = ServerOptions()
_NO_NODE_OPTIONS = NodeOptions()
_MOST_NODES = 16


def up(
    *,
    nodes: Annotated[int, Parameter(group=CONNECTION)] = 1,
    linger: Annotated[float | None, Parameter(group=CONNECTION, metavar="SECONDS")] = None,
    options: ServerOptions = _NO_OPTIONS,
) -> int:
    """Run everything on this machine: store, scheduler, node and console.

    Ctrl-C ends it at once, SIGTERM lets running work finish first; accepted jobs go on at the next start.

    Args:
        nodes: How many nodes to run here; one uses the whole machine.
        linger: End by itself this long after the last client has left.
        options: Shared options.
    """
    output = Output(as_json=options.json, in_lines=True)

    def serve(settings: Settings) -> int:
        from mediafleet.app import processes  # noqa: PLC0415 - the whole server, needed only now

        if not 1 <= nodes <= _MOST_NODES:
            raise InvalidRequest(f"--nodes goes from 1 to {_MOST_NODES}.")
        _make_room(settings)
        return processes.run_up(settings, nodes=nodes, linger_s=linger, tell=_teller(output))

    return _run(serve, options.settings, output, debug=options.debug)


def scheduler(*, options: ServerOptions = _NO_OPTIONS) -> int:
    """Run one scheduler instance.

    Args:
        options: Shared options.
    """
    output = Output(as_json=options.json, in_lines=True)

    def serve(settings: Settings) -> int:
        from mediafleet.app import processes  # noqa: PLC0415 - as above

        _make_room(settings)
        return processes.run_scheduler(settings, tell=_teller(output))

    return _run(serve, options.settings, output, debug=options.debug)


def node(
    *,
    scheduler: Annotated[str | None, Parameter(group=CONNECTION, metavar="URL")] = None,
    listen: Annotated[str | None, Parameter(group=CONNECTION, metavar="HOST:PORT")] = None,
    name: Annotated[str | None, Parameter(group=CONNECTION)] = None,
    slots: Annotated[int | None, Parameter(group=CONNECTION)] = None,
    label: Annotated[tuple[str, ...], Parameter(group=CONNECTION, negative="", show_default=False)] = (),
    options: NodeOptions = _NO_NODE_OPTIONS,
) -> int:
    """Run one node: this machine works for a fleet.

    SIGTERM drains it: running work is finished first. Ctrl-C or a second signal aborts; other nodes go on with its work.
    SIGUSR2 has it look again at what the machine can do, after a model was installed or a card was added.

    Args:
        scheduler: Address of a scheduler (default http://127.0.0.1:8000).
        listen: Wait here for schedulers that call this node (their scheduler.push_nodes), instead of calling one.
        name: Shown name; the host's where not given.
        slots: How many tasks the cpu executor takes at once.
        label: A word that jobs can ask for, as the capability label:WORD. Can be repeated.
        options: Shared options.
    """
    output = Output()

    def work(settings: Settings) -> int:
        from mediafleet.app import node  # noqa: PLC0415 - as above

        for option in options.without_effect:
            output.note(f"note: {option} has no effect on a node, which has neither a port nor a store.")
        return node.run_node(settings)

    given = {
        "node.scheduler": scheduler,
        "node.listen": listen,
        "node.name": name,
        "node.slots": slots,
        "node.labels": list(label) or None,
    }
    return _run(work, lambda: options.settings(given), output, debug=options.debug)


def _make_room(settings: Settings) -> None:
    """Who lists jobs and then starts a fleet must not have to wait until the fleet of the list has ended."""
    if not settings.store.redis_url:
        asyncio.run(replace_lingering(settings.data))


def _teller(output: Output) -> Callable[[Serving], None]:
    """Return what tells a program that a fleet serves, and where."""

    def tell(serving: Serving) -> None:
        token = {"token": serving.made_token} if serving.made_token else {}
        output.document({"url": serving.url, "data": str(serving.data), "pid": os.getpid()} | token)

    return tell


def _run(serve: Callable[[Settings], int], read: Callable[[], Settings], output: Output, *, debug: bool) -> int:
    def work() -> int:
        settings = read()
        configure_logs(settings.log)
        return serve(settings)

    return guard(work, output, debug=debug)
