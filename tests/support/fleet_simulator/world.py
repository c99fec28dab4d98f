"""The world of one run: the store, instances, nodes and clients of a seed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import msgspec

from fleet_simulator.client import StoreNetwork
from fleet_simulator.engine import Engine
from fleet_simulator.instance import KEYS, SimulatedInstance
from fleet_simulator.ledger import Checkpoint, EventLog, Ledger, Promise, decode_call, rewind, take_checkpoint
from fleet_simulator.loop import Process, VirtualLoop
from fleet_simulator.node import SimulatedNode, SkewedClock
from fleet_simulator.wires import Faults, Wire, WireNetwork
from mediafleet.domain import ids
from mediafleet.domain.errors import IllegalTransition, InvalidRequest, MediafleetError, NotFound, SchedulerUnavailable
from mediafleet.domain.job import Submission
from mediafleet.domain.node import Executor
from mediafleet.ops.settings import SchedulerSettings
from mediafleet.scheduler.service import Scheduler

T = TypeVar("T")

SUBMIT_AGAIN_S = 1.0


class _SeededSecrets:
    """Stands in for the module `secrets`, so that ids and grants come from the seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def token_bytes(self, size: int) -> bytes:
        return self._rng.randbytes(size)


@contextmanager
def seeded(seed: int) -> Generator[random.Random]:
    """Take all chance inside the block from a seed."""
    real, state = ids.secrets, random.getstate()
    rng = random.Random(seed)  # noqa: S311 - repeated, and no secret
    random.seed(rng.random())
    ids.secrets = _SeededSecrets(random.Random(rng.random()))  # noqa: S311
    # What was drawn before and is not used yet.
    ids._fresh.clear()
    try:
        yield rng
    finally:
        ids.secrets = real
        ids._fresh.clear()
        random.setstate(state)


@dataclass(frozen=True)
class Size:
    """How large a world is."""

    instances: int = 3
    nodes: int = 5
    jobs: int = 30
    seconds: float = 45.0
    """In which the jobs come and faults happen."""


@dataclass
class World:
    """Everything of one run."""

    rng: random.Random
    size: Size
    engine: Engine
    log: EventLog
    loop: VirtualLoop
    rules: SchedulerSettings = field(default_factory=SchedulerSettings)
    ledger: Ledger = field(default_factory=Ledger)
    instances: list[SimulatedInstance] = field(default_factory=list[SimulatedInstance])
    nodes: list[SimulatedNode] = field(default_factory=list[SimulatedNode])
    troubles: Counter[str] = field(default_factory=Counter[str])
    kill_at_configure: Literal["", "before", "after"] = ""
    """The next instance that writes the rules of the fleet is killed just before or after the store does it."""
    unreachable: set[str] = field(default_factory=set[str])
    """Nodes that reach no instance."""
    on_call: Callable[[str], object] = str
    """Told the name of each script that runs."""
    started: int = 0

    def __post_init__(self) -> None:
        """Lay the networks."""
        self.store = StoreNetwork(self.engine, random.Random(self.rng.random()))  # noqa: S311 - from the seed
        self.store.before_command = self._before
        self.store.after_command = self._after
        self.wires = WireNetwork(random.Random(self.rng.random()))  # noqa: S311 - from the seed
        self._helpers: list[asyncio.Task[None]] = []

    def note(self, what: str) -> None:
        """Write down what happens to the world."""
        self.log.note(self.loop.time(), "world", what)

    # --- the store ------------------------------------------------------------------------------

    def _before(self, sender: Process, command: tuple[Any, ...]) -> None:
        called = decode_call(command)
        data = command[4] if called else msgspec.json.encode([str(part) for part in command])
        self.log.note(self.loop.time(), sender.name, called[0] if called else str(command[0]), data)
        if called and called[0] == "configure" and self.kill_at_configure == "before":
            self._kill_writer(sender)

    def _after(self, sender: Process, command: tuple[Any, ...], answer: Any) -> None:
        called = decode_call(command)
        if called and isinstance(answer, bytes):
            self.on_call(called[0])
            self.ledger.look(sender, called[0], called[1], msgspec.msgpack.decode(answer))
            if called[0] == "configure" and self.kill_at_configure == "after":
                self._kill_writer(sender)

    def _kill_writer(self, sender: Process) -> None:
        self.kill_at_configure = ""
        self.note(f"kill {sender.name} as it writes the rules")
        self.kill_instance(self.instance_of(sender))

    def checkpoint(self) -> Checkpoint:
        """Return the store as it is, to be rewound to."""
        return take_checkpoint(self.engine, self.ledger, self.loop.time())

    def rewind_store(self, checkpoint: Checkpoint) -> None:
        """Let the store forget what came after a checkpoint, and its scripts."""
        rewind(self.engine, self.ledger, checkpoint)
        self.engine.forget_scripts()

    # --- instances and nodes --------------------------------------------------------------------

    def start_instance(self) -> SimulatedInstance:
        """Start one more instance."""
        self.started += 1
        # Each with rules of its own, so that every new leader has something to write.
        rules = replace(self.rules, tenants=(f"bob:{1 + self.started % 4}",))
        instance = SimulatedInstance(f"i-{self.started}", self.store, rules)
        self.instances.append(instance)
        instance.start()
        return instance

    def instance_of(self, process: Process) -> SimulatedInstance:
        """Return the instance that is this process."""
        return next(instance for instance in self.instances if instance.process is process)

    def living(self) -> list[SimulatedInstance]:
        """Return the instances that neither were killed nor have ended."""
        return [instance for instance in self.instances if not instance.process.killed and not instance.has_ended]

    def kill_instance(self, instance: SimulatedInstance) -> None:
        """Kill it; its sockets close."""
        self.loop.kill_process(instance.process)
        self.wires.end_of(instance.process)

    def add_node(self, *, slots: int, capabilities: tuple[str, ...] = ("kind:sim",)) -> SimulatedNode:
        """Add a node and start it."""
        executor = Executor("cpu", slots, capabilities)
        rng = random.Random(self.rng.random())  # noqa: S311 - from the seed
        name = f"n0-node{len(self.nodes):05}"
        node = SimulatedNode(name, (executor,), rng=rng, dial=self._dial, troubles=self.troubles)
        node.on_crash = self._crash
        self.nodes.append(node)
        self.start_node(node)
        return node

    def start_node(self, node: SimulatedNode) -> None:
        """Start a node, with a clock of its own."""
        offset_s, rate = self.rng.uniform(-600, 600), self.rng.uniform(0.98, 1.02)
        node.start(SkewedClock(self.loop, offset_s=offset_s, rate=rate))

    def kill_node(self, node: SimulatedNode) -> None:
        """Kill it; its sockets close."""
        self.loop.kill_process(node.process)
        self.wires.end_of(node.process)

    def _crash(self, node: SimulatedNode) -> None:
        self.note(f"crash {node.id}")
        self.kill_node(node)
        self.loop.call_later(self.rng.uniform(1, 10), self._restart, node, context=self.wires.context)

    def _restart(self, node: SimulatedNode) -> None:
        if node.process.killed:
            self.start_node(node)

    def _dial(self, process: Process, turn: int) -> Wire:
        instances, node = self.living(), process.name.partition("#")[0]
        instance = instances[turn % len(instances)] if instances else None
        if instance is None or not instance.answers or node in self.unreachable:
            raise SchedulerUnavailable("No simulated instance answers there.")
        wire = self.wires.connect(node, node_process=process, instance=instance.process)
        instance.accept(wire)
        return wire

    # --- clients --------------------------------------------------------------------------------

    async def ask(self, work: Callable[[Scheduler], Coroutine[Any, Any, T]]) -> T:
        """Ask one of the instances that can be reached. Raises TimeoutError, and what it answers."""
        serving = [instance for instance in self.living() if instance.is_serving]
        if not serving:
            raise TimeoutError
        return await self.rng.choice(serving).call(work)

    async def order_drain(self, node: str, *, draining: bool) -> None:
        """Drain a node or take it back, as an operator who tries until it works."""
        while True:
            try:
                await self.ask(lambda fleet: fleet.drain(node, draining=draining))
            except (MediafleetError, TimeoutError):
                await asyncio.sleep(SUBMIT_AGAIN_S)
            else:
                return

    async def insist(self, work: Callable[[Scheduler], Coroutine[Any, Any, Any]]) -> None:
        """Ask as an operator who tries until it works, or is told that it cannot."""
        while True:
            try:
                await self.ask(work)
            except (NotFound, IllegalTransition):
                return
            except (MediafleetError, TimeoutError):
                await asyncio.sleep(SUBMIT_AGAIN_S)
            else:
                return

    async def resume_all(self) -> None:
        """Let go on whatever is paused, as an operator who looks at everything."""
        await self.insist(lambda fleet: fleet.pauses.resume_fleet())
        for node in self.nodes:
            await self.insist(lambda fleet, name=node.id: fleet.pauses.resume_node(name))
        for promise in list(self.ledger.promises.values()):
            await self.insist(lambda fleet, name=promise.job: fleet.pauses.resume_job(name))

    async def submit(self, key: str, *, expected: tuple[str, ...] = ("completed",), **fields: Any) -> str:
        """Submit a job as a client does that tries until an instance answers; return its id. Raises InvalidRequest."""
        submission = Submission("sim", idempotency_key=key, **fields)
        while True:
            sent_s = self.loop.time()
            try:
                answer = await self.ask(lambda fleet: fleet.submit([submission], principal="ann"))
            except InvalidRequest:
                raise
            except (MediafleetError, TimeoutError):
                await asyncio.sleep(SUBMIT_AGAIN_S)
            else:
                self.ledger.promises[key] = Promise(key, answer[0].job.id, sent_s, expected)
                return answer[0].job.id

    # --- the whole ------------------------------------------------------------------------------

    def leader(self) -> SimulatedInstance | None:
        """Return the instance that leads by the store's word."""
        name = self.engine.run("GET", KEYS.leader)
        return next((i for i in self.living() if name is not None and i.name == name.decode()), None)

    def heal(self) -> None:
        """End every fault, and start again what is not there."""
        self.note("heal")
        self.wires.faults = Faults()
        self.store.is_away, self.kill_at_configure = False, ""
        for _ in range(self.size.instances - len(self.living())):
            self.start_instance()
        for node in self.nodes:
            self._restart(node)

    def begin(self) -> None:
        """Start what every run has."""
        for _ in range(self.size.instances):
            self.start_instance()
        # One with room for the largest task, whatever the seed says.
        for number in range(self.size.nodes):
            self.add_node(slots=4 if number == 0 else self.rng.randint(1, 4))
        self._helpers = [asyncio.create_task(self.wires.watch())]

    def end(self) -> None:
        """Stop all code of the world without a word."""
        for helper in self._helpers:
            helper.cancel()
        for process in [*(i.process for i in self.instances), *(n.process for n in self.nodes)]:
            self.loop.kill_process(process)
