"""WebSockets: text frames for JSON, binary ones for MessagePack, one message a frame; never a ping of their own."""

from __future__ import annotations

import asyncio
from typing import Any

from mediafleet.doors.signalr.answers import refuse_socket
from mediafleet.doors.signalr.connection import Phase
from mediafleet.doors.signalr.lines import SOCKETS, Line, Lines
from mediafleet.doors.signalr.session import Session

CLOSE_WITHIN_S = 5.0
"""How long a client that does not read may hold up its last messages."""
CODE_NORMAL = 1000


async def serve_socket(lines: Lines, word: str, scope: Any, receive: Any, send: Any) -> None:
    """Carry a line over one WebSocket, from its request to its end."""
    await receive()
    if lines.is_full:
        await refuse_socket(scope, send, 503, "No more connections are taken now; come back soon.")
        return
    line = lines.find_for_socket(word)
    if line is None:
        await refuse_socket(scope, send, 404, "No Connection with that ID")
    elif line.session and line.transport != SOCKETS:
        await refuse_socket(scope, send, 400, "Cannot change transports mid-connection")
    elif line.is_carried and not (line.session and line.session.machine.can_resume):
        await refuse_socket(scope, send, 409, "The connection has a WebSocket already")
    else:
        await _Carrier(lines, line, receive, send).run()


class _Carrier:
    """One WebSocket while it carries a line."""

    def __init__(self, lines: Lines, line: Line, receive: Any, send: Any) -> None:
        self._lines, self._line = lines, line
        self._receive, self._send = receive, send
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_over = asyncio.Event()

    async def run(self) -> None:
        self._line.carry(self._let_go)
        session = self._line.session
        if session is None:
            session = self._lines.open(self._line, SOCKETS)
        else:
            # It parted by itself, or the client knows before this side that its old transport is gone.
            if session.machine.phase is Phase.OPEN:
                session.part()
            session.resume()
        try:
            await self._send({"type": "websocket.accept"})
            await self._carry(session)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._line.drop(self._let_go):
                session.part()
                if self._line.is_spent:
                    self._lines.forget(self._line)

    def _let_go(self) -> None:
        # At once and before anything else runs: what the session sends from now on belongs to the next transport.
        for task in self._tasks:
            task.cancel()
        self._is_over.set()

    async def _carry(self, session: Session) -> None:
        reader = asyncio.create_task(self._read(session), name="signalr-reader")
        writer = asyncio.create_task(self._write(session), name="signalr-writer")
        over = asyncio.create_task(self._is_over.wait(), name="signalr-over")
        self._tasks |= {reader, writer, over}
        ended = asyncio.create_task(session.ended(), name="signalr-ended")
        self._tasks.add(ended)
        await asyncio.wait({reader, writer, over, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and not reader.done():
            # A client that does not read gets no more of it than this.
            await asyncio.wait({reader, writer}, timeout=CLOSE_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)

    async def _read(self, session: Session) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                if message.get("code") == CODE_NORMAL:
                    session.leave()
                return
            text: str | None = message.get("text")
            # Not before there is room: a client that calls too much is slowed down by its own connection.
            await session.take(message.get("bytes") or b"" if text is None else text.encode("utf-8", "surrogatepass"))

    async def _write(self, session: Session) -> None:
        while output := await session.output():
            for data in output:
                if session.machine.is_binary:
                    await self._send({"type": "websocket.send", "bytes": data})
                else:
                    await self._send({"type": "websocket.send", "text": data.decode()})
        await self._send({"type": "websocket.close", "code": CODE_NORMAL})
