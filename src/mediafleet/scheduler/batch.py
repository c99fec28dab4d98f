"""Does work in batches: what comes in while one batch is under way forms the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Generic, TypeVar

from mediafleet.domain.errors import StoreUnavailable

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Collects items and hands them, in order, to one flush at a time.

    A batch whose flush meets a store that is away is flushed again, so flushes must be idempotent. Where one fails
    otherwise, its items are flushed again one by one, and only those that fail alone are dropped.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[None]],
        *,
        limit: int,
        let_go: Callable[[Sequence[Item]], None] | None = None,
        on_wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Start empty.

        Args:
            flush: Does the work of one batch.
            limit: Most items of a batch.
            let_go: Told of items that are flushed or dropped.
            on_wait: Told how long the oldest item of a batch has waited for its turn, seconds.
        """
        self._flush = flush
        self._let_go = let_go
        self._limit = limit
        self._items: list[Item] = []
        # How many items at the front were in a batch that failed; they go one by one until all of them are through.
        self._suspects = 0
        self._wake = asyncio.Event()
        self._on_wait = on_wait
        self._oldest_s = 0.0

    def add(self, item: Item) -> None:
        """Put an item into the next batch."""
        if not self._items:
            self._oldest_s = perf_counter()
        self._items.append(item)
        self._wake.set()

    async def step(self) -> None:
        """Wait for items and flush one batch. Raises what the flush raises."""
        await self._wake.wait()
        began_s = perf_counter()
        self._on_wait(began_s - self._oldest_s)
        # Copied and not taken out: a cancellation in the middle of the flush must leave them for the next one.
        batch = self._items[: 1 if self._suspects else self._limit]
        try:
            await self._flush(batch)
        except StoreUnavailable:
            raise
        except Exception:
            # One node's bad frame must not cost the frames of all others that came in the same tick.
            if len(batch) > 1:
                self._suspects = len(batch)
                return
            self._drop(1)
            raise
        self._drop(len(batch))
        # What is left came while this batch was under way.
        self._oldest_s = began_s

    def _drop(self, count: int) -> None:
        # What came in meanwhile was added at the end, so the batch is still what stands in front.
        gone = self._items[:count]
        del self._items[:count]
        if self._let_go:
            self._let_go(gone)
        self._suspects = max(0, self._suspects - count)
        if not self._items:
            self._wake.clear()
