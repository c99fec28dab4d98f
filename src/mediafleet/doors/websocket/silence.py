"""Finds links whose node says nothing any more though its socket looks open: its cable was pulled, or its power."""

from __future__ import annotations

import asyncio

LOOKS_PER_HEARTBEAT = 2
SILENT_LOOKS = 4
"""In a row, and the link is over: 2 to 2.5 heartbeats, so that live work is elsewhere before three have passed."""


class Silence:
    """Counts looks at which nothing had come; one for a link.

    Looks and not time: what comes while the process of this scheduler stands still is there when it goes on, and must be
    read before its senders are taken for gone.
    """

    def __init__(self) -> None:
        self.found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the link is over."""
        self.heard = True
        """Set with each frame."""
        self.busy = False
        """Set while a frame is handled: those behind it are not read, whatever comes."""
        self._silent = 0
        self._every_s = 0.0
        self._next: asyncio.TimerHandle | None = None

    def watch(self, heartbeat_ms: int) -> None:
        """Begin to look: from now on the node is to send a frame each heartbeat."""
        self._every_s = heartbeat_ms / 1000 / LOOKS_PER_HEARTBEAT
        self._arm()

    def end(self) -> None:
        """Look no more."""
        if self._next:
            self._next.cancel()

    def _arm(self) -> None:
        # A timer and not a task: thousands of links are idle most of the time.
        self._next = asyncio.get_running_loop().call_later(self._every_s, self._look)

    def _look(self) -> None:
        self._silent = 0 if self.heard or self.busy else self._silent + 1
        self.heard = False
        if self._silent < SILENT_LOOKS:
            self._arm()
        elif not self.found.done():
            self.found.set_result(None)
