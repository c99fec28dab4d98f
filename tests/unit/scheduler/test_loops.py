"""Loops that outlast faults and outages, and end when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mediafleet.domain.errors import StoreUnavailable
from mediafleet.scheduler.batch import Batcher
from mediafleet.scheduler.loops import end_loops, keep_going

DEADLINE_S = 20.0


async def test_a_step_that_meets_an_outage_or_a_fault_is_repeated() -> None:
    met: list[Exception] = [StoreUnavailable("Away."), ValueError("ours")]
    done = asyncio.Event()

    async def step() -> None:
        if met:
            raise met.pop(0)
        done.set()
        await asyncio.Event().wait()

    loop = asyncio.create_task(keep_going("test", step))
    async with asyncio.timeout(DEADLINE_S):
        await done.wait()
    await end_loops([loop])
    assert loop.cancelled()


async def test_a_loop_that_swallows_its_cancellation_is_cancelled_again() -> None:
    swallowed = asyncio.Event()

    async def step() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if swallowed.is_set():
                raise
            swallowed.set()

    loop = asyncio.create_task(keep_going("test", step))
    await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE_S):
        await end_loops([loop])
    assert swallowed.is_set()
    assert loop.cancelled()


async def test_items_of_a_batch_stay_until_the_store_is_back_and_keep_their_order() -> None:
    flushed: list[list[int]] = []
    away = [True]

    async def flush(batch: Sequence[int]) -> None:
        if away:
            away.pop()
            raise StoreUnavailable("Away.")
        flushed.append(list(batch))

    batcher = Batcher[int](flush, limit=2)
    for number in range(3):
        batcher.add(number)
    loop = asyncio.create_task(keep_going("test", batcher.step))
    async with asyncio.timeout(DEADLINE_S):
        while sum(map(len, flushed)) < 3:  # noqa: ASYNC110 - the loop under test sets no event
            await asyncio.sleep(0)
    await end_loops([loop])
    assert flushed == [[0, 1], [2]]


async def test_a_batch_that_cannot_be_flushed_is_dropped_and_the_next_goes_on() -> None:
    flushed: list[int] = []

    async def flush(batch: Sequence[int]) -> None:
        items = list(batch)
        if 0 in items:
            raise ValueError("poison")
        flushed.extend(items)

    batcher = Batcher[int](flush, limit=1)
    batcher.add(0)
    batcher.add(1)
    loop = asyncio.create_task(keep_going("test", batcher.step))
    async with asyncio.timeout(DEADLINE_S):
        while not flushed:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    await end_loops([loop])
    assert flushed == [1]


async def test_an_item_that_cannot_be_flushed_costs_only_itself() -> None:
    flushed: list[int] = []

    async def flush(batch: Sequence[int]) -> None:
        if 3 in batch:
            raise ValueError("a bad frame")
        flushed.extend(batch)

    batcher = Batcher[int](flush, limit=10)
    for number in range(6):
        batcher.add(number)
    await batcher.step()
    assert flushed == []
    # The fourth of them is dropped and told of: others must not wait for it.
    for _ in range(4):
        await batcher.step()
    for number in (6, 7):
        batcher.add(number)
    for _ in range(3):
        await batcher.step()
    assert flushed == [0, 1, 2, 4, 5, 6, 7]
