"""The credential: when it is asked for, how it is made once, how it is compared."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from mediafleet.domain.errors import ConfigError
from mediafleet.ops.auth import is_loopback, load_or_make_token, needs_token, tokens_equal
from mediafleet.ops.settings import ServerSettings


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)
    assert not needs_token(ServerSettings(host=host))


@pytest.mark.parametrize("host", ["::", "", "192.168.1.2", "::ffff:10.0.0.1", "localhost.example", "1270.0.1"])
def test_everything_else_needs_a_token(host: str) -> None:
    assert not is_loopback(host)
    assert needs_token(ServerSettings(host=host))


def test_a_token_that_was_set_counts_on_loopback_too() -> None:
    assert needs_token(ServerSettings(token="t" * 16))


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    token = load_or_make_token(tmp_path / "new" / "data")
    assert len(token) >= 40
    assert load_or_make_token(tmp_path / "new" / "data") == token
    assert stat.S_IMODE((tmp_path / "new/data/token").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new/data").iterdir()] == ["token"]


def test_two_data_directories_have_two_tokens(tmp_path: Path) -> None:
    assert load_or_make_token(tmp_path / "a") != load_or_make_token(tmp_path / "b")


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 20, encoding="ascii")
    (tmp_path / "token").chmod(0o644)
    assert load_or_make_token(tmp_path) == "t" * 20
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_all_that_start_at_once_get_the_same_token(tmp_path: Path) -> None:
    starters = 8
    barrier = Barrier(starters)

    def start(_: int) -> str:
        barrier.wait(timeout=30)
        return load_or_make_token(tmp_path)

    with ThreadPoolExecutor(starters) as pool:
        assert len(set(pool.map(start, range(starters)))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("content", [b"", b"short\n"])
def test_a_file_without_a_token_is_refused_with_the_cure(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match="holds no token; remove it"):
        load_or_make_token(tmp_path)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(ConfigError, match="token cannot be used"):
        load_or_make_token(tmp_path)


def test_tokens_are_equal_only_if_every_character_is() -> None:
    assert tokens_equal("abc", "abc")
    assert not tokens_equal("abc", "abd")
    assert not tokens_equal("ab", "abc")
    assert not tokens_equal("é", "e")


def test_an_empty_token_opens_nothing() -> None:
    assert not tokens_equal("", "")
