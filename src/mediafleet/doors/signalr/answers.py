"""Short answers of the hub's address: statuses count for clients, the sentence is for whoever looks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mediafleet.doors.closing import shorten_reason

TEXT = b"text/plain; charset=utf-8"
BYTES = b"application/octet-stream"
JSON = b"application/json"
NO_CACHE = ((b"cache-control", b"no-cache, no-store"), (b"pragma", b"no-cache"))


async def answer(send: Any, status: int, body: bytes = b"", *, media_type: bytes = TEXT) -> None:
    """Send a whole answer."""
    await begin(send, status, media_type, extra=[(b"content-length", str(len(body)).encode())])
    await send({"type": "http.response.body", "body": body})


async def begin(send: Any, status: int, media_type: bytes, *, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send the head of an answer."""
    headers = [(b"content-type", media_type), *NO_CACHE, *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def refuse_socket(scope: Any, send: Any, status: int, sentence: str) -> None:
    """Refuse a WebSocket before its handshake ends, with a status where the server can say one."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 4000 + status, "reason": shorten_reason(sentence)})
        return
    body = sentence.encode()
    headers = [(b"content-type", TEXT), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
