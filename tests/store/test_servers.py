"""Which servers the conformance suite, that is the tests beside this one, runs on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests_support.servers import VARIABLE, find_test_servers, missing_servers

from mediafleet.store.server_binary import find_server

PROMISED = ("Redis 6.2", "Redis 7", "Redis 8 or newer", "Valkey")


@pytest.mark.parametrize("line", PROMISED)
def test_store_is_tested_on(line: str) -> None:
    """Skipped, and so named at the end of a run, where there is no such server on this machine."""
    if why := missing_servers(find_test_servers()).get(line):
        pytest.skip(f"no {line}: {why}")


def test_all_is_missing_where_nothing_is_found() -> None:
    assert tuple(missing_servers([])) == PROMISED


def test_newest_server_of_each_name_is_tested_as_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also one that only the variable names; each name and version once."""
    given = tmp_path / "valkey-server"
    shutil.copy(find_server().path, given)
    monkeypatch.setenv(VARIABLE, f"{given}:{given}:{tmp_path}/none")
    found = find_test_servers()
    ids = [server.id for server in found]
    assert len(set(ids)) == len(ids)
    assert "valkey" in {server.name for server in found if not server.is_cluster}
    clusters = [server for server in found if server.is_cluster]
    assert len({server.name for server in clusters}) == len(clusters)
    for cluster in clusters:
        singles = [one.binary.version for one in found if one.name == cluster.name and not one.is_cluster]
        assert cluster.binary.version == max(singles)
