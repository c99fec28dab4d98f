"""Long polling: a request waits until there is something to send; what the client sends comes by POST."""

from __future__ import annotations

import asyncio
from typing import Any

from mediafleet.doors.signalr.answers import BYTES, answer
from mediafleet.doors.signalr.lines import POLLING, Line, Lines
from mediafleet.doors.signalr.session import Session

POLL_S = 90.0
"""How long a poll waits; proxies and the official clients give up after 100 s."""


async def serve_poll(lines: Lines, line: Line, receive: Any, send: Any) -> None:
    """Answer one poll: 200 with what there is, 200 with nothing to poll again, 204 if the connection is over."""
    if line.transport and line.transport != POLLING:
        await answer(send, 400, b"Cannot change transports mid-connection")
        return
    if line.session is None:
        lines.open(line, POLLING)
        # The client says hello only after an answer.
        await answer(send, 200)
        return
    line.transport = POLLING
    if await _Poll(line, line.session).run(receive, send):
        lines.forget(line)


class _Poll:
    """One request that waits."""

    def __init__(self, line: Line, session: Session) -> None:
        self._line, self._session = line, session
        self._is_replaced = asyncio.Event()

    async def run(self, receive: Any, send: Any) -> bool:
        """Wait and answer; True if the client now knows that the connection is over."""
        self._line.carry(self._is_replaced.set)
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._session.has_news(), name="signalr-poll"),
            asyncio.create_task(self._is_replaced.wait(), name="signalr-replaced"),
            asyncio.create_task(_wait_gone(receive), name="signalr-gone"),
        ]
        try:
            await asyncio.wait(waits, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            is_gone = waits[2].done()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            self._line.drop(self._is_replaced.set)
        return not is_gone and await self._answer(send)

    async def _answer(self, send: Any) -> bool:
        if self._is_replaced.is_set():
            await answer(send, 204)
            return False
        # Taken at the last moment: what a poll that nobody waits for took would be lost.
        # One message an answer: a client in use reads the first and keeps the rest until the next answer.
        if message := self._session.machine.take_one():
            await answer(send, 200, message, media_type=BYTES)
            return False
        await answer(send, 204 if self._session.is_over else 200)
        return self._session.is_over


async def _wait_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
