"""How processes that serve begin and end: a scheduler, and everything on one machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop

from mediafleet.app.local_nodes import run_nodes
from mediafleet.app.serving import Serving, remove_record, serving
from mediafleet.app.signals import Signals, first_of, only_if_it_fails
from mediafleet.ops.collector import calm_collector
from mediafleet.ops.dismissal import DISMISS_WITHIN_S

if TYPE_CHECKING:
    from mediafleet.ops.settings import Settings

Tell = Callable[[Serving], None]
"""Called once a scheduler instance serves."""


def run_scheduler(settings: Settings, *, tell: Tell) -> int:
    """Run one scheduler instance until a signal ends it; return the exit code."""
    return uvloop.run(serve_until(settings, _nothing_more, tell=tell))


def run_up(settings: Settings, *, tell: Tell, nodes: int = 1, linger_s: float | None = None) -> int:
    """Run everything on this machine until a signal, or until its last client has left for `linger_s`.

    Returns:
        The exit code.
    """
    return uvloop.run(serve_until(settings, partial(run_nodes, settings, nodes), tell=tell, linger_s=linger_s))


async def serve_until(
    settings: Settings,
    beside: Callable[[Serving, Signals], Coroutine[Any, Any, None]],
    *,
    tell: Tell,
    linger_s: float | None = None,
) -> int:
    """Serve as one scheduler instance, with something beside it, until a signal; return the exit code.

    Args:
        beside: Given the instance and the signals; ends once `Signals.ending` is set.
        linger_s: End by itself this long after the last client has left.
    """
    signals = Signals()
    async with serving(settings, lingers=linger_s is not None) as instance:
        calm_collector()
        print(f"mediafleet serves at {instance.url}", file=sys.stderr)
        tell(instance)
        life = _Life(settings, instance, signals, linger_s)
        await life.work(beside)
        # Decided only now that nothing works any more: what ran may have taken an hour to finish. Whoever came meanwhile
        # has the fleet work again.
        while not life.may_end():
            signals.ending.clear()
            await life.work(beside)
        withdraw(settings, instance)
    return 0


@dataclass(frozen=True)
class _Life:
    """A process that serves, from its first turn to its last one."""

    settings: Settings
    instance: Serving
    signals: Signals
    linger_s: float | None
    """None for one that stays until a signal ends it."""

    async def work(self, beside: Callable[[Serving, Signals], Coroutine[Any, Any, None]]) -> None:
        """Let what serves beside the scheduler work until a signal ends the process or nobody needs it; then end it."""
        endings = [self.signals.wait_first()]
        if self.linger_s is not None:
            endings.append(self.instance.presence.wait_abandoned(self.linger_s))
            endings.append(dismissed(self.settings, self.instance, self.signals))
        work = asyncio.create_task(beside(self.instance, self.signals), name="beside")
        await first_of(*endings, only_if_it_fails(work))
        if self.signals.interrupted:
            withdraw(self.settings, self.instance)
        self.signals.ending.set()
        await work

    def may_end(self) -> bool:
        """Decide whether the process ends now that nothing works beside it: then no client is let in any more."""
        return self.linger_s is None or self.signals.came or self.instance.presence.close()


async def dismissed(settings: Settings, instance: Serving, signals: Signals) -> None:
    """Return once the command that started this fleet has dismissed it; nothing is waited for then.

    Work that others handed in keeps the fleet, and so does a client that comes before this is decided: it ends when it is
    abandoned, as if nobody had dismissed it.
    """
    while True:
        await instance.presence.wait_dismissed(signals.dismissal, DISMISS_WITHIN_S)
        has_work = instance.has_work is not None and await instance.has_work()
        if not has_work and instance.presence.close():
            break
    signals.interrupt()
    # Before anything ends: this is the answer that the command waits for.
    withdraw(settings, instance)


def withdraw(settings: Settings, instance: Serving) -> None:
    """Let no client join any more: who looks finds nothing, and who has found us already is refused."""
    instance.presence.refuse()
    remove_record(settings)


async def _nothing_more(_: Serving, signals: Signals) -> None:
    await signals.ending.wait()
