"""Knows how many clients are there, for a fleet that ends with its last one."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from litestar.types import ASGIApp

CLIENT_ROUTE = "/api/v1/events"
CLIENT_MARK = "client"
"""A client command keeps `GET /api/v1/events?client=1` open as long as it runs."""


class Presence:
    """Counts the event streams of client commands; wraps an application as ASGI middleware."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._clients = 0
        # An Event can only be waited for until it is set, and `wait_abandoned` waits for both turns: hence two.
        self._left = asyncio.Event()
        self._came = asyncio.Event()
        self._left.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, as ASGI asks for."""
        if not _is_client(scope):
            await self._application(scope, receive, send)
            return
        self._count(+1)
        try:
            await self._application(scope, receive, send)
        # Also when a command is killed: its connection breaks, and no other goodbye could be relied on.
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._clients += change
        (self._came if self._clients else self._left).set()
        (self._left if self._clients else self._came).clear()

    async def wait_abandoned(self, linger_s: float) -> None:
        """Return once no client has been there for `linger_s` seconds; cancelling is safe."""
        while True:
            await self._left.wait()
            try:
                # Not wait_for: on 3.11 it may swallow a cancellation that comes together with the event.
                async with asyncio.timeout(linger_s):
                    await self._came.wait()
            except TimeoutError:
                return

    async def wait_dismissed(self, dismissal: asyncio.Event, within_s: float) -> None:
        """Return once a dismissal came and nobody was there within so many seconds of it; cancelling is safe.

        A dismissal while another client stays changes nothing.
        """
        while True:
            await dismissal.wait()
            dismissal.clear()
            try:
                # Its sender has left before, but the end of its connection may be noticed later than its signal.
                async with asyncio.timeout(within_s):
                    await self._left.wait()
            except TimeoutError:
                continue
            return


def _is_client(scope: Any) -> bool:
    if scope["type"] != "http" or scope["path"].rstrip("/") != CLIENT_ROUTE:
        return False
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get(CLIENT_MARK) == ["1"]
