"""What it costs to be several: processor time of two instances beside one, and reservations from four at once."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import msgspec

from mediafleet.bench.cell import BenchCell
from mediafleet.bench.cpu import tree_cpu_seconds
from mediafleet.bench.figure import Figure
from mediafleet.bench.fleet import bench_fleet
from mediafleet.bench.noop import NODES, SLOTS, fake_nodes, push_jobs
from mediafleet.bench.tally import Tally
from mediafleet.domain.errors import SchedulerUnavailable
from mediafleet.domain.node import Executor
from mediafleet.store.connection import connect
from mediafleet.store.embedded import EmbeddedRedis

ROUNDS = 3
JOBS, WARM_UP = 10_000, 2_000
RESERVERS = 4
RESERVATIONS = 100_000
EXECUTORS = 64
"""Of one slot each; two for each call that may be under way."""
SPARE = 1.05
"""Tasks for each reservation: the last ones wait until the processes have done theirs."""
CELL = "reserve"


async def measure_instances() -> list[Figure]:
    """Measure both."""
    return [await _compare_instances(), *await _reserve()]


# --- two instances beside one ------------------------------------------------------------------------


async def _compare_instances() -> Figure:
    costs: dict[int, list[float]] = {1: [], 2: []}
    # In turns, so that whatever else the machine does meets both.
    for _ in range(ROUNDS):
        for count, rounds in costs.items():
            rounds.append(await _cost_of_a_job(count))
    one, two = median(costs[1]), median(costs[2])
    about = f"one instance, {one * 1e6:.0f} us a task; {NODES} nodes x {SLOTS} slots, half of them at each"
    return Figure("two_instances_cpu_ratio", two / one, "", about, two / one)


async def _cost_of_a_job(instances: int) -> float:
    async with _running(instances) as urls, AsyncExitStack() as stack:
        # Two processes of nodes in both cases: they are measured as well.
        for number in range(2):
            await stack.enter_async_context(fake_nodes(urls[number % len(urls)], NODES // 2, first=NODES * number))
        sessions = [await stack.enter_async_context(aiohttp.ClientSession(url)) for url in urls]
        await push_jobs(sessions, WARM_UP)
        before = tree_cpu_seconds()
        await push_jobs(sessions, JOBS)
        return (tree_cpu_seconds() - before) / JOBS


@asynccontextmanager
async def _running(instances: int) -> AsyncGenerator[list[str]]:
    """Run so many instances on one private store inside the block; yield their addresses."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-"))
        store = await stack.enter_async_context(EmbeddedRedis(Path(folder)))
        shared = {"MEDIAFLEET_STORE__REDIS_URL": store.url, "MEDIAFLEET_ARTIFACTS__ROOT": f"{folder}/artifacts"}
        fleets = [await stack.enter_async_context(bench_fleet("scheduler", **shared)) for _ in range(instances)]
        yield [fleet.url for fleet in fleets]


# --- reservations ------------------------------------------------------------------------------------


async def _reserve() -> list[Figure]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-"))
        store = await stack.enter_async_context(EmbeddedRedis(Path(folder)))
        redis: Any = connect(store.url, prefix=CELL)
        stack.push_async_callback(redis.aclose)
        cell = BenchCell(redis, CELL)
        await cell.join(Executor("cpu", 1, ("kind:noop",)) for _ in range(EXECUTORS))
        await cell.submit(int(RESERVATIONS * SPARE))
        share = RESERVATIONS // RESERVERS
        tallies = await asyncio.gather(*(reserve_in_process(store.url, share, seed) for seed in range(RESERVERS)))
        reserved, doubled = sum(one.reserved for one in tallies), sum(one.doubled for one in tallies)
        about = f"{reserved:,} reservations from {RESERVERS} processes, {EXECUTORS} executors of one slot"
        return [
            Figure("reservations_doubled", doubled, "", about),
            Figure(
                "reservations_leaked", await count_leaks(cell, EXECUTORS), "slots and grants", f"{about}; all let go"
            ),
        ]


async def reserve_in_process(url: str, count: int, seed: int) -> Tally:
    """Reserve so many in a process of its own. Raises SchedulerUnavailable."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mediafleet.bench.reserver", url, CELL, str(count), str(seed)),
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise SchedulerUnavailable("A process that was to reserve executors failed; its error stands above.")
    return msgspec.json.decode(told, type=Tally)


async def count_leaks(cell: BenchCell, executors: int) -> int:
    """Return the slots and grants that are still held though all attempts have ended, and the executors that are gone."""
    pools = await cell.store.read.pools()
    taken = sum(pool.slots * pool.executors - pool.free for pool in pools)
    return taken + await cell.count_grants() + executors - sum(pool.executors for pool in pools)
