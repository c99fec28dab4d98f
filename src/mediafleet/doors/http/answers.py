"""Counts the answers of the HTTP routes, those to strangers included, and notes which trace a request is part of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from litestar.datastructures import Headers

from mediafleet.ops import traces

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

CountAnswer = Callable[[str, str, int], None]
"""Takes the pattern of a route, the method, and the status."""
UNROUTED = "other"
"""What no route was found for, or was refused before one was looked for."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class AnswerCounter:
    """A middleware around the whole application."""

    def __init__(self, app: ASGIApp, count: CountAnswer | None) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI asks for."""
        count = self._count
        if count is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The router writes down the pattern where it finds one. A path as it came would be a label of a client's choice,
        # and so would a method.
        known: dict[str, Any] = scope  # pyright: ignore[reportAssignmentType] - typed by key, and the pattern is no key of ASGI's
        method = known["method"] if known["method"] in _METHODS else UNROUTED

        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                count(known.get("path_template") or UNROUTED, method, message["status"])
            await send(message)

        if not traces.is_on():
            await self._app(scope, receive, tell)
            return
        # What is submitted by this request becomes part of the caller's trace.
        token = traces.incoming.set(Headers.from_scope(scope).get("traceparent", ""))
        try:
            await self._app(scope, receive, tell)
        finally:
            traces.incoming.reset(token)
