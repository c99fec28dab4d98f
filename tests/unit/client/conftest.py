"""A fake scheduler and a client that is connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from raw_server import RawServer
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.client import FleetClient


@pytest.fixture
def scheduler() -> Iterator[FakeScheduler]:
    with FakeScheduler() as running:
        yield running


@pytest.fixture
async def client(scheduler: FakeScheduler) -> AsyncIterator[FleetClient]:
    async with FleetClient(scheduler.url) as connected:
        yield connected


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Any web server, or none."""
    raw = RawServer()
    async with await asyncio.start_server(raw, "127.0.0.1", 0) as listener:
        raw.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield raw
