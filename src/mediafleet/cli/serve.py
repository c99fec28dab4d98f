"""`mediafleet up`, `scheduler`, `node`: the processes of a fleet."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mediafleet.cli._local import replace_lingering
from mediafleet.cli._options import CONNECTION, NodeOptions, ServerOptions, read_token
from mediafleet.cli._output import Output
from mediafleet.cli._run import guard
from mediafleet.domain.errors import ConfigError, InvalidRequest
from mediafleet.ops.logs import configure_logs
from mediafleet.ops.settings import NodeSettings

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


def node(  # noqa: PLR0913 - a command line has as many options as people need
    *,
    scheduler: Annotated[str | None, Parameter(group=CONNECTION, metavar="URL")] = None,
    listen: Annotated[str | None, Parameter(group=CONNECTION, metavar="HOST:PORT")] = None,
    master: Annotated[str | None, Parameter(group=CONNECTION, metavar="URL")] = None,
    master_token_file: Annotated[Path | None, Parameter(group=CONNECTION, metavar="FILE")] = None,
    api: Annotated[str | None, Parameter(group=CONNECTION, metavar="HOST:PORT")] = None,
    name: Annotated[str | None, Parameter(group=CONNECTION)] = None,
    slots: Annotated[int | None, Parameter(group=CONNECTION)] = None,
    label: Annotated[tuple[str, ...], Parameter(group=CONNECTION, negative="", show_default=False)] = (),
    options: NodeOptions = _NO_NODE_OPTIONS,
) -> int:
    """Run one node: this machine works for a fleet.

    SIGTERM drains it: running work is finished first. Ctrl-C or a second signal aborts; other nodes go on with its work.
    SIGUSR2 has it look again at what the machine can do, after a model was installed or a card was added.

    With --master or --api and without --scheduler it brings a private fleet along, and needs nobody else.

    Args:
        scheduler: Address of a scheduler (default http://127.0.0.1:8000).
        listen: Wait here for schedulers that call this node (their scheduler.push_nodes), instead of calling one.
        master: Hub of a SignalR master to work for, https://host/signalrhub.
        master_token_file: File with the credential that the master asks for.
        api: Where this node's own HTTP API listens (with --master 127.0.0.1:9000, else there is none).
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
        if scheduler is not None or not _is_alone(settings):
            return node.run_node(settings)
        from mediafleet.app import alone  # noqa: PLC0415 - the whole server, which most nodes have not

        _make_room(settings)
        return alone.run_alone(settings)

    def read() -> Settings:
        given: dict[str, Any] = {
            "node.scheduler": scheduler,
            "node.listen": listen,
            "node.api": api,
            "node.name": name,
            "node.slots": slots,
            "node.labels": list(label) or None,
            "master.url": master,
            "master.token": read_token(master_token_file) if master_token_file else None,
        }
        return options.settings(given)

    return _run(work, read, output, debug=options.debug)


def _is_alone(settings: Settings) -> bool:
    """Tell whether a node has work of its own, and no scheduler that somebody named.

    Raises:
        ConfigError: It is called by schedulers, and none is named that the work could be handed to.
    """
    is_unnamed = settings.node.scheduler == NodeSettings().scheduler
    has_own_work = bool(settings.master.url or settings.node.api)
    if has_own_work and is_unnamed and settings.node.listen:
        raise ConfigError("With --listen, name with --scheduler where the work of --master and --api is handed in.")
    return has_own_work and is_unnamed


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
