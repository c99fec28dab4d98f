"""A fake scheduler and a client that is connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
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
