"""Which instance calls a listening node: one at a time, for as long as it lives."""

from __future__ import annotations

import asyncio

from tests_support.store_driver import announce

from mediafleet.domain.push import PushClaim
from mediafleet.store import Store

A, B = "http://a:9000", "http://b:9000"


async def claimed(store: Store, instance: str, *addresses: str) -> dict[str, int]:
    """Return the terms of those nodes that are the instance's."""
    return {one.address: one.term for one in await store.claim_push(instance, addresses or (A, B))}


async def test_the_first_who_asks_has_a_node_and_keeps_it(store: Store) -> None:
    await announce(store, "i-1")
    await announce(store, "i-2")
    assert await claimed(store, "i-1", A) == {A: 1}
    assert await claimed(store, "i-2") == {B: 1}
    for _ in range(2):
        assert await claimed(store, "i-1") == {A: 1}
        assert await claimed(store, "i-2") == {B: 1}


async def test_nodes_of_an_instance_that_ended_are_taken_over_with_a_later_term(store: Store) -> None:
    await announce(store, "i-1")
    await announce(store, "i-2")
    await claimed(store, "i-1")
    await store.retire("i-1")
    assert await claimed(store, "i-2", A) == {A: 2}
    await announce(store, "i-3")
    assert await claimed(store, "i-3") == {B: 2}


async def test_nodes_of_an_instance_whose_presence_ended_are_taken_over(store: Store) -> None:
    await announce(store, "i-1", ttl_ms=1)
    await claimed(store, "i-1")
    await announce(store, "i-2")
    async with asyncio.timeout(20):
        while not await claimed(store, "i-2"):  # noqa: ASYNC110 - the server ends a presence without a word
            await asyncio.sleep(0.005)
    assert await claimed(store, "i-2") in ({A: 1, B: 1}, {A: 2, B: 2})


async def test_an_instance_that_slept_through_its_presence_keeps_what_nobody_took_and_takes_nothing(
    store: Store,
) -> None:
    await announce(store, "i-1")
    await claimed(store, "i-1", A)
    await store.retire("i-1")
    assert await claimed(store, "i-1") == {A: 1}, "of B it was never the owner"
    await announce(store, "i-2")
    assert await claimed(store, "i-2", A) == {A: 2}
    assert await claimed(store, "i-1") == {}
    await announce(store, "i-1")
    assert await claimed(store, "i-1") == {B: 1}, "it does not take back what another has"


async def test_what_an_instance_gives_up_goes_to_whoever_asks_next(store: Store) -> None:
    await announce(store, "i-1")
    await announce(store, "i-2")
    await claimed(store, "i-1")
    assert await store.claim_push("i-1", [B], give_up=[A]) == [PushClaim(B, 1)]
    assert await store.claim_push("i-2", [B], give_up=[B]) == [], "only its owner can give a node up"
    assert await claimed(store, "i-2") == {A: 2}
    assert await claimed(store, "i-1") == {B: 1}


async def test_of_many_who_ask_at_once_one_has_each_node(store: Store) -> None:
    names = [f"i-{number}" for number in range(20)]
    for name in names:
        await announce(store, name)
    answers = await asyncio.gather(*(store.claim_push(name, [A, B]) for name in names))
    assert sorted((one for answer in answers for one in answer), key=lambda one: one.address) == [
        PushClaim(A, 1),
        PushClaim(B, 1),
    ]


async def test_the_record_ends_after_the_last_who_asks(store: Store) -> None:
    await announce(store, "i-1")
    assert await store.claim_push("i-1", []) == []
    await claimed(store, "i-1")
    assert await store.redis.pttl(store.keys.pushed) > 6 * 24 * 3600 * 1000
