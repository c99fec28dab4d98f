"""Addresses of stores behind Sentinel. How fail-overs go is in `tests/chaos/test_failover.py`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests_support.fleet_process import free_port

from mediafleet.domain.errors import ConfigError, StoreUnavailable
from mediafleet.store import sentinel
from mediafleet.store.connection import connect, translate_errors
from mediafleet.store.sentinel import SentinelAddress, SentinelPool, is_sentinel, parse_sentinels


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+sentinel://a", SentinelAddress((("a", 26379),))),
        ("redis+sentinel://a:1,b:2,c/fleet", SentinelAddress((("a", 1), ("b", 2), ("c", 26379)), "fleet")),
        ("redis+sentinel://a, b/fleet/3", SentinelAddress((("a", 26379), ("b", 26379)), "fleet", 3)),
        ("redis+sentinel://[2001:db8::1]:7/f", SentinelAddress((("2001:db8::1", 7),), "f")),
        ("redis+sentinel://ann:p%40ss%2F@a/f", SentinelAddress((("a", 26379),), "f", 0, "ann", "p@ss/")),
        ("redis+sentinel://:word@a", SentinelAddress((("a", 26379),), password="word")),  # noqa: S106 - a test's
        ("rediss+sentinel://a", SentinelAddress((("a", 26379),), uses_tls=True)),
    ],
)
def test_an_address_names_sentinels_service_database_and_the_stores_credential(
    url: str, expected: SentinelAddress
) -> None:
    assert is_sentinel(url)
    assert parse_sentinels(url) == expected


@pytest.mark.parametrize("url", ["redis://a", "rediss://a:1/0", "unix:///run/redis.sock"])
def test_other_addresses_are_of_the_store_itself(url: str) -> None:
    assert not is_sentinel(url)


@pytest.mark.parametrize(
    "url", ["redis+sentinel://", "redis+sentinel://a,,b/f", "redis+sentinel://a:x/f", "redis+sentinel://a/f/x"]
)
def test_a_malformed_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"redis\+sentinel://host:26379,host:26379/service") as refused:
        connect(url.replace("//", "//:hunter2@"), prefix="test")
    assert "hunter2" not in f"{refused.value} {refused.value.detail}"


async def test_sentinels_that_are_away_are_an_outage_and_no_fault() -> None:
    client: Any = connect(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/fleet", prefix="test")
    with pytest.raises(StoreUnavailable), translate_errors():
        await client.ping()
    await client.aclose()


async def test_a_sentinel_that_is_silent_does_not_hold_up_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts and says nothing, as one whose machine hangs does; the pool asks the other one."""
    monkeypatch.setattr(sentinel, "ASK_TIMEOUT_S", 0.1)
    asked: list[int] = []

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        pool = SentinelPool(parse_sentinels(f"redis+sentinel://127.0.0.1:{port},127.0.0.1:{port}/fleet"))
        with pytest.raises(StoreUnavailable), translate_errors():
            await pool.get_master_address()
        await pool.disconnect()
    assert len(asked) >= 2
