"""The store's tests run against every server program of this machine: what Lua may do differs between versions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests_support.redis_server import RedisServer

from mediafleet.store import server_binary
from mediafleet.store.server_binary import OLDEST_VERSION, ServerBinary


def _servers() -> list[ServerBinary]:
    found = [
        ServerBinary(path, origin, server_binary._version_of(path) or (0, 0))
        for path, origin in server_binary._candidates()
    ]
    return [server for server in found if server.version >= OLDEST_VERSION]


@pytest.fixture(
    scope="session",
    params=_servers() or [None],
    ids=lambda server: f"{server.path.name}-{server.version[0]}.{server.version[1]}",
)
def redis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One private server of each program, on a unix socket."""
    with RedisServer(tmp_path_factory.mktemp("redis"), request.param) as server:
        yield server
