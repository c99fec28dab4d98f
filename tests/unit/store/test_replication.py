"""What `check` says of fail-overs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.redis_server import RedisServer

from mediafleet.store.connection import connect
from mediafleet.store.replication import NOT_TOLD, UNSAFE, find_risk

BEHIND_SENTINEL = "redis+sentinel://a/fleet"


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Any]:
    client: Any = connect(redis_server.url, prefix="test")
    yield client
    await client.config_set("min-replicas-to-write", 0)
    await client.aclose()


async def test_a_server_of_its_own_fails_over_to_nobody(client: Any, redis_server: RedisServer) -> None:
    assert await find_risk(client, redis_server.url) is None


async def test_writes_that_no_replica_confirms_are_a_risk(client: Any) -> None:
    assert await find_risk(client, BEHIND_SENTINEL) == UNSAFE
    await client.config_set("min-replicas-to-write", 1)
    assert await find_risk(client, BEHIND_SENTINEL) == ""


async def test_a_server_that_does_not_tell_its_settings_is_named(tmp_path: Path) -> None:
    with RedisServer(tmp_path, options=("--rename-command", "CONFIG", "")) as server:
        client: Any = connect(server.url, prefix="test")
        assert await find_risk(client, BEHIND_SENTINEL) == NOT_TOLD
        await client.aclose()
