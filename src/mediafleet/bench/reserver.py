"""One of several processes that reserve the same executors as fast as they can, and watch for double bookings.

Run as `python -m mediafleet.bench.reserver STORE_URL CELL RESERVATIONS SEED`; writes a `Tally` as JSON.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import uvloop

from mediafleet.bench.cell import PLAIN, BenchCell
from mediafleet.bench.tally import Tally
from mediafleet.store.connection import connect
from mediafleet.store.records import FailureRecord, PlacedTask

BATCH = 8
"""Tasks a call: few, so that calls of several processes meet at the same executors."""
AT_ONCE = 4
"""Calls of one process that are under way."""
LOST_SHARE = 0.3
"""Of the attempts so many are lost and given out again, the others end with a result."""


class Reserver:
    """Reserves, holds for a moment, and lets go.

    Whoever holds an executor has counted itself in at a counter that the scripts know nothing of: a second one that
    comes while it does sees a count above the executor's slots, whatever the scripts say.
    """

    def __init__(self, redis: Any, name: str, *, seed: int) -> None:
        self.cell = BenchCell(redis, name)
        self.tally = Tally()
        self._redis = redis
        self._witness = f"{name}:witness"
        self._draw = random.Random(seed)  # noqa: S311 - a mix of endings, no secret

    async def run(self, reservations: int) -> Tally:
        """Reserve until so many were given, or none is left to give."""
        await self.cell.look()
        await asyncio.gather(*(self._keep_reserving(reservations) for _ in range(AT_ONCE)))
        return self.tally

    async def _keep_reserving(self, reservations: int) -> None:
        while self.tally.reserved < reservations:
            placed = await self.cell.place(limit=BATCH)
            if not placed and not await self.cell.waits(PLAIN):
                return
            self.tally.reserved += len(placed)
            await self.hold(placed)

    async def hold(self, placed: Sequence[PlacedTask]) -> None:
        """Be the holder of these executors for a moment, then end the attempts."""
        if not placed:
            return
        holders = await self._count([task.executor for task in placed], by=1)
        self.tally.doubled += sum(count > 1 for count in holders)
        lost = {task.grant for task in placed if self._draw.random() < LOST_SHARE}
        done = [task for task in placed if task.grant not in lost]
        await self.cell.commit(done)
        # Counted out before they are free: whoever is counted is a holder.
        await self._count([task.executor for task in placed], by=-1)
        await self.cell.finish(done)
        if lost:
            failures = [FailureRecord(task.task, task.grant, "lost") for task in placed if task.grant in lost]
            await self.cell.store.fail(failures)

    async def _count(self, executors: Sequence[str], *, by: int) -> list[int]:
        pipeline = self._redis.pipeline(transaction=False)
        for executor in executors:
            pipeline.hincrby(self._witness, executor, by)
        return list(await pipeline.execute())


async def _run(url: str, name: str, reservations: int, seed: int) -> Tally:
    redis: Any = connect(url, prefix=name)
    try:
        return await Reserver(redis, name, seed=seed).run(reservations)
    finally:
        await redis.aclose()


if __name__ == "__main__":
    told = uvloop.run(_run(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    sys.stdout.buffer.write(msgspec.json.encode(told))
