"""`/signalrhub`: negotiation, and the transports by which a connection goes on.

Statuses and sentences are those of ASP.NET Core (TransportProtocols.md), which clients act upon. Who may come in was
decided before: `access` and the security shell.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec
from litestar import asgi

from mediafleet.doors.signalr import polling, server_sent, sockets
from mediafleet.doors.signalr.access import HUB_PATH, NEGOTIATE_PATH
from mediafleet.doors.signalr.answers import JSON, answer
from mediafleet.doors.signalr.hub import Hub
from mediafleet.doors.signalr.lines import EVENTS, POLLING, SOCKETS, Line, Lines
from mediafleet.ops.settings import SignalrSettings

NEWEST_NEGOTIATION = 1
TRANSPORTS = [
    {"transport": SOCKETS, "transferFormats": ["Text", "Binary"]},
    {"transport": EVENTS, "transferFormats": ["Text"]},
    {"transport": POLLING, "transferFormats": ["Text", "Binary"]},
]


class SignalrDoor:
    """The hub of this instance; one for a server."""

    def __init__(self, hub: Hub, settings: SignalrSettings | None = None) -> None:
        self.settings = settings or SignalrSettings()
        self._lines = Lines(hub, self.settings)

    def handlers(self) -> list[asgi]:
        """Return the routes for Litestar."""
        return [asgi(HUB_PATH, copy_scope=False)(self._entry), asgi(NEGOTIATE_PATH, copy_scope=False)(self._negotiate)]

    def stop(self) -> None:
        """End every connection because the server goes away; clients come back by themselves."""
        self._lines.stop()

    async def end(self) -> None:
        """Wait a little for calls that run; for the server's very end."""
        await self._lines.end()

    async def _entry(self, scope: Any, receive: Any, send: Any) -> None:
        word = _query(scope).get("id", "")
        if scope["type"] == "websocket":
            await sockets.serve_socket(self._lines, word, scope, receive, send)
            return
        if not word:
            await answer(send, 400, b"Connection ID required")
            return
        line = self._lines.find(word)
        if line is None:
            await answer(send, 404, b"No Connection with that ID")
            return
        await self._serve(line, scope, receive, send)

    async def _serve(self, line: Line, scope: Any, receive: Any, send: Any) -> None:
        if line.transport == SOCKETS:
            status = 405 if scope["method"] == "POST" else 400
            await answer(send, status, b"This connection is carried by a WebSocket")
            return
        match scope["method"]:
            case "GET" if _accepts_events(scope):
                await server_sent.serve_events(self._lines, line, receive, send)
            case "GET":
                await polling.serve_poll(self._lines, line, receive, send)
            case "POST":
                await _take_body(self._lines, line, receive, send)
            case "DELETE":
                await _delete(line, send)
            case _:
                await answer(send, 405, b"GET, POST and DELETE are possible here")

    async def _negotiate(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
            return
        if scope["method"] != "POST":
            await answer(send, 405, b"Negotiation is a POST")
            return
        if self._lines.is_full:
            await answer(send, 503, b"No more connections are taken now; come back soon.")
            return
        await answer(send, 200, msgspec.json.encode(self._agree(_query(scope))), media_type=JSON)

    def _agree(self, query: dict[str, str]) -> dict[str, Any]:
        asked = query.get("negotiateVersion", "0")
        if not asked.isascii() or not asked.isdigit():
            # Clients read an error from an answer that is none by its status.
            return {"error": f"The client requested an invalid protocol version '{asked[:20]}'"}
        version = min(int(asked[:9]), NEWEST_NEGOTIATION)
        is_stateful = version > 0 and query.get("useStatefulReconnect", "").lower() == "true"
        line = self._lines.negotiate(version, is_stateful=is_stateful)
        agreed: dict[str, Any] = {"negotiateVersion": version, "connectionId": line.connection_id}
        if version:
            agreed["connectionToken"] = line.word
        if is_stateful:
            agreed["useStatefulReconnect"] = True
        return agreed | {"availableTransports": TRANSPORTS}


async def _take_body(lines: Lines, line: Line, receive: Any, send: Any) -> None:
    # A client in use says hello before it asks for the answer.
    session = line.session or lines.open(line)
    async with line.posting:
        more = is_wanted = True
        while more and is_wanted:
            message = await receive()
            if message["type"] == "http.disconnect":
                # Half a message has come: what the next request brings cannot be told from the rest of it.
                session.close("A request ended before its body did.", allow_reconnect=True)
                return
            body: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            is_wanted = not body or await session.take(body)
    if more:
        await answer(send, 404, b"No Connection with that ID")
    else:
        await answer(send, 200)


async def _delete(line: Line, send: Any) -> None:
    if line.transport != POLLING or line.session is None:
        await answer(send, 400, b"Only long polling ends with a DELETE")
        return
    line.session.part()
    await answer(send, 202)


def _query(scope: Any) -> dict[str, str]:
    pairs = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return {name: values[0] for name, values in pairs.items()}


def _accepts_events(scope: Any) -> bool:
    return any(name == b"accept" and server_sent.EVENT_STREAM in value.lower() for name, value in scope["headers"])
