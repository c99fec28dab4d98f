"""What ends a process: signals, dismissal, and whatever comes first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from mediafleet.ops.dismissal import DISMISSAL


class Signals:
    """SIGTERM, SIGINT and the dismissal of this process, as events of its loop."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        """The process is on its way out."""
        self._first = asyncio.Event()
        self._second = asyncio.Event()
        self.interrupted = False
        """SIGINT came, or a second signal: do not wait for running work."""
        self.dismissal = asyncio.Event()
        """The command that started this process does not need it any more."""
        loop = asyncio.get_running_loop()
        for sent in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sent, self._note, sent)
        loop.add_signal_handler(DISMISSAL, self.dismissal.set)

    def _note(self, sent: signal.Signals) -> None:
        if sent is signal.SIGINT or self._first.is_set():
            self.interrupt()
        self._first.set()

    @property
    def came(self) -> bool:
        """Whether somebody asked this process to end."""
        return self._first.is_set()

    def interrupt(self) -> None:
        """Let nothing wait for running work any more."""
        self.interrupted = True
        self._second.set()

    async def wait_first(self) -> None:
        """Wait for the first signal."""
        await self._first.wait()

    async def wait_interrupt(self) -> None:
        """Wait for SIGINT or a second signal."""
        await self._second.wait()


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when the first has ended, raise what it raised, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


async def only_if_it_fails(work: asyncio.Task[None]) -> None:
    """Wait for work without ending it when the wait is cancelled; raise what it raises."""
    # Shielded, because whichever wait ends first cancels the others, and the nodes must be ended in their own way.
    await asyncio.shield(work)
