"""A node that needs no scheduler elsewhere: it brings one along, for the work of a master and of its own HTTP API."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from mediafleet.app.local_nodes import run_nodes
from mediafleet.app.processes import serve_until
from mediafleet.doors.foreign.node_api import standing_alone

if TYPE_CHECKING:
    from mediafleet.app.serving import Serving
    from mediafleet.app.signals import Signals
    from mediafleet.ops.settings import Settings


def run_alone(settings: Settings) -> int:
    """Run a private fleet of one node, its API and its master's work until a signal ends it; return the exit code."""
    return uvloop.run(serve_until(private(settings), partial(_work, settings), tell=lambda _: None))


def private(settings: Settings) -> Settings:
    """Return the settings of a fleet that only this machine knows: its own store, and a free port of loopback."""
    store = replace(settings.store, redis_url="", cells=1)
    return replace(settings, store=store, server=replace(settings.server, host="127.0.0.1", port=0))


async def _work(settings: Settings, instance: Serving, signals: Signals) -> None:
    async with standing_alone(settings, instance.url, instance.token) as url:
        print(f"mediafleet node answers at {url}", file=sys.stderr)
        await run_nodes(private(settings), 1, instance, signals)
