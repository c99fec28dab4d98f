"""The same measurement for the fleet and for each peer: a warm-up, a bulk, single tasks; of several, the median.

What is compared takes turns, each time started anew: what else this machine does for a while then meets all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import msgspec

from mediafleet.bench.cpu import tree_cpu_seconds
from mediafleet.bench.figure import percentile

ROUNDS = 3
"""Turns of each system; odd, so that the median is one of them."""
JOBS = 10_000
"""Tasks of a round."""
WARM_UP = 2_000
SINGLES = 200
"""Single tasks of a round."""


class Throughput(msgspec.Struct, frozen=True):
    """What one system did, in one round or in the median of several."""

    tasks_per_s: float
    cpu_s_per_1000: float
    """Of the whole process tree: client, server, workers, store."""
    latency_p50_ms: float
    """Idle, from submitting one task to its result in the client's hand."""
    latency_p99_ms: float


async def measure_round(
    push: Callable[[int], Awaitable[float]], single: Callable[[int], Awaitable[Sequence[float]]]
) -> Throughput:
    """Warm up what was just started, push a bulk, then measure single tasks on what is idle by then.

    Args:
        push: Submits so many tasks, waits until all results are recorded, and returns the seconds.
        single: Runs so many tasks one after the other and returns the milliseconds of each.
    """
    # Scripts are loaded, sockets opened and code paths taken once before anything is measured.
    await push(WARM_UP)
    before = tree_cpu_seconds()
    seconds = await push(JOBS)
    cpu_s_per_1000 = (tree_cpu_seconds() - before) / JOBS * 1000
    latencies = list(await single(SINGLES))
    return Throughput(JOBS / seconds, cpu_s_per_1000, percentile(latencies, 50), percentile(latencies, 99))


def take_median(rounds: Sequence[Throughput]) -> Throughput:
    """Return the median of each number: one round that another program disturbed must not move the figures."""
    return Throughput(*map(median, zip(*map(msgspec.structs.astuple, rounds), strict=True)))
