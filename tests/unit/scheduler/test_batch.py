"""Items are flushed in order and each once, whatever happens to a flush."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import StoreUnavailable
from mediafleet.scheduler.batch import Batcher

DEADLINE_S = 20.0


class Sink:
    """Takes batches, but for items that no flush can take, and while it is away."""

    def __init__(self, *, limit: int, bad: frozenset[int] = frozenset(), away: Sequence[int] = ()) -> None:
        self.taken: list[int] = []
        self.sizes: list[int] = []
        self._bad, self._away, self._calls = bad, away, 0
        self.batcher = Batcher[int](self._flush, limit=limit)

    async def _flush(self, batch: Sequence[int]) -> None:
        self._calls += 1
        self.sizes.append(len(batch))
        if self._calls in self._away:
            raise StoreUnavailable("Away.")
        if self._bad & set(batch):
            raise ValueError("bad")
        self.taken.extend(batch)

    async def flush_all(self) -> int:
        """Step until nothing is left, and return how many items were dropped."""
        before, waiting = len(self.taken), len(self.batcher._items)
        while self.batcher._items:
            try:
                await self.batcher.step()
            except StoreUnavailable:
                continue
        return waiting - (len(self.taken) - before)


@given(st.integers(0, 40), st.integers(1, 10), st.frozensets(st.integers(0, 39)), st.lists(st.integers(1, 20)))
def test_every_good_item_is_flushed_once_in_order_and_every_bad_one_is_dropped_once(
    count: int, limit: int, bad: frozenset[int], away: list[int]
) -> None:
    async def run() -> None:
        sink = Sink(limit=limit, bad=bad, away=away)
        for number in range(count):
            sink.batcher.add(number)
        assert await sink.flush_all() == len(bad & set(range(count)))
        assert sink.taken == [number for number in range(count) if number not in bad]
        assert max(sink.sizes, default=0) <= limit

    asyncio.run(run())


async def test_what_comes_in_while_a_batch_is_flushed_forms_the_next() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    batches: list[list[int]] = []

    async def flush(batch: Sequence[int]) -> None:
        started.set()
        await go_on.wait()
        batches.append(list(batch))

    batcher = Batcher[int](flush, limit=10)
    batcher.add(1)
    stepping = asyncio.create_task(batcher.step())
    async with asyncio.timeout(DEADLINE_S):
        await started.wait()
        batcher.add(2)
        batcher.add(3)
        go_on.set()
        await stepping
        await batcher.step()
    assert batches == [[1], [2, 3]]


async def test_a_flush_that_is_cancelled_leaves_its_items_for_the_next() -> None:
    batches: list[list[int]] = []
    started = asyncio.Event()

    async def flush(batch: Sequence[int]) -> None:
        if not started.is_set():
            started.set()
            await asyncio.Event().wait()
        batches.append(list(batch))

    batcher = Batcher[int](flush, limit=10)
    batcher.add(1)
    stepping = asyncio.create_task(batcher.step())
    async with asyncio.timeout(DEADLINE_S):
        await started.wait()
        stepping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stepping
        await batcher.step()
    assert batches == [[1]]


async def test_after_a_bad_batch_items_go_in_batches_again() -> None:
    sink = Sink(limit=4, bad=frozenset({1}))
    for number in range(12):
        sink.batcher.add(number)
    assert await sink.flush_all() == 1
    assert sink.sizes == [4, 1, 1, 1, 1, 4, 4]


async def test_a_batcher_without_items_waits() -> None:
    sink = Sink(limit=4)
    sink.batcher.add(1)
    await sink.batcher.step()
    assert not sink.batcher._wake.is_set()
