"""A scheduler instance of the simulation: the real one, with its real door for nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

from fleet_simulator.client import SimulatedRedis, StoreNetwork
from fleet_simulator.kind import KINDS
from fleet_simulator.loop import Process, VirtualLoop, current
from fleet_simulator.wires import Wire, door_ends
from mediafleet.domain.errors import StoreUnavailable
from mediafleet.domain.rules import InstanceDocument
from mediafleet.doors.websocket.node import NodeDoor
from mediafleet.ops.metrics import Metrics
from mediafleet.ops.settings import SchedulerSettings, Settings
from mediafleet.scheduler.service import Resources, Scheduler
from mediafleet.store import Store
from mediafleet.store.keys import Keys
from mediafleet.store.scripts import as_text

T = TypeVar("T")
KEYS = Keys("sim", "0")


class _NoBlobs:
    """Where bytes would be: the work of the simulation makes none."""

    async def belongs_to(self, store: str) -> bool:
        return False


class VirtualClock:
    """The instance's clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        """Return the virtual date."""
        return int(self._loop.wall_s() * 1000)

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return self._loop.time()


class SimulatedInstance:
    """One start of an instance; a restarted one is another."""

    def __init__(self, name: str, network: StoreNetwork, rules: SchedulerSettings) -> None:
        self.name = name
        self.process = Process(name)
        self.is_serving = False
        self.has_ended = False
        self._loop: Any = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[Any]] = []
        self._ending = asyncio.Event()
        store = Store(SimulatedRedis(network), KEYS)
        blobs: Any = _NoBlobs()
        resources = Resources(store, blobs, KINDS, VirtualClock(self._loop), Metrics())
        self.fleet = Scheduler(name, Settings(data=Path(), scheduler=rules), resources)
        # The process that simulates it has another number each time; two runs of a seed must not differ by it.
        self.fleet._member._document = as_text(InstanceDocument("0", "simulated", 1))
        self._store = store
        self._door = NodeDoor(self.fleet)

    @property
    def answers(self) -> bool:
        """Whether somebody who dials it gets an answer soon."""
        return self.is_serving and not self.process.killed and not self.process.stopped

    def start(self) -> None:
        """Begin to run."""
        self.run(self._serve())

    def end(self) -> None:
        """Stop in order, as SIGTERM does."""
        self.is_serving, self.has_ended = False, True
        self._ending.set()

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something as a part of this process."""
        token = current.set(self.process)
        task = self._loop.create_task(work, context=copy_context())
        current.reset(token)
        self._tasks.append(task)
        return task

    def accept(self, wire: Wire) -> None:
        """Take a connection of a node."""
        receive, send = door_ends(wire)
        self.run(self._door.serve(receive, send))

    async def call(self, work: Callable[[Scheduler], Coroutine[Any, Any, T]], *, seconds: float = 8.0) -> T:
        """Do something as a client's request to it. Raises TimeoutError where no answer comes."""
        task = self.run(work(self.fleet))
        async with asyncio.timeout(seconds):
            # Not cancelled with the client: a server goes on with what it was asked for.
            return await asyncio.shield(task)

    async def _serve(self) -> None:
        while True:
            try:
                await self._store.check_schema()
                async with self.fleet:
                    self.is_serving = not self.has_ended
                    await self._ending.wait()
                    self._door.close_all()
            except StoreUnavailable:
                # A supervisor starts it again.
                await asyncio.sleep(1)
            else:
                return
