"""How long the fleet does without what died: an instance with all its nodes, and a node with live work on it.

Real `mediafleet scheduler` processes on one private store, and nodes that link as real ones do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, Self

import aiohttp

from mediafleet.bench.figure import Figure
from mediafleet.bench.roaming_nodes import RoamingNode
from mediafleet.domain.errors import SchedulerUnavailable
from mediafleet.domain.frames import Assignment
from mediafleet.store.embedded import EmbeddedRedis

NODES, KILLS = 100, 5
JOBS = 100
"""Handed in at the moment of each kill: the fleet is whole again once they are done, and all nodes are linked."""
ROUNDS = 5
"""Nodes that die with live work on them, each way."""
KILL_AIM_S, CLOSED_AIM_S, SILENT_AIM_BEATS = 5.0, 1.0, 3.0
USUAL: Mapping[str, str] = {}
SHORT = {"MEDIAFLEET_SCHEDULER__HEARTBEAT_MS": "1000", "MEDIAFLEET_SCHEDULER__NODE_LEASE_MS": "6000"}
"""For silent nodes: short beats so that it does not take minutes, and a lease that is too long to have a part in it."""
BEAT_S = 1.0
GRACE_S = 16.0
"""After a fleet's start, in which no lease ends: the longer of the two, and a tick."""
PATIENCE_S = 60.0
POLL_S = 0.02
"""Between questions to an instance, which cannot wake this process."""
HOLD = "hold"
DID_NOT_START = "An instance to be measured did not start; try `mediafleet scheduler` to see why."


async def measure_recovery() -> list[Figure]:
    """Measure how long instances and nodes that die are missed."""
    async with _Fleet.running(NODES, USUAL) as fleet:
        kills = [await fleet.kill_instance() for _ in range(KILLS)]
        closed = [await fleet.lose_node(RoamingNode.kill) for _ in range(ROUNDS)]
    async with _Fleet.running(ROUNDS + 2, SHORT) as fleet:
        silent = [await fleet.lose_node(RoamingNode.fall_silent) / BEAT_S for _ in range(ROUNDS)]
    return [
        _figure(
            "recovery_instance_kill_max_s",
            kills,
            KILL_AIM_S,
            f"{NODES} nodes, {KILLS} kills, {JOBS} jobs handed in at each",
        ),
        _figure("recovery_live_closed_max_s", closed, CLOSED_AIM_S, f"{ROUNDS} nodes whose socket closes"),
        _figure(
            "recovery_live_silent_max_beats",
            silent,
            SILENT_AIM_BEATS,
            f"{ROUNDS} silent nodes, beats of {BEAT_S:g} s",
            unit="heartbeats",
        ),
    ]


def _figure(name: str, values: list[float], aim: float, what: str, *, unit: str = "s") -> Figure:
    longest = max(values)
    return Figure(name, longest, unit, f"the aim of {aim:g}; {what}, median {median(values):.2f}", longest / aim)


class _Fleet:
    """Two instances, and nodes that know both; all first dial the same."""

    def __init__(self, session: aiohttp.ClientSession, processes: dict[str, _Instance]) -> None:
        self._session = session
        self._instances = processes
        self._nodes: list[RoamingNode] = []
        self._changed = asyncio.Event()
        self._holders: dict[str, RoamingNode] = {}
        self._redone: dict[str, float] = {}
        self._leases_end_at = time.monotonic() + GRACE_S

    @classmethod
    @asynccontextmanager
    async def running(cls, nodes: int, settings: Mapping[str, str]) -> AsyncGenerator[Self]:
        """Yield a fleet whose nodes are all linked."""
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-")))
            store = await stack.enter_async_context(EmbeddedRedis(folder))
            environment = {**os.environ, "MEDIAFLEET_LOG__LEVEL": "error", "MEDIAFLEET_STORE__REDIS_URL": store.url}
            environment |= {"MEDIAFLEET_ARTIFACTS__ROOT": str(folder / "artifacts"), **settings}
            session = await stack.enter_async_context(aiohttp.ClientSession())
            both = [_Instance(folder / name, environment) for name in ("one", "two")]
            for instance in both:
                stack.push_async_callback(instance.end)
                await instance.start(session)
            fleet = cls(session, {instance.url: instance for instance in both})
            tasks = fleet._start_nodes(nodes)
            try:
                await fleet._until(fleet._all_linked)
                yield fleet
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _start_nodes(self, count: int) -> list[asyncio.Task[None]]:
        self._nodes = [RoamingNode(number, list(self._instances), self._take) for number in range(count)]
        return [asyncio.create_task(node.run(self._changed.set)) for node in self._nodes]

    def _take(self, node: RoamingNode, given: Assignment) -> bool:
        # The first to get a task that is to be held holds it; whoever gets it next shows that it was given away.
        if given.attempt == 1 and HOLD in bytes(given.spec).decode():
            self._holders[given.job] = node
            self._changed.set()
            return False
        if given.job in self._holders:
            self._redone[given.job] = time.monotonic()
            self._changed.set()
        return True

    def _all_linked(self) -> bool:
        return all(node.linked_to for node in self._nodes)

    async def _until(self, claim: Callable[[], object]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not claim():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise SchedulerUnavailable("The fleet to be measured did not recover.") from None

    # --- an instance dies ---

    async def kill_instance(self) -> float:
        """Kill the instance that has the nodes; return the seconds until the other has all of them and work is done."""
        dead = self._instances[self._nodes[0].linked_to]
        other = next(one for one in self._instances.values() if one is not dead)
        began = time.monotonic()
        dead.kill()
        jobs = await self._submit(other, [{"kind": "noop"}] * JOBS)
        await self._until(lambda: all(node.linked_to == other.url for node in self._nodes))
        for job in jobs:
            await self._done(other, job)
        took = time.monotonic() - began
        await dead.start(self._session)
        return took

    async def _done(self, instance: _Instance, job: str) -> None:
        while (await self._ask(instance, f"/api/v1/jobs/{job}"))["status"] != "completed":  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)

    # --- a node dies ---

    async def lose_node(self, end: Callable[[RoamingNode], None]) -> float:
        """End a node that holds live work; return the seconds until another has it."""
        await asyncio.sleep(max(0.0, self._leases_end_at - time.monotonic()))
        instance = self._instances[self._nodes[0].linked_to]
        work = {"kind": "noop", "priority": "live", "params": {"echo": HOLD}}
        (job,) = await self._submit(instance, [work])
        await self._until(lambda: job in self._holders)
        # Until the scheduler knows that it runs: before that a lost link gives it away at once.
        while (await self._ask(instance, f"/api/v1/jobs/{job}"))["tasks"][0]["state"] != "ACKED":  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        holder = self._holders[job]
        began = time.monotonic()
        end(holder)
        await self._until(lambda: job in self._redone)
        self._nodes.remove(holder)
        return self._redone[job] - began

    # --- requests ---

    async def _submit(self, instance: _Instance, work: list[dict[str, Any]]) -> list[str]:
        async with self._session.post(f"{instance.url}/api/v1/jobs", json=work) as response:
            if response.status != 201:  # noqa: PLR2004 - HTTP's own number
                raise SchedulerUnavailable(f"The fleet to be measured took no work: {await response.text()}")
            return [job["id"] for job in await response.json()]

    async def _ask(self, instance: _Instance, path: str) -> Any:
        async with self._session.get(instance.url + path) as response:
            return await response.json()


class _Instance:
    """One scheduler process that may be killed and started again, at the same address."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Start it and wait until it serves."""
        await self.end()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "mediafleet.cli", "scheduler", "--data", str(self._folder), "--port", str(self._port)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environment,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await self._serves(session) and self._process.returncode is None:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise SchedulerUnavailable(DID_NOT_START) from None
        if self._process.returncode is not None:
            raise SchedulerUnavailable(DID_NOT_START)

    async def _serves(self, session: aiohttp.ClientSession) -> bool:
        with suppress(aiohttp.ClientConnectionError):
            async with session.get(f"{self.url}/ready") as response:
                return response.ok
        return False

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process:
            self._process.kill()

    async def end(self) -> None:
        """End it at once, unless it has ended."""
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
            await self._process.wait()
