"""A served application over an in-memory fleet, for all tests of the doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from fake_fleet import CREATED_MS, FakeFleet

from mediafleet.console import console_handlers
from mediafleet.doors.http.application import Extras, build_application
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.http.sse import StreamEnd
from mediafleet.ops.settings import ServerSettings


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


@pytest.fixture
def settings() -> ServerSettings:
    """Overridden by modules that need a token."""
    return ServerSettings()


@pytest.fixture
async def server(fleet: FakeFleet, settings: ServerSettings) -> AsyncIterator[HttpServer]:
    extras = Extras(end=StreamEnd(asyncio.Event(), keepalive_s=0.05))
    async with HttpServer(build_application(fleet, settings, extras), host="127.0.0.1", port=0) as running:
        yield running


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


class FixedClock:
    """Five minutes after the fake fleet's jobs were made."""

    def now_ms(self) -> int:
        return CREATED_MS + 300_000

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
async def console(fleet: FakeFleet, settings: ServerSettings) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the application with the console in it."""
    extras = Extras(handlers=console_handlers(settings, FixedClock()))
    async with (
        HttpServer(build_application(fleet, settings, extras), host="127.0.0.1", port=0) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        yield session
