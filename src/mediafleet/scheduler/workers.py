"""What doors need for workers of older fleets, over all cells: numbers for tasks, and which attempts a worker has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mediafleet.domain.cells import home_of_node
from mediafleet.domain.errors import NotFound
from mediafleet.domain.ids import cell_of, job_of
from mediafleet.domain.job import DEFAULT_TENANT
from mediafleet.domain.worker import HeldAttempt, task_key
from mediafleet.store.attempts import read_attempt_at, read_held, read_job_of_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.frames import AttemptRef
    from mediafleet.store import Store


class WorkerDesk:
    """Looks at numbers and attempts; implements `facade.Workers`."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = {store.keys.cell: store for store in stores}
        # One counter for all cells: the numbers of two must not be alike.
        self._first = stores[0]

    async def new_number(self) -> int:
        """See `facade.Workers.new_number`."""
        return await self._first.count_up(self._first.keys.task_numbers)

    async def numbered(self, number: int) -> str:
        """See `facade.Workers.numbered`."""
        key = task_key(number)
        asked = (read_job_of_key(one.redis, one.keys, DEFAULT_TENANT, key) for one in self._stores.values())
        for job in await asyncio.gather(*asked):
            if job:
                return job
        raise NotFound(f"There is no task {number}; it may have passed its retention.")

    async def attempts_at(self, node: str) -> list[HeldAttempt]:
        """See `facade.Workers.attempts_at`."""
        store = self._stores[home_of_node(node, list(self._stores))]
        return await read_held(store.redis, store.keys, node)

    async def attempt_at(self, task: str, node: str) -> AttemptRef | None:
        """See `facade.Workers.attempt_at`."""
        store = self._stores[cell_of(job_of(task))]
        return await read_attempt_at(store.redis, store.keys, task, node)
