"""One open link to a node, whatever carries it: frames go into a bounded queue, one writer sends them in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from mediafleet.domain.frames import Registered, SchedulerFrame, encode_frame
from mediafleet.doors.closing import shorten_reason

MOST_QUEUED_FRAMES = 1_000
"""A node that is this far behind does not read; it does better with a new link."""
CODE_SLOW = 4408
CODE_GOING_AWAY = 1001

Send = Callable[[Any], Awaitable[None]]


class SocketLink:
    """A node's WebSocket as the scheduler sees it; owned by the connection's own task, which runs `write`."""

    def __init__(self, send: Send, *, kind: str = "websocket") -> None:
        self.node = ""
        self.lease_ms = 0
        self.kind = kind
        self._send = send
        self._queue: deque[str] = deque()
        self._wake = asyncio.Event()
        self._greeted = False
        self._closing: tuple[int, str] | None = None

    def greet(self, frame: Registered) -> None:
        """Put the answer to `register` before all that was queued while it was made, and let frames out."""
        self._queue.appendleft(encode_frame(frame).decode())
        self._greeted = True
        self._wake.set()

    def send(self, frame: SchedulerFrame) -> bool:
        """Queue a frame without waiting; False if the link is closed or its node is too slow, which closes it."""
        if self._closing:
            return False
        # Never waits for room: one placing sends to many nodes, and the slowest must not hold up the others.
        if len(self._queue) >= MOST_QUEUED_FRAMES:
            self.close(CODE_SLOW, f"The node does not read: {MOST_QUEUED_FRAMES} frames wait for it.")
            return False
        self._queue.append(encode_frame(frame).decode())
        self._wake.set()
        return True

    def close(self, code: int, reason: str) -> None:
        """Close soon; what waits is sent before, unless the node was too slow for it or never registered."""
        if self._closing is None:
            self._closing = (code, shorten_reason(reason))
            if code == CODE_SLOW or not self._greeted:
                self._queue.clear()
            self._wake.set()

    async def write(self) -> None:
        """Send what is queued, in order, until the link is closed; then send the close frame."""
        while True:
            # `registered` must come first, and work may be placed on a node while that answer is being made.
            while self._queue and self._greeted:
                await self._send({"type": "websocket.send", "text": self._queue.popleft()})
            if self._closing:
                code, reason = self._closing
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
                return
            # No await stands between the look at the queue and this line, so no frame can come in unseen between them.
            self._wake.clear()
            await self._wake.wait()
