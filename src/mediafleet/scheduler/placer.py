"""Places waiting tasks: level one matches queues to pools here, level two picks executors in the store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mediafleet.domain.capability import Signature, is_covered
from mediafleet.domain.ids import new_token
from mediafleet.store.records import FailureRecord, PlacedTask, PoolShare, QueueSpec

if TYPE_CHECKING:
    from mediafleet.ops.metrics import Metrics
    from mediafleet.scheduler.links import LinkTable
    from mediafleet.store import Store

MAX_POOLS = 64
"""Most pools one script call looks at; where more match, each call takes the next ones in turn."""


def matching_pools(spec: QueueSpec, pools: dict[str, Signature], *, turn: int) -> list[PoolShare]:
    """Return the pools that match a queue, at most MAX_POOLS, beginning elsewhere at each turn."""
    shares = [
        PoolShare(name, signature.slots) for name, signature in pools.items() if is_covered(spec.requirement, signature)
    ]
    if len(shares) <= MAX_POOLS:
        return shares
    # The list is walked in a ring, so that after a few calls every pool has been looked at.
    start = turn * MAX_POOLS % len(shares)
    return (shares + shares)[start : start + MAX_POOLS]


class Placer:
    """Places the queues that it is told of, in one task of its own; a jittered backstop finds forgotten ones."""

    def __init__(self, store: Store, links: LinkTable, metrics: Metrics, *, batch: int, reserve_ms: int) -> None:
        self._store = store
        self._links = links
        self._metrics = metrics
        self._batch = batch
        self._reserve_ms = reserve_ms
        # Two sets: what must be placed now, and what was left over and is tried again when slots become free.
        self._asked: set[str] = set()
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()
        self._queues: dict[str, QueueSpec] = {}
        self._pools: dict[str, Signature] = {}
        # No pool set has this version, so the first call is followed by a read of it.
        self._version = -1
        self._turns = itertools.count()

    def ask(self, queues: Iterable[str]) -> None:
        """Place these queues soon: tasks came in."""
        self._asked.update(queues)
        if self._asked:
            self._wake.set()

    def note_capacity(self) -> None:
        """Place the queues that are known to wait: slots became free, or executors joined."""
        self.ask(self._waiting)

    async def sweep(self) -> None:
        """Ask for every queue that has waiting tasks, told of or not."""
        self._queues = await self._store.read.queues()
        found = await self._store.read.nonempty_queues(list(self._queues))
        self._waiting.update(found)
        self.ask(found)

    async def step(self) -> None:
        """Wait until asked, and place. Raises StoreUnavailable; what was asked for is then asked for again."""
        await self._wake.wait()
        # Cleared before the set is taken: what is asked for from here on wakes the next step.
        self._wake.clear()
        queues, self._asked = self._asked, set()
        try:
            for queue in queues:
                await self._place(queue)
        # A cancellation as well. To place a queue twice is harmless: what was placed does not wait any more.
        except BaseException:
            self.ask(queues)
            raise

    async def _place(self, queue: str) -> None:
        spec = await self._spec(queue)
        if spec is None:
            return
        while True:
            pools = matching_pools(spec, self._pools, turn=next(self._turns))
            # Drawn here, because random numbers inside a script are the same in every run of it.
            grants = [new_token() for _ in range(self._batch)]
            placed = await self._store.place(queue, pools, grants=grants, reserve_ms=self._reserve_ms)
            (self._waiting.add if placed.waiting else self._waiting.discard)(queue)
            await self._dispatch(placed.assignments)
            # The call went by pools that have changed meanwhile, so it is repeated. Otherwise a full batch says that
            # there may be more, a smaller one that the executors are full: tasks then wait until capacity is noted.
            if placed.version != self._version:
                self._version, self._pools = await self._store.read.pool_set()
            elif not placed.waiting or len(placed.assignments) < self._batch:
                return

    async def _spec(self, queue: str) -> QueueSpec | None:
        # Another instance may have made the queue since the last look; once there, a queue never changes.
        if queue not in self._queues:
            self._queues = await self._store.read.queues()
        return self._queues.get(queue)

    async def _dispatch(self, placed: Sequence[PlacedTask]) -> None:
        if not placed:
            return
        self._metrics.tasks_placed.inc(len(placed))
        undelivered = self._links.assign(placed)
        if undelivered:
            self._metrics.attempts_lost.labels("not-delivered").inc(len(undelivered))
            # A node without a link here leaves its pool within a moment; the wait keeps this from spinning.
            failed = await self._store.fail(
                [FailureRecord(task.task, task.grant, "lost", delay_ms=200) for task in undelivered]
            )
            self.ask(failed.queues)
