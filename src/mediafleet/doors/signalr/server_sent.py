"""Server-Sent Events: what is sent, as a stream of events; what the client sends comes by POST."""

from __future__ import annotations

import asyncio
from typing import Any

from mediafleet.doors.signalr.answers import answer, begin
from mediafleet.doors.signalr.lines import EVENTS, Line, Lines
from mediafleet.doors.signalr.session import Session

EVENT_STREAM = b"text/event-stream"


async def serve_events(lines: Lines, line: Line, receive: Any, send: Any) -> None:
    """Carry a line over one stream of events, until one side ends it."""
    if line.transport:
        await answer(send, 409, b"The connection has a transport already")
        return
    session = line.session or lines.open(line)
    line.transport = EVENTS
    session.machine.is_text_only = True
    tasks = {
        asyncio.create_task(_wait_gone(receive), name="signalr-gone"),
        asyncio.create_task(_write(session, send), name="signalr-events"),
    }

    def let_go() -> None:
        """Nobody can take this over: a second stream is refused."""

    line.carry(let_go)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        line.drop(let_go)
        session.part()


async def _write(session: Session, send: Any) -> None:
    await begin(send, 200, EVENT_STREAM, extra=[(b"content-encoding", b"identity"), (b"x-accel-buffering", b"no")])
    # An empty piece sends the head: clients wait for it before they say anything.
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    while output := await session.output():
        # JSON has no raw line break, so each message is one line.
        body = b"".join(b"data: %s\r\n\r\n" % data for data in output)
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _wait_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
