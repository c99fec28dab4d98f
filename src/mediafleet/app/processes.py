"""How processes that serve begin and end: a scheduler, and everything on one machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop

from mediafleet.app.local_nodes import run_nodes
from mediafleet.app.serving import Serving, record_path, serving
from mediafleet.app.signals import Signals, first_of, only_if_it_fails
from mediafleet.ops.collector import calm_collector
from mediafleet.ops.dismissal import DISMISS_WITHIN_S

if TYPE_CHECKING:
    from mediafleet.ops.settings import Settings

Tell = Callable[[Serving], None]
"""Called once a scheduler instance serves."""


def run_scheduler(settings: Settings, *, tell: Tell) -> int:
    """Run one scheduler instance until a signal ends it; return the exit code."""
    return uvloop.run(_serve_until(settings, _nothing_more, tell=tell))


def run_up(settings: Settings, *, tell: Tell, nodes: int = 1, linger_s: float | None = None) -> int:
    """Run everything on this machine until a signal, or until its last client has left for `linger_s`.

    Returns:
        The exit code.
    """
    return uvloop.run(_serve_until(settings, partial(run_nodes, settings, nodes), tell=tell, linger_s=linger_s))


async def _serve_until(
    settings: Settings,
    beside: Callable[[Serving, Signals], Coroutine[Any, Any, None]],
    *,
    tell: Tell,
    linger_s: float | None = None,
) -> int:
    signals = Signals()
    async with serving(settings, lingers=linger_s is not None) as instance:
        calm_collector()
        print(f"mediafleet serves at {instance.url}", file=sys.stderr)
        tell(instance)
        endings = [signals.wait_first()]
        if linger_s is not None:
            endings.append(instance.presence.wait_abandoned(linger_s))
            endings.append(dismissed(settings, instance, signals))
        work = asyncio.create_task(beside(instance, signals), name="beside")
        await first_of(*endings, only_if_it_fails(work))
        signals.ending.set()
        await work
    return 0


async def dismissed(settings: Settings, instance: Serving, signals: Signals) -> None:
    """Return once the command that started this fleet has dismissed it; nothing is waited for then.

    Work that others handed in keeps the fleet: it ends when it is abandoned, as if nobody had dismissed it.
    """
    while True:
        await instance.presence.wait_dismissed(signals.dismissal, DISMISS_WITHIN_S)
        if instance.has_work is None or not await instance.has_work():
            break
    signals.interrupt()
    # Removed before anything ends: this is the answer that the command waits for, and none may join us any more.
    record_path(settings).unlink(missing_ok=True)


async def _nothing_more(_: Serving, signals: Signals) -> None:
    await signals.ending.wait()
