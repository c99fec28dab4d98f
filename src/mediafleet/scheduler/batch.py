"""Does work in batches: what comes in while one batch is under way forms the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Generic, TypeVar

import structlog

from mediafleet.domain.errors import StoreUnavailable

Item = TypeVar("Item")

TELL_EVERY_S = 1.0
"""At most so often it is logged what was dropped: senders may go on for ever."""

log = structlog.get_logger(__name__)


class Batcher(Generic[Item]):
    """Collects items and hands them, in order, to one flush at a time.

    A batch whose flush meets a store that is away is flushed again, so flushes must be idempotent. Where one fails
    otherwise, its items are flushed again one by one, and only those that fail alone are dropped, with a line in the log.
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
        self._untold, self._told_s = 0, -TELL_EVERY_S

    def add(self, item: Item) -> None:
        """Put an item into the next batch."""
        if not self._items:
            self._oldest_s = perf_counter()
        self._items.append(item)
        self._wake.set()

    async def step(self) -> None:
        """Wait for items and flush one batch. Raises StoreUnavailable."""
        await self._wake.wait()
        began_s = perf_counter()
        self._on_wait(began_s - self._oldest_s)
        # Copied and not taken out: a cancellation in the middle of the flush must leave them for the next one.
        batch = self._items[: 1 if self._suspects else self._limit]
        try:
            await self._flush(batch)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - boundary of an item
            # One node's bad frame must not cost the frames of all others that came in the same tick, nor hold them up:
            # it is gone, so nothing comes again that a pause would be for.
            if len(batch) > 1:
                self._suspects = len(batch)
                return
            self._tell_dropped(error)
        self._drop(len(batch))
        # What is left came while this batch was under way.
        self._oldest_s = began_s

    def _tell_dropped(self, error: Exception) -> None:
        self._untold += 1
        if perf_counter() - self._told_s < TELL_EVERY_S:
            return
        log.error("what could not be written was dropped", items=self._untold, exc_info=error)
        self._told_s, self._untold = perf_counter(), 0

    def _drop(self, count: int) -> None:
        # What came in meanwhile was added at the end, so the batch is still what stands in front.
        gone = self._items[:count]
        del self._items[:count]
        if self._let_go:
            self._let_go(gone)
        self._suspects = max(0, self._suspects - count)
        if not self._items:
            self._wake.clear()
