"""The same measurement for the fleet and for each peer: rounds of bulk, the median of each number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import msgspec

from mediafleet.bench.cpu import tree_cpu_seconds
from mediafleet.bench.figure import percentile

ROUNDS = 3
JOBS = 10_000
"""Tasks of a round."""
WARM_UP = 2_000
SINGLES = 500


class Throughput(msgspec.Struct, frozen=True):
    """What one system did in one run."""

    tasks_per_s: float
    cpu_s_per_1000: float
    """Of the whole process tree: client, server, workers, store."""
    latency_p50_ms: float
    """Idle, from submitting one task to its result in the client's hand."""
    latency_p99_ms: float


async def measure_throughput(
    push: Callable[[int], Awaitable[float]], single: Callable[[int], Awaitable[Sequence[float]]]
) -> Throughput:
    """Warm up, push the rounds, then measure single tasks on what is idle by then.

    Args:
        push: Submits so many tasks, waits until all results are recorded, and returns the seconds.
        single: Runs so many tasks one after the other and returns the milliseconds of each.
    """
    # Scripts are loaded, sockets opened and code paths taken once before anything is measured.
    await push(WARM_UP)
    rounds = [await _measure_round(push) for _ in range(ROUNDS)]
    latencies = list(await single(SINGLES))
    # The median of each: one round that another program of this machine disturbed must not move the figures.
    rate, cpu = (median(column) for column in zip(*rounds, strict=True))
    return Throughput(rate, cpu, percentile(latencies, 50), percentile(latencies, 99))


async def _measure_round(push: Callable[[int], Awaitable[float]]) -> tuple[float, float]:
    before = tree_cpu_seconds()
    seconds = await push(JOBS)
    return JOBS / seconds, (tree_cpu_seconds() - before) / JOBS * 1000
