"""How many tasks a scheduler instance gets through, and how long one takes on an idle fleet.

One instance, private store with its file synced each second, fake nodes over real WebSockets, bulk
submission: submit → placed → acknowledged → done, results recorded.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import aiohttp
import psutil

from mediafleet.bench.figure import Figure, percentile
from mediafleet.bench.fleet import BenchFleet, bench_fleet
from mediafleet.domain.errors import SchedulerUnavailable

NODES = 100
SLOTS = 4
JOBS = 20_000
BULK = 1_000
WARM_UP = 2_000
SINGLES = 500
POLL_S = 0.02


async def measure_noop() -> list[Figure]:
    """Measure throughput, processor time and idle latency of no-op tasks."""
    async with (
        bench_fleet("scheduler") as fleet,
        _fake_nodes(fleet.url) as nodes,
        aiohttp.ClientSession(fleet.url) as session,
    ):
        # Scripts are loaded, sockets opened and code paths taken once before anything is measured.
        await _push(session, WARM_UP)
        before = _cpu(fleet, nodes)
        seconds = await _push(session, JOBS)
        cpu = _cpu(fleet, nodes) - before
        latencies = [await _single(session) for _ in range(SINGLES)]
    return [
        Figure("noop_tasks_per_s", JOBS / seconds, "1/s", f"{NODES} nodes x {SLOTS} slots, bulk {BULK}"),
        Figure("noop_cpu_s_per_1000", cpu / JOBS * 1000, "s", "scheduler + store + fake nodes"),
        Figure("noop_latency_p50_ms", percentile(latencies, 50), "ms", "idle, submit to running"),
        Figure("noop_latency_p99_ms", percentile(latencies, 99), "ms", "idle, submit to running"),
    ]


@asynccontextmanager
async def _fake_nodes(url: str) -> AsyncGenerator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mediafleet.bench.fake_nodes", url, str(NODES), str(SLOTS)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        # Without nodes no job would ever complete, and the measurement would wait for ever.
        if process.stdout is None or await process.stdout.readline() != b"ready\n":
            raise SchedulerUnavailable("The fake nodes of the measurement did not join its fleet.")
        yield process.pid
    finally:
        # It may have ended by itself, and then cannot be killed.
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _cpu(fleet: BenchFleet, nodes: int) -> float:
    times = psutil.Process(nodes).cpu_times()
    return fleet.cpu_seconds() + times.user + times.system


async def _push(session: aiohttp.ClientSession, count: int) -> float:
    """Submit so many jobs in bulk and wait until all are completed; return the seconds."""
    # Counted from what is there, since the store keeps the completed jobs of the warm-up.
    done = await _completed(session) + count
    started = time.perf_counter()
    for _ in range(count // BULK):
        async with session.post("/api/v1/jobs", json=[{"kind": "noop"}] * BULK) as response:
            response.raise_for_status()
    while await _completed(session) < done:  # noqa: ASYNC110 - the fleet is another process
        await asyncio.sleep(POLL_S)
    return time.perf_counter() - started


async def _completed(session: aiohttp.ClientSession) -> int:
    async with session.get("/api/v1/jobs", params={"status": "completed", "limit": "1"}) as response:
        return int((await response.json())["total"])


async def _single(session: aiohttp.ClientSession) -> float:
    """Submit one job to an idle fleet; return the milliseconds from sending it to its being run."""
    sent_ms = time.time() * 1000
    async with session.post("/api/v1/jobs", json={"kind": "noop"}) as response:
        job = (await response.json())["id"]
    while True:
        async with session.get(f"/api/v1/jobs/{job}") as response:
            view = await response.json()
        # The start is the scheduler's own mark, so how often we look makes no measured time longer.
        if view["status"] == "completed":
            return float(view["started_ms"]) - sent_ms
