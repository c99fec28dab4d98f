"""How far batches are, over all cells: each cell has some of their jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.batch import BatchJob, BatchView, check_batch, sum_up
from mediafleet.domain.errors import NotFound
from mediafleet.domain.ids import cell_of

if TYPE_CHECKING:
    from mediafleet.domain.clock import Clock
    from mediafleet.scheduler.remaining import Remaining
    from mediafleet.store import Store
    from mediafleet.store.batches import BatchEntry


class BatchDesk:
    """Looks at batches; implements `facade.Batches`."""

    def __init__(self, stores: Sequence[Store], clock: Clock, remaining: Sequence[Remaining]) -> None:
        """Look at these cells.

        Args:
            remaining: Of each of them, in the same order.
        """
        self._stores, self._clock, self._remaining = stores, clock, remaining

    async def show(self, batch: str, *, offset: int = 0, limit: int = 50) -> BatchView:
        """See `facade.Batches.show`."""
        check_batch(batch)
        found = await asyncio.gather(*(store.read.batch(batch) for store in self._stores))
        entries = sorted((entry for part in found for entry in part), key=lambda one: (one.created_ms, one.job.id))
        if not entries:
            raise NotFound(f"There is no batch {batch!r}; it may have passed its retention.")
        jobs = await self._named(entries[offset : offset + limit])
        measured_ms = await self._measured_ms(found)
        paces = [entry.pace for entry in entries]
        return sum_up(batch, paces, now_ms=self._clock.now_ms(), jobs=jobs, measured_ms=measured_ms)

    async def _measured_ms(self, found: Sequence[Sequence[BatchEntry]]) -> int | None:
        parts = zip(self._remaining, found, strict=True)
        ends = [await cell.of_jobs([(entry.job.id, entry.job.status) for entry in part]) for cell, part in parts]
        known = [end for end in ends if end is not None]
        # The cells work at the same time.
        return max(known) if len(known) == len(ends) else None

    async def _named(self, entries: Sequence[BatchEntry]) -> tuple[BatchJob, ...]:
        ids = [entry.job.id for entry in entries]
        names: dict[str, str] = {}
        for store in self._stores:
            names |= await _of_cell(store, ids)
        return tuple(msgspec.structs.replace(entry.job, name=names.get(entry.job.id, "")) for entry in entries)


async def _of_cell(store: Store, ids: Sequence[str]) -> dict[str, str]:
    mine = [name for name in ids if cell_of(name) == store.keys.cell]
    return await store.read.job_names(mine) if mine else {}
