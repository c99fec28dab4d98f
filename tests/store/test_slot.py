"""A cell in a Redis Cluster: addresses, a slot that moves while work is done, and the death of its master."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import SSLConnection
from redis.crc import key_slot
from redis.exceptions import MovedError
from tests_support.fleet_process import free_port
from tests_support.redis_cluster import ClusterNode, RedisCluster
from tests_support.servers import find_test_servers
from tests_support.store_driver import StoreDriver

from mediafleet.domain.errors import ConfigError, StoreUnavailable
from mediafleet.store import Store, connection
from mediafleet.store.connection import connect
from mediafleet.store.keys import Keys
from mediafleet.store.server_binary import find_server
from mediafleet.store.slot import SlotSslConnection, is_cluster, owner_of, parse_cluster, slot_pool

KEYS = Keys("test", "0")
SLOT = key_slot(KEYS.tag.encode())
NODE = "n0-a-1"
CLUSTERS = [server for server in find_test_servers() if server.is_cluster]
PATIENCE_S = 30


@pytest.fixture(params=CLUSTERS, ids=lambda server: server.id)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisCluster]:
    """Three masters and a replica of the one with the cell."""
    with RedisCluster(tmp_path, request.param.binary, replicas=1) as cluster:
        yield cluster


@pytest.fixture
async def driver(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StoreDriver]:
    monkeypatch.setattr(connection, "SOCKET_TIMEOUT_S", 2.0)
    client = connect(cluster.url, prefix=KEYS.prefix)
    yield StoreDriver(Store(client, KEYS))
    await client.aclose()


# --- addresses -----------------------------------------------------------------------------


def test_address_names_several_servers_and_one_user() -> None:
    servers, settings = parse_cluster("redis+cluster://me:p%40ss@one:1,two,[::1]:3?client_name=x")
    assert servers == [("one", 1), ("two", 6379), ("::1", 3)]
    assert (settings["username"], settings["password"]) == ("me", "p@ss")


@pytest.mark.parametrize("url", ["redis+cluster://", "redis+cluster://host/3", "redis+cluster://host:port"])
def test_malformed_address_of_a_cluster_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="Redis address"):
        connect(url, prefix="test")


def test_encrypted_address_gives_encrypted_connections() -> None:
    url = "rediss+cluster://host:1"
    assert is_cluster(url)
    pool: Any = slot_pool(url, slot=1, max_connections=1, timeout=1)
    assert pool.connection_class is SlotSslConnection
    assert pool.connection_kwargs["route"]._connection is SSLConnection


def test_server_without_a_name_of_its_own_is_the_one_that_was_asked() -> None:
    ranges = [[0, 9, [b"", 7000, b"id"], [b"", 7001, b"id2"]], [10, 19, [b"b", 7002, b"id3"]]]
    assert owner_of(9, ranges, asked=("a", 1)) == ("a", 7000)
    assert owner_of(10, ranges, asked=("a", 1)) == ("b", 7002)
    assert owner_of(20, ranges, asked=("a", 1)) is None


# --- clusters ------------------------------------------------------------------------------


async def test_server_that_is_no_cluster_is_named(tmp_path: Path) -> None:
    server = ClusterNode(tmp_path / "single", find_server())
    try:
        server.start(**{"cluster-enabled": "no"})
        client: Any = connect(f"redis+cluster://127.0.0.1:{server.port}", prefix="test")
        with pytest.raises(ConfigError, match="not part of a Redis Cluster"):
            await Store(client, KEYS).read.ping()
        await client.aclose()
    finally:
        server.kill()


async def test_wrong_password_is_named(tmp_path: Path) -> None:
    server = ClusterNode(tmp_path / "single", find_server())
    try:
        server.start()
        server.call("CONFIG", "SET", "requirepass", "right")
        for credential, sentence in (("", "user name or password"), (":wrong@", "user name or password")):
            client: Any = connect(f"redis+cluster://{credential}127.0.0.1:{server.port}", prefix="test")
            with pytest.raises(ConfigError, match=sentence):
                await Store(client, KEYS).read.ping()
            await client.aclose()
    finally:
        server.kill()


async def test_slot_that_nobody_has_is_a_store_that_is_away(tmp_path: Path) -> None:
    server = ClusterNode(tmp_path / "single", find_server())
    try:
        server.start()
        client: Any = connect(f"redis+cluster://127.0.0.1:{server.port}", prefix="test")
        with pytest.raises(StoreUnavailable):
            await Store(client, KEYS).read.schema_field("version")
        await client.aclose()
    finally:
        server.kill()


async def test_cluster_that_is_away_is_a_store_that_is_away() -> None:
    client: Any = connect(f"redis+cluster://127.0.0.1:{free_port()}", prefix="test")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await Store(client, KEYS).read.ping()
    await client.aclose()


class Load:
    """Submits, places and finishes until told to end, as instances do: what fails is tried again."""

    def __init__(self, driver: StoreDriver) -> None:
        self.driver = driver
        self.submitted: list[str] = []
        self.refused = 0
        self.rounds = 0
        self._stepped = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                await self.round()
                self.rounds += 1
            except StoreUnavailable:
                self.refused += 1
            self._stepped.set()
            # A pause of the shortest kind: others on this loop must have their turn, too.
            await asyncio.sleep(0)

    async def round(self) -> None:
        self.submitted.append(await self.driver.submit_one("noop"))
        for placed in await self.driver.place_all():
            await self.driver.ack(placed)
            await self.driver.finish(placed)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._stepped.clear()
                await self._stepped.wait()


async def test_slot_that_moves_under_load_takes_all_of_its_work_with_it(
    cluster: RedisCluster, driver: StoreDriver
) -> None:
    """While its keys are on two servers nothing runs; then everything goes on, with no job lost and no slot leaked."""
    load = Load(driver)
    await driver.join(NODE, slots=8)
    working = asyncio.create_task(load.run())
    await load.until(lambda: load.rounds > 20)

    source, target = cluster.owner(SLOT), cluster.nodes[0]
    target.call("CLUSTER", "SETSLOT", SLOT, "IMPORTING", source.id)
    source.call("CLUSTER", "SETSLOT", SLOT, "MIGRATING", target.id)
    refused, rounds = load.refused, load.rounds
    await load.until(lambda: load.refused > refused + 3)
    names = source.call("CLUSTER", "GETKEYSINSLOT", SLOT, 100_000)
    for name in names[: len(names) // 2]:
        source.call("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
    refused = load.refused
    await load.until(lambda: load.refused > refused + 3)
    assert load.rounds <= rounds + 1, "a script ran while the cell was in two places"
    for name in source.call("CLUSTER", "GETKEYSINSLOT", SLOT, 100_000):
        source.call("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
    for node in (target, source):
        node.call("CLUSTER", "SETSLOT", SLOT, "NODE", target.id)
    rounds = load.rounds
    await load.until(lambda: load.rounds > rounds + 20)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)

    assert source.call("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 0
    _, total = await driver.store.read.jobs(status=None, offset=0, limit=1)
    assert total >= len(load.submitted)
    known = {view.id for view in (await driver.store.read.jobs(status=None, offset=0, limit=total))[0]}
    assert known >= set(load.submitted)
    await driver.used(f"{NODE}/cpu")


async def test_slot_that_moves_in_one_step_refuses_nothing(cluster: RedisCluster, driver: StoreDriver) -> None:
    source, target = cluster.owner(SLOT), cluster.nodes[0]
    if b"migrateslots" not in b" ".join(source.call("CLUSTER", "HELP")).lower():
        pytest.skip("this server moves slots key by key only")
    load = Load(driver)
    await driver.join(NODE, slots=8)
    working = asyncio.create_task(load.run())
    await load.until(lambda: load.rounds > 20)
    source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT, "NODE", target.id)
    await load.until(lambda: cluster.owner(SLOT) is target)
    rounds = load.rounds
    await load.until(lambda: load.rounds > rounds + 20)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert load.refused == 0
    assert source.call("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_death_of_the_master_is_survived(cluster: RedisCluster, driver: StoreDriver, end: signal.Signals) -> None:
    """Also where its connections stay open and are answered no more."""
    load = Load(driver)
    await driver.join(NODE, slots=8)
    await load.round()
    master = cluster.owner(SLOT)
    # What the replica has not got is lost with its master, in any cluster.
    assert await driver.redis.wait(1, 5000) == 1
    master.signal(end)
    working = asyncio.create_task(load.run())
    await load.until(lambda: load.refused)
    await load.until(lambda: load.rounds > 20)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert cluster.owner(SLOT) is cluster.nodes[-1]
    known = {view.id for view in (await driver.store.read.jobs(status=None, offset=0, limit=500))[0]}
    assert known >= set(load.submitted)
    await driver.used(f"{NODE}/cpu")


async def test_all_of_a_cell_lies_in_one_slot_and_nothing_else_is_asked_for(
    cluster: RedisCluster, driver: StoreDriver
) -> None:
    await driver.join(NODE)
    await Load(driver).round()
    master = cluster.owner(SLOT)
    assert master.call("CLUSTER", "COUNTKEYSINSLOT", SLOT) == master.call("DBSIZE") > 0
    assert not master.call("EXISTS", KEYS.tag), "a script's first key must not exist: see store/slot.py"
    with pytest.raises(MovedError):
        await driver.redis.get(Keys("test", "b").schema)
