"""Knows how many clients are there, for a fleet that ends with its last one.

Whether a client has come and whether the fleet ends is decided here and nowhere else, between two turns of the event loop:
who was let in keeps the fleet, and who comes after the decision is told so before it relies on anything.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from litestar.types import ASGIApp

from mediafleet.domain.errors import FleetEnding
from mediafleet.doors.http.problems import problem_of
from mediafleet.doors.http.security import send_problem

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
        self._was_visited = False
        """Whether a client came since a wait said that nobody is there."""
        self._is_closed = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, as ASGI asks for."""
        if not _is_client(scope):
            await self._application(scope, receive, send)
            return
        if self._is_closed:
            await send_problem(
                problem_of(FleetEnding("This fleet ends; start another once its process is gone.")), send
            )
            return
        self._count(+1)
        try:
            await self._application(scope, receive, send)
        # Also when a command is killed: its connection breaks, and no other goodbye could be relied on.
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._clients += change
        self._was_visited |= change > 0
        (self._came if self._clients else self._left).set()
        (self._left if self._clients else self._came).clear()

    def close(self) -> bool:
        """Refuse clients from now on, unless one has come since a wait below ended; return whether they are refused."""
        if not self._clients and not self._was_visited:
            self._is_closed = True
        return self._is_closed

    def refuse(self) -> None:
        """Refuse clients from now on, whoever is there: the fleet ends in any case."""
        self._is_closed = True

    async def wait_abandoned(self, linger_s: float) -> None:
        """Return once no client has been there for `linger_s` seconds; cancelling is safe.

        It is not decided by that: whoever comes before `close` keeps the fleet.
        """
        while True:
            await self._left.wait()
            try:
                # Not wait_for: on 3.11 it may swallow a cancellation that comes together with the event.
                async with asyncio.timeout(linger_s):
                    await self._came.wait()
            except TimeoutError:
                self._was_visited = False
                return

    async def wait_dismissed(self, dismissal: asyncio.Event, within_s: float) -> None:
        """Return once a dismissal came and nobody was there within so many seconds of it; cancelling is safe.

        A dismissal while another client stays changes nothing, and it is not decided by that either.
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
            self._was_visited = False
            return


def _is_client(scope: Any) -> bool:
    if scope["type"] != "http" or scope["path"].rstrip("/") != CLIENT_ROUTE:
        return False
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get(CLIENT_MARK) == ["1"]
