"""A store on virtual time whose reaper ticks, as in a healthy fleet."""

from __future__ import annotations

from mediafleet.domain.lifecycle import TaskState
from mediafleet.store import Store, records
from tests_support.store_driver import StoreDriver
from tests_support.virtual_time import VirtualTime

TICK_MS = 500


class Clockwork:
    """A driver whose reaper ticks while time passes."""

    def __init__(self, store: Store, time: VirtualTime) -> None:
        self.driver = StoreDriver(store)
        self.store = store
        self.time = time

    async def pass_ms(self, ms: int) -> list[records.Reaped]:
        """Let time pass, with a tick each 500 ms as in a healthy fleet."""
        ticks: list[records.Reaped] = []
        for _ in range(0, ms, TICK_MS):
            self.time.advance(TICK_MS)
            ticks.append(await self.driver.reap())
        return ticks

    async def state(self, job: str) -> tuple[TaskState, int, int]:
        view = await self.store.read.job(job)
        assert view is not None
        return view.tasks[0].state, view.tasks[0].attempt, view.tasks[0].tries
