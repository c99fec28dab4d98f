"""The nodes of `up`: processes of their own, started again when they end by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog

from mediafleet.app.serving import Serving
from mediafleet.app.signals import Signals, first_of
from mediafleet.domain.health import parse_headroom
from mediafleet.ops.auth import is_loopback
from mediafleet.ops.config import variable_of
from mediafleet.store.death_signal import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mediafleet.ops.settings import Settings

RESTART_WAIT_S = 1.0
"""Pause before a node that ended by itself is started again."""
NODE_STOP_S = 15.0
"""How long a node of `up` may take to end before it is killed."""
OWN_MACHINE = {"cpu": 0, "memory": 5, "disk": 1}
"""Per cent that must be free on the machine of `up` for new work; 0: look away."""

log = structlog.get_logger(__name__)


async def run_nodes(settings: Settings, count: int, instance: Serving, signals: Signals) -> None:
    """Keep `count` node processes running until the end, then end them: drained on SIGTERM, else at once."""
    async with asyncio.TaskGroup() as group:
        for number in range(1, count + 1):
            group.create_task(_keep_node(settings, number, instance, signals), name=f"node-{number}")


async def _keep_node(settings: Settings, number: int, instance: Serving, signals: Signals) -> None:
    while not signals.ending.is_set():
        process = await _start_node(settings, number, instance)
        try:
            await first_of(process.wait(), signals.ending.wait())
            if process.returncode is None:
                await _end_node(process, signals)
                return
        finally:
            if process.returncode is None:
                process.kill()
        log.warning("a node ended by itself; it is started again", node=number, exit_code=process.returncode)
        await first_of(asyncio.sleep(RESTART_WAIT_S), signals.ending.wait())


async def _start_node(settings: Settings, number: int, instance: Serving) -> asyncio.subprocess.Process:
    data = settings.data / f"node-{number}"
    command = ["-P", "-m", "mediafleet.cli", "node", "--scheduler", instance.url, "--data", str(data)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        env=node_environment(settings, instance.token),
        # A session of its own: Ctrl-C reaches a whole foreground group, and nodes are told by us whether to drain.
        start_new_session=True,
        preexec_fn=end_with_parent(signal.SIGINT),
    )


def node_environment(settings: Settings, token: str) -> dict[str, str]:
    """Return the environment of a node: it must run with the settings of its parent, from wherever they came."""
    # It is the user's own machine and often the only one: what else he does there must not keep his jobs waiting.
    node = replace(
        settings.node, headroom=own_headroom(settings.node.headroom), replace_roots=own_replace_roots(settings)
    )
    values = dict(_walk({"node": node, "log": settings.log, "engines": settings.engines}))
    del values[variable_of("node.scheduler")]
    # It is told where its scheduler is, so it calls; and of several only one could listen there. A master has one worker here.
    values |= dict.fromkeys(map(variable_of, ("node.listen", "node.api", "master.url", "master.token")), "")
    texts = {name: _as_variable(value) for name, value in values.items()}
    return {**os.environ, **texts, "MEDIAFLEET_STORE__CELL": settings.store.cell, "MEDIAFLEET_TOKEN": token}


def _walk(components: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the variable and value of each setting in these sections."""
    for section, component in components.items():
        for item in fields(component):
            key, value = f"{section}.{item.name}", getattr(component, item.name)
            if is_dataclass(value):
                yield from _walk({key: value})
            else:
                yield variable_of(key), value


def own_replace_roots(settings: Settings) -> tuple[str, ...]:
    """Return where a node on the machine of `up` may replace originals: as given, or on loopback what may be read."""
    # Off loopback whoever has the token may read below `file_roots`; that he may also write there must be said.
    own = (settings.artifacts.file_roots or ("/",)) if is_loopback(settings.server.host) else ()
    return settings.node.replace_roots or own


def own_headroom(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the headroom of a node on the machine of `up`: as given, and little of what is not."""
    return (
        *given,
        *(f"{name}:{percent}" for name, percent in OWN_MACHINE.items() if name not in parse_headroom(given)),
    )


def _as_variable(value: str | int | tuple[str, ...]) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


async def _end_node(process: asyncio.subprocess.Process, signals: Signals) -> None:
    process.send_signal(signal.SIGINT if signals.interrupted else signal.SIGTERM)
    if not signals.interrupted:
        await first_of(process.wait(), signals.wait_interrupt())
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), NODE_STOP_S)
        except TimeoutError:
            log.warning("a node does not end; it is killed", pid=process.pid)
