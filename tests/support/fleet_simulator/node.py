"""A thin node: the agent's own linking, table and duty, with work that only takes virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from fleet_simulator.kind import KINDS, Params
from fleet_simulator.loop import Process, VirtualLoop, current
from fleet_simulator.wires import NodeEnd, Wire
from mediafleet.domain.errors import SchedulerUnavailable, TransientFailure
from mediafleet.domain.frames import PROTOCOL_VERSION, Outcome, Progress, Register
from mediafleet.domain.ids import new_token
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult
from mediafleet.node.agent import NodeAgent, Surroundings
from mediafleet.node.duty import Duty
from mediafleet.node.progress import ProgressBoard
from mediafleet.node.state import AttemptTable, Ending, Start
from mediafleet.ops.settings import NodeSettings

DialWire = Callable[[Process, int], Wire]
"""Opens a wire from a process to the instance of that turn; raises SchedulerUnavailable where none answers."""


@dataclass
class Disk:
    """What a node finds again when it starts anew."""

    outbox: dict[str, Outcome] = field(default_factory=dict[str, Outcome])

    def load(self) -> list[Outcome]:
        """Return what was kept."""
        return list(self.outbox.values())

    async def put(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.outbox[outcome.grant] = outcome

    def remove(self, grant: str) -> None:
        """Forget an outcome."""
        self.outbox.pop(grant, None)


class SkewedClock:
    """A node's own clock: wrong by a constant, and a little too fast or too slow."""

    def __init__(self, loop: VirtualLoop, *, offset_s: float, rate: float) -> None:
        self._loop, self._offset_s, self._rate = loop, offset_s, rate

    def now_ms(self) -> int:
        """Return the wrong date."""
        return int((self._loop.wall_s() + self._offset_s) * 1000)

    def monotonic(self) -> float:
        """Return seconds that pass a little too fast or too slow."""
        return self._loop.time() * self._rate


class _Runner:
    """Works by waiting."""

    def __init__(self, node: SimulatedNode, rng: random.Random) -> None:
        self.board = ProgressBoard()
        self._node = node
        self._rng = rng

    async def run(self, start: Start) -> Ending:
        params = msgspec.convert(start.spec.params, Params)
        task, grant = start.assignment.task, start.assignment.grant
        seconds = params.seconds * self._rng.uniform(0.7, 1.3)
        try:
            await asyncio.sleep(seconds / 2)
            self.board.note(Progress(task, grant, 0.5, "working"))
            await asyncio.sleep(seconds / 2)
        except asyncio.CancelledError:
            return None
        return self._end(task, params)

    def _end(self, task: str, params: Params) -> Ending:
        troubles = self._node.troubles
        if troubles[f"crash {task}"] < params.crashes:
            troubles[f"crash {task}"] += 1
            self._node.crash()
            return None
        if troubles[f"fail {task}"] < params.fails:
            troubles[f"fail {task}"] += 1
            return TransientFailure("It failed, as it was told to.").info()
        return TaskResult({"by": self._node.id})


class SimulatedNode:
    """One node over all its starts."""

    def __init__(
        self,
        node_id: str,
        executors: tuple[Executor, ...],
        *,
        rng: random.Random,
        dial: DialWire,
        troubles: Counter[str],
    ) -> None:
        self.id = node_id
        self.executors = executors
        self.disk = Disk()
        self.troubles = troubles
        """What tasks did so far, which outlives every node."""
        self.process = Process(node_id, killed=True)
        self.table: AttemptTable | None = None
        self.on_crash: Callable[[SimulatedNode], None] = lambda _: None
        self._rng = rng
        self._dial = dial
        self._turn = 0
        self._tasks: list[asyncio.Task[None]] = []
        """All that ever ran: a coroutine that is collected would run its `finally` at any time."""

    def start(self, clock: SkewedClock) -> None:
        """Begin anew, with what the disk kept."""
        self.process = Process(f"{self.id}#{len(self._tasks)}")
        token = current.set(self.process)
        self._tasks.append(asyncio.get_running_loop().create_task(self._run(clock), name=self.process.name))
        current.reset(token)

    def crash(self) -> None:
        """End, because of the work."""
        self.on_crash(self)

    async def _run(self, clock: SkewedClock) -> None:
        table = self.table = AttemptTable(self.executors, find_missing=lambda _: "")
        table.restore(self.disk.load())
        incarnation = new_token()
        around = Surroundings(KINDS, self._open, artifacts=cast("Any", None), move_on=self._move_on, clock=clock)
        agent = NodeAgent(NodeSettings(reconnect_max_ms=2_000), Path(), around)
        runner: Any = _Runner(self, self._rng)
        outbox: Any = self.disk

        def introduce() -> Register:
            return Register(
                PROTOCOL_VERSION, self.id, incarnation, self.id, "0", self.executors, table.running, table.holding
            )

        # Heartbeats say nothing of the machine that simulates the node.
        async with Duty(table, outbox=outbox, runner=runner, clock=clock, load=dict[str, float]) as duty:
            await agent._stay_linked(duty, introduce)

    async def _open(self) -> NodeEnd:
        # The way there and back of a TCP handshake; where nobody answers, it takes longer.
        await asyncio.sleep(self._rng.uniform(0.001, 0.04))
        try:
            return NodeEnd(self._dial(self.process, self._turn))
        except SchedulerUnavailable:
            self._move_on()
            raise

    def _move_on(self) -> None:
        self._turn += 1
