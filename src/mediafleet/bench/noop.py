"""How many tasks a scheduler instance gets through, and how long one takes on an idle fleet.

One instance, private store with its file synced each second, fake nodes over real WebSockets, bulk
submission: submit → placed → acknowledged → done, results recorded.
"""

from __future__ import annotations

import asyncio
import platform
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp

from mediafleet.bench import throughput
from mediafleet.bench.comparison import MeasuredPeer, list_figures, merge_rounds
from mediafleet.bench.figure import Figure, percentile
from mediafleet.bench.fleet import bench_fleet
from mediafleet.bench.peer_process import InstalledPeer, find_peers, peer_process
from mediafleet.bench.throughput import Throughput, measure_round, take_median
from mediafleet.domain.errors import SchedulerUnavailable, TaskFailed
from mediafleet.store.embedded import EmbeddedRedis
from mediafleet.store.server_binary import find_server

NODES = 100
SLOTS = 4
BULK = 1_000
POLL_S = 0.02
PUSH_LIMIT_S = 300.0
"""Longest round, as for a peer: a fleet that lost its nodes would be waited for without end."""


STARTS = "idle, submit to running"


@dataclass(frozen=True)
class _OwnRound:
    """What the fleet did in one round, with the milliseconds to the start of each single task."""

    result: Throughput
    starts: list[float]


async def measure_noop() -> list[Figure]:
    """Measure throughput, processor time and idle latency of no-op tasks."""
    return await _compare([])


async def measure_noop_with_peers(pythons: Sequence[Path]) -> list[Figure]:
    """Measure the same, and then each peer that one of the interpreters has, on a fresh store of the same settings.

    A peer that is not installed, or that fails, is said on standard error and left out.

    Raises:
        ConfigError: One of the paths is no Python interpreter that works.
    """
    installed, missing = await find_peers(pythons)
    if missing:
        where = ", ".join(map(str, pythons))
        print(f"Not installed in {where}, so not measured: {', '.join(missing)}.", file=sys.stderr)
    return await _compare(installed)


async def _compare(installed: Sequence[InstalledPeer]) -> list[Figure]:
    ours: list[_OwnRound] = []
    peers: dict[str, list[MeasuredPeer]] = {peer.name: [] for peer in installed}
    for turn in range(throughput.ROUNDS):
        ours.append(await _measure_ours())
        for peer in installed:
            if peer.name in peers and not await _add_round(peers[peer.name], peer, turn + 1):
                del peers[peer.name]
    return _list_figures(ours, [merge_rounds(rounds) for rounds in peers.values()])


def _list_figures(ours: Sequence[_OwnRound], peers: Sequence[MeasuredPeer]) -> list[Figure]:
    about = {
        "noop_tasks_per_s": f"{NODES} nodes x {SLOTS} slots, bulk {BULK}; "
        f"Python {platform.python_version()}, {_describe_store()}",
        "noop_cpu_s_per_1000": "client + scheduler + store + fake nodes",
        "noop_latency_p50_ms": "idle, submit to result",
        "noop_latency_p99_ms": "idle, submit to result",
    }
    figures = list_figures(take_median([one.result for one in ours]), about, peers)
    starts = [
        Figure(f"noop_start_p{percent}_ms", median(percentile(one.starts, percent) for one in ours), "ms", STARTS)
        for percent in (50, 99)
    ]
    return [*figures[: len(about)], *starts, *figures[len(about) :]]


async def _measure_ours() -> _OwnRound:
    starts: list[float] = []
    async with (
        bench_fleet("scheduler") as fleet,
        fake_nodes(fleet.url),
        aiohttp.ClientSession(fleet.url) as session,
    ):

        async def single(count: int) -> list[float]:
            pairs = [await _single(session) for _ in range(count)]
            starts.extend(started for started, _ in pairs)
            return [finished for _, finished in pairs]

        return _OwnRound(await measure_round(lambda count: push_jobs([session], count), single), starts)


async def _add_round(rounds: list[MeasuredPeer], peer: InstalledPeer, turn: int) -> bool:
    """Measure a peer once more; return whether it could be."""
    print(f"measuring {peer.name}, {turn} of {throughput.ROUNDS} …", file=sys.stderr)
    try:
        rounds.append(await _measure_peer(peer))
    except TaskFailed as error:
        print(f"Left out: {error}\n{error.detail}", file=sys.stderr)
        return False
    return True


async def _measure_peer(peer: InstalledPeer) -> MeasuredPeer:
    with tempfile.TemporaryDirectory(prefix="mediafleet-bench-") as data:
        async with (
            EmbeddedRedis(Path(data)) as store,
            peer_process(peer.name, peer.module, python=peer.python, redis_url=store.url) as process,
        ):
            result = await measure_round(process.push, process.single)
    return MeasuredPeer(peer.name, f"{peer.versions}; {process.settings}; {_describe_store()}", result)


def _describe_store() -> str:
    server = find_server()
    return f"{server.path.name} {server.version[0]}.{server.version[1]}, AOF everysec, unix socket"


@asynccontextmanager
async def fake_nodes(url: str, nodes: int = NODES, *, first: int = 0) -> AsyncGenerator[int]:
    """Run so many fake nodes, numbered from `first`, inside the block; yield the id of their process.

    Raises:
        SchedulerUnavailable: They did not join.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mediafleet.bench.fake_nodes", url, str(nodes), str(SLOTS), str(first)),
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


async def push_jobs(sessions: Sequence[aiohttp.ClientSession], count: int) -> float:
    """Submit so many jobs in bulk, at each instance in turn, and wait until all are completed; return the seconds.

    Raises:
        SchedulerUnavailable: They were not after `PUSH_LIMIT_S`.
    """
    # Counted from what is there, since the store keeps the completed jobs of the warm-up.
    done = await _completed(sessions[0]) + count
    started = time.perf_counter()
    for turn, start in enumerate(range(0, count, BULK)):
        session = sessions[turn % len(sessions)]
        async with session.post("/api/v1/jobs", json=[{"kind": "noop"}] * min(BULK, count - start)) as response:
            response.raise_for_status()
    while await _completed(sessions[0]) < done:
        await asyncio.sleep(POLL_S)
        if time.perf_counter() - started > PUSH_LIMIT_S:
            raise SchedulerUnavailable(
                f"The fleet to be measured did not complete {count} jobs in {PUSH_LIMIT_S:.0f} s."
            )
    return time.perf_counter() - started


async def _completed(session: aiohttp.ClientSession) -> int:
    async with session.get("/api/v1/jobs", params={"status": "completed", "limit": "1"}) as response:
        return int((await response.json())["total"])


async def _single(session: aiohttp.ClientSession) -> tuple[float, float]:
    """Submit one job to an idle fleet; return the milliseconds from sending it to its being run, and to its result."""
    sent_ms = time.time() * 1000
    sent = time.perf_counter()
    async with session.post("/api/v1/jobs", json={"kind": "noop"}, params={"wait_s": "30"}) as response:
        view = await response.json()
    if view["status"] != "completed":
        raise SchedulerUnavailable(f"The fleet to be measured did not complete a single job: {view['status']}.")
    # The start is the scheduler's own mark, so the answer's way makes it no longer.
    return float(view["started_ms"]) - sent_ms, (time.perf_counter() - sent) * 1000
