"""What only a leader may do is refused to everybody else, and to a leader that slept through its lease."""

from __future__ import annotations

from typing import Any

import pytest
from tests_support.store_driver import StoreDriver, announce

from mediafleet.domain.rules import FleetRules, Lead
from mediafleet.store import Store
from mediafleet.store.store import MAX_HOPS, PIECE

NODE = "n0-a-1"
RETENTION_MS = 60_000
DEAD = "i-dead"


async def bury_all(store: Store, lead: Lead, dead: str = DEAD) -> int:
    """Bury an instance; return how many calls that took."""
    calls = 0
    while True:
        buried = await store.bury(dead, lead)
        assert buried.accepted
        calls += 1
        if buried.done:
            return calls


async def everything(driver: StoreDriver) -> dict[str, bytes]:
    """Return all keys of the cell, streams and what was read of them included."""
    client: Any = driver.redis
    return {name: await client.dump(name) for name in await driver.key_names()}


async def put(store: Store, instance: str, *bodies: str, node: str = NODE, **fields: Any) -> None:
    client: Any = store.redis
    for body in bodies:
        await client.xadd(store.keys.inbox(instance), {"node": node, "frame": body, "hops": 0, **fields})


async def read(store: Store, instance: str) -> list[dict[str, str]]:
    client: Any = store.redis
    found: Any = await client.xrange(store.keys.inbox(instance))
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in found]


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    return StoreDriver(store)


@pytest.fixture
async def lead(driver: StoreDriver) -> Lead:
    """`i-1` leads; the instance of the node has died and left two messages, one of which it had begun with."""
    member = await announce(driver.store, "i-1")
    await announce(driver.store, DEAD)
    await driver.join(NODE)
    client: Any = driver.redis
    await client.hset(driver.store.keys.node(NODE), "instance", DEAD)
    await client.xgroup_create(driver.store.keys.inbox(DEAD), "owners", id="0", mkstream=True)
    await put(driver.store, DEAD, "first", "second")
    await client.xreadgroup("owners", DEAD, {driver.store.keys.inbox(DEAD): ">"}, count=1)
    await driver.store.retire(DEAD)
    return Lead("i-1", member.epoch)


@pytest.mark.parametrize("since", ["nobody was elected", "another was elected", "it was elected again"])
@pytest.mark.parametrize("step", ["configure", "adopt", "bury"])
async def test_a_leader_that_slept_through_its_lease_changes_nothing(
    driver: StoreDriver, lead: Lead, since: str, step: str
) -> None:
    """As one does that was stopped between two of its steps."""
    store = driver.store
    await store.redis.delete(store.keys.leader, store.keys.instance("i-1"))
    if since == "another was elected":
        assert (await announce(store, "i-2")).leader == "i-2"
    if since == "it was elected again":
        assert (await announce(store, "i-1")).epoch > lead.epoch
    before = await everything(driver)
    match step:
        case "configure":
            assert not (await store.configure(lead, FleetRules(batch_every=7))).accepted
        case "adopt":
            epoch = driver.epochs[NODE]
            adopted = await store.adopt(NODE, epoch, retention_ms=RETENTION_MS, live_grace_ms=0, lead=lead)
            assert not adopted.current
        case _:
            assert not (await store.bury(DEAD, lead)).accepted
    assert await everything(driver) == before


async def test_the_right_epoch_in_the_wrong_hands_is_refused(driver: StoreDriver, lead: Lead) -> None:
    assert not (await driver.store.bury(DEAD, Lead("i-2", lead.epoch))).accepted
    assert not (await driver.store.configure(Lead("i-2", lead.epoch), FleetRules(batch_every=7))).accepted


async def test_an_instance_that_is_back_is_neither_buried_nor_robbed_of_its_nodes(
    driver: StoreDriver, lead: Lead
) -> None:
    """It was found dead, and lives again by the time the leader acts."""
    await announce(driver.store, DEAD)
    before = await everything(driver)
    adopted = await driver.store.adopt(NODE, driver.epochs[NODE], retention_ms=RETENTION_MS, live_grace_ms=0, lead=lead)
    assert not adopted.current
    assert not (await driver.store.bury(DEAD, lead)).accepted
    assert await everything(driver) == before


async def test_nodes_of_an_instance_that_is_gone_are_adopted_by_its_leader_or_who_starts(
    driver: StoreDriver, lead: Lead
) -> None:
    epoch = driver.epochs[NODE]
    assert (await driver.store.adopt(NODE, epoch, retention_ms=RETENTION_MS, live_grace_ms=0, lead=lead)).current
    assert (await driver.store.adopt(NODE, epoch, retention_ms=RETENTION_MS, live_grace_ms=0)).current
    node = await driver.store.read.node(NODE)
    assert node
    assert node.state == "unlinked"


async def test_what_was_sent_to_an_instance_that_is_gone_goes_to_who_has_the_node_now(
    driver: StoreDriver, lead: Lead
) -> None:
    client: Any = driver.redis
    await client.hset(driver.store.keys.node(NODE), "instance", "i-1")
    await bury_all(driver.store, lead)
    assert await read(driver.store, "i-1") == [
        {"node": NODE, "frame": body, "hops": "1"} for body in ("first", "second")
    ]
    assert not await driver.redis.exists(driver.store.keys.inbox(DEAD))
    assert DEAD not in await driver.store.read.instances()


async def test_what_nobody_can_deliver_is_kept_for_people_to_see(driver: StoreDriver, lead: Lead) -> None:
    await announce(driver.store, "i-2")
    client: Any = driver.redis
    await client.hset(driver.store.keys.node("n0-b-2"), "instance", "i-2")
    await put(driver.store, DEAD, "third", node="n0-b-2", hops=MAX_HOPS)
    buried = await driver.store.bury(DEAD, lead)
    assert (buried.moved, buried.undelivered) == (0, 3)
    found: Any = await client.xrange(driver.store.keys.undelivered)
    assert [(fields[b"frame"], fields[b"reason"]) for _, fields in found] == [
        (b"first", b"no-owner"),
        (b"second", b"no-owner"),
        (b"third", b"hops"),
    ]


@pytest.mark.parametrize("more", [0, 1])
async def test_a_long_inbox_is_taken_over_in_pieces_and_in_order(driver: StoreDriver, lead: Lead, more: int) -> None:
    client: Any = driver.redis
    await client.hset(driver.store.keys.node(NODE), "instance", "i-1")
    bodies = [str(number) for number in range(PIECE - 2 + more)]
    await put(driver.store, DEAD, *bodies)
    assert await bury_all(driver.store, lead) == 2
    assert [fields["frame"] for fields in await read(driver.store, "i-1")] == ["first", "second", *bodies]


async def test_an_instance_that_ended_stays_listed_until_it_is_buried(driver: StoreDriver, lead: Lead) -> None:
    assert DEAD in await driver.store.read.dead_instances()
    await bury_all(driver.store, lead)
    assert await driver.store.read.dead_instances() == []
    # Safe to repeat.
    await bury_all(driver.store, lead)
