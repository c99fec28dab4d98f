"""Finds links whose node says nothing any more though its socket looks open: its cable was pulled, or its power."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mediafleet.doors.arrivals import Arrivals

LOOKS_PER_HEARTBEAT = 2
SILENT_LOOKS = 4
"""In a row, and the link is over: 2 to 2.5 heartbeats, so that live work is elsewhere before three have passed."""
LEAST_BYTES = 512
"""Of a frame that is on its way, between two looks; less is the pings and pongs of a library, whose node may hang."""


class Silence:
    """Counts looks at which nothing had come; one for a link.

    Looks and not time: what comes while the process of this scheduler stands still is there when it goes on, and must be
    read before its senders are taken for gone. Bytes count as well as frames: a large one may take many heartbeats to come,
    and the heartbeats are behind it.
    """

    def __init__(self, arrivals: Arrivals | None = None, *, on_arriving: Callable[[], None] = lambda: None) -> None:
        """Begin with nothing heard.

        Args:
            arrivals: The bytes that come over the link.
            on_arriving: Told at each look by which a part of a frame, but no whole one, has come.
        """
        self.found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the link is over."""
        self.heard = True
        """Set with each frame."""
        self.busy = False
        """Set while a frame is handled: those behind it are not read, whatever comes."""
        self._arrivals = arrivals or Arrivals()
        self._on_arriving = on_arriving
        self._seen_bytes = 0
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
        is_arriving = self._arrivals.bytes - self._seen_bytes >= LEAST_BYTES
        self._seen_bytes = self._arrivals.bytes
        self._silent = 0 if self.heard or self.busy or is_arriving else self._silent + 1
        if is_arriving and not self.heard:
            self._on_arriving()
        self.heard = False
        if self._silent < SILENT_LOOKS:
            self._arm()
        elif not self.found.done():
            self.found.set_result(None)
