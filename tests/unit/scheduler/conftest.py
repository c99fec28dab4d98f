"""Parts of an instance on the store that every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cells_of_a_fleet import Cells
from redis.asyncio import Redis
from running_instances import Instances
from scheduler_parts import Parts
from tests_support.redis_cluster import RedisCluster
from tests_support.redis_server import RedisServer

from mediafleet.scheduler import courier, events, loops
from mediafleet.store import Store


@pytest.fixture
def parts(store: Store, tmp_path: Path) -> Parts:
    """One instance's parts, whose only kind is `noop`."""
    return Parts(store, tmp_path / "blobs")


@pytest.fixture
def instances(redis: Redis, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instances:
    """Whole instances on the store."""
    monkeypatch.setattr(events, "BLOCK_MS", 20)
    monkeypatch.setattr(courier, "BLOCK_MS", 20)
    monkeypatch.setattr(loops, "CANCEL_AGAIN_S", 0.02)
    # Its own clock and not virtual time: the loops of an instance go by the server's.
    return Instances(tmp_path, Store(redis, store.keys))


@pytest.fixture(scope="module", params=["one server", "cluster"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a store."""
    kind = RedisCluster if request.param == "cluster" else RedisServer
    with kind(tmp_path_factory.mktemp("redis")) as running:
        yield running.url


@pytest.fixture
def cells(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cells:
    for module in (events, courier):
        monkeypatch.setattr(module, "BLOCK_MS", 20)
    monkeypatch.setattr(loops, "CANCEL_AGAIN_S", 0.02)
    return Cells(server, tmp_path)
