"""Parts of an instance on the store that every test may use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cells_of_a_fleet import Cells
from redis.asyncio import Redis
from running_instances import Instances
from scheduler_parts import Parts
from tests_support.redis_cluster import RedisCluster
from tests_support.redis_server import RedisServer

from mediafleet.scheduler import courier, events, loops, membership
from mediafleet.scheduler.events import EventHub
from mediafleet.scheduler.service import Scheduler
from mediafleet.store import Store


@pytest.fixture
def parts(store: Store, tmp_path: Path) -> Parts:
    """One instance's parts, whose only kind is `noop`."""
    return Parts(store, tmp_path / "blobs")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops that look often; an instance is missed as late as ever, since a busy machine may let it stand still."""
    for module in (events, courier):
        monkeypatch.setattr(module, "BLOCK_MS", 20)
    monkeypatch.setattr(loops, "CANCEL_AGAIN_S", 0.02)
    monkeypatch.setattr(membership, "PRESENCE_TICKS", 250)


@pytest.fixture
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of the stream that is under way at the end of a test must not hold it up."""
    monkeypatch.setattr(events, "BLOCK_MS", 20)


@pytest.fixture
async def hub(parts: Parts, short_reads: None) -> AsyncIterator[EventHub]:
    """A hub whose loop runs, as it does in an instance."""
    hub = EventHub(parts.store)
    loop = asyncio.create_task(loops.keep_going("events", hub.step))
    yield hub
    await loops.end_loops([loop])


@pytest.fixture
def instances(redis: Redis, store: Store, tmp_path: Path, short_waits: None) -> Instances:
    """Whole instances on the store."""
    # Its own clock and not virtual time: the loops of an instance go by the server's.
    return Instances(tmp_path, Store(redis, store.keys))


@pytest.fixture
async def fleet(instances: Instances) -> AsyncIterator[Scheduler]:
    """One whole instance, at work."""
    async with instances.run() as scheduler:
        yield scheduler


@pytest.fixture(scope="module", params=["one server", "cluster"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a store."""
    kind = RedisCluster if request.param == "cluster" else RedisServer
    with kind(tmp_path_factory.mktemp("redis")) as running:
        yield running.url


@pytest.fixture
def cells(server: str, tmp_path: Path, short_waits: None) -> Cells:
    """Instances of a fleet of two cells."""
    return Cells(server, tmp_path)
