"""Fixtures that every part of the suite may use: a private real Redis, a store with virtual time."""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings
from redis.asyncio import Redis
from tests_support.redis_server import RedisServer
from tests_support.virtual_time import VirtualTime

from mediafleet.store import Store
from mediafleet.store.connection import connect
from mediafleet.store.keys import Keys

MEDIA = Path(__file__).parents[2] / "shared" / "media"
_prefixes = itertools.count()

# How long an example takes depends on what else the machine does; no test judges time.
settings.register_profile("mediafleet", deadline=None)
settings.load_profile("mediafleet")


@pytest.fixture(autouse=True)
def unchanged_logs() -> Iterator[None]:
    """Logging as the test found it: a handler left behind would write to a stream that is closed by then."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One private server for the test process, on a unix socket."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client of the private server."""
    client = connect(redis_server.url, prefix="test")
    yield client
    await client.aclose()


@pytest.fixture
def virtual_time() -> VirtualTime:
    """Time that the store's scripts go by."""
    return VirtualTime()


@pytest.fixture
async def store(redis: Redis, virtual_time: VirtualTime) -> AsyncIterator[Store]:
    """An empty store under a prefix of its own, on virtual time; checked and emptied afterwards."""
    store = Store(redis, Keys(f"test{next(_prefixes)}", "0"), now=virtual_time)
    await store.check_schema()
    yield store
    client: Any = redis
    keys = [key async for key in client.scan_iter(match=f"{store.keys.prefix}:*")]
    if keys:
        await client.delete(*keys)


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of real test media beside the checkout; skips where it does not exist."""
    if not (MEDIA / "video").is_dir():
        pytest.skip(f"no shared test media at {MEDIA.name}/ beside the checkout")
    return MEDIA
