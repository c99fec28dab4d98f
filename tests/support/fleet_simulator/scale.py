"""A large fleet at its daily work: how long the simulation takes, and what the store and the scheduler do meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from fleet_simulator import checks
from fleet_simulator.ledger import EventLog
from fleet_simulator.run import simulate
from fleet_simulator.world import Size, World

JOIN_S = 60.0
"""In which the nodes come, as after an outage of a data centre."""


@dataclass(frozen=True)
class ScaleReport:
    """What a large fleet did."""

    nodes: int
    virtual_s: float
    real_s: float
    cpu_s: float
    jobs: int
    completed: int
    calls: Counter[str]
    """Script calls by name."""
    broken: tuple[str, ...]


def run_scale(nodes: int, *, seconds: float, jobs_per_s: float, instances: int = 3) -> ScaleReport:
    """Let so many nodes work for so many virtual seconds, on seed 1."""
    log = EventLog(keep=False)
    size = Size(instances=instances, nodes=0, jobs=0, seconds=seconds)
    calls = Counter[str]()
    started, cpu = time.perf_counter(), time.process_time()

    async def work(world: World) -> ScaleReport:
        world.on_call = lambda name: calls.update([name])
        world.begin()
        await asyncio.gather(_join(world, nodes), _submit(world, seconds, jobs_per_s))
        await asyncio.sleep(max(0.0, seconds - world.loop.time()))
        while not checks.is_quiet(world):  # noqa: ASYNC110 - the store tells no event
            await asyncio.sleep(5)
        statuses = [checks.Stored(world).hash(f"job:{p.job}").get("status") for p in world.ledger.promises.values()]
        return ScaleReport(
            nodes,
            world.loop.time(),
            time.perf_counter() - started,
            time.process_time() - cpu,
            len(statuses),
            statuses.count("completed"),
            calls,
            tuple(checks.find_faults(world)),
        )

    report: ScaleReport = simulate(1, work, log=log, size=size)
    return report


async def _join(world: World, nodes: int) -> None:
    for _ in range(nodes):
        world.add_node(slots=world.rng.choice([1, 2, 4]))
        await asyncio.sleep(JOIN_S / nodes)


async def _submit(world: World, seconds: float, jobs_per_s: float) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(int((seconds - JOIN_S) * jobs_per_s)):
            params = {"seconds": world.rng.uniform(5, 60), "shape": world.rng.choice(["one", "one", "fan"])}
            group.create_task(world.submit(f"job{number}", params=params, tenant=f"t{number % 20}"))
            await asyncio.sleep(world.rng.expovariate(jobs_per_s))
