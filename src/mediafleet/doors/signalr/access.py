"""Before the security shell: what only browsers and SignalR clients do at the hub's address.

A browser cannot set a header on a WebSocket or an event stream, so the token comes in the query; it becomes the header that all
doors check, and is taken out of the query before anything can log it. Pages of other sites may connect if they know the token
(or, where none is asked for, are named in the settings): CORS with credentials, but never with the console's cookie.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from litestar.types import ASGIApp

from mediafleet.ops.settings import ServerSettings, SignalrSettings

HUB_PATH = "/signalrhub"
NEGOTIATE_PATH = f"{HUB_PATH}/negotiate"
TOKEN_FIELD = "access_token"  # noqa: S105 - the name of a field
_PATHS = frozenset({HUB_PATH, NEGOTIATE_PATH})
_METHODS = b"GET, POST, DELETE, OPTIONS"
_USUAL_HEADERS = b"authorization, content-type, x-requested-with, x-signalr-user-agent"
_PREFLIGHT_S = b"600"


class HubAccess:
    """A middleware around the security shell, for the addresses of the hub only."""

    def __init__(self, app: ASGIApp, server: ServerSettings, signalr: SignalrSettings) -> None:
        self._app: Any = app
        self._asks_token = bool(server.token)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in signalr.origins)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, as ASGI asks for."""
        # Letter case does not count in addresses of ASP.NET Core, and clients of the older fleet write it as they like.
        path = scope["path"].rstrip("/").lower() if scope["type"] in {"http", "websocket"} else ""
        if path not in _PATHS:
            await self._app(scope, receive, send)
            return
        token = take_token(scope)
        fields = dict(scope["headers"])
        origin = fields.get(b"origin", b"")
        is_known = _is_foreign(origin, fields.get(b"host", b"")) and self._knows(origin)
        is_preflight = scope["type"] == "http" and scope["method"] == "OPTIONS"
        if is_known and is_preflight and b"access-control-request-method" in fields:
            await _answer_preflight(origin, fields, send)
            return
        headers = _admit(scope["headers"], token, drops_origin=is_known)
        inner = {**scope, "headers": headers, "path": path, "raw_path": path.encode()}
        await self._app(inner, receive, _with_cors(send, origin) if is_known else send)

    def _knows(self, origin: bytes) -> bool:
        return self._asks_token or origin.decode("latin-1").lower() in self._origins


def _is_foreign(origin: bytes, host: bytes) -> bool:
    """Tell whether the page of another site asks; without an origin it is no page."""
    return bool(origin) and origin.lower().partition(b"://")[2] != host.lower()


def take_token(scope: Any) -> str:
    """Take the token out of the query, in place: the server holds the same dictionary, and may log it."""
    query: bytes = scope["query_string"]
    if TOKEN_FIELD.encode() not in query.lower() and b"%" not in query:
        return ""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    scope["query_string"] = urlencode([pair for pair in pairs if pair[0].lower() != TOKEN_FIELD]).encode()
    return next((value for name, value in pairs if name.lower() == TOKEN_FIELD), "")


def _admit(headers: Any, token: str, *, drops_origin: bool) -> list[tuple[bytes, bytes]]:
    dropped = {b"origin", b"cookie"} if drops_origin else set[bytes]()
    admitted = [(name, value) for name, value in headers if name not in dropped]
    if token and not any(name == b"authorization" for name, _ in admitted):
        admitted.append((b"authorization", b"Bearer " + token.encode("utf-8", "replace")))
    return admitted


def _cors(origin: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]


def _with_cors(send: Any, origin: bytes) -> Any:
    async def send_with_cors(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_cors(origin)]}
        await send(message)

    return send_with_cors


async def _answer_preflight(origin: bytes, fields: dict[bytes, bytes], send: Any) -> None:
    headers = [
        *_cors(origin),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", fields.get(b"access-control-request-headers", _USUAL_HEADERS)),
        (b"access-control-max-age", _PREFLIGHT_S),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
