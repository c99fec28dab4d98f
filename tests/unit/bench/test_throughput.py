"""Every system is measured alike: a warm-up that counts for nothing, a bulk, then single tasks."""

from __future__ import annotations

import pytest

from mediafleet.bench import throughput
from mediafleet.bench.throughput import Throughput, measure_round, take_median


class Pushed:
    """A system that takes as long as it is told, and half of that of the processor."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = iter(seconds)
        self.cpu_s = 0.0
        self.counts: list[int] = []

    async def push(self, count: int) -> float:
        self.counts.append(count)
        seconds = next(self._seconds)
        self.cpu_s += seconds / 2
        return seconds

    async def single(self, count: int) -> list[float]:
        self.counts.append(count)
        return [float(number) for number in range(1, count + 1)]


@pytest.fixture(autouse=True)
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of a thousand, so that its processor seconds are those of a thousand."""
    for name, value in {"JOBS": 1000, "WARM_UP": 10, "SINGLES": 100}.items():
        monkeypatch.setattr(throughput, name, value)


async def test_the_rate_is_that_of_the_bulk_and_not_of_the_warm_up() -> None:
    system = Pushed(100.0, 2.0)
    measured = await measure_round(system.push, system.single)
    assert measured.tasks_per_s == 500.0
    assert system.counts == [10, 1000, 100]


async def test_latencies_are_percentiles_of_single_tasks() -> None:
    system = Pushed(1.0, 1.0)
    measured = await measure_round(system.push, system.single)
    assert (measured.latency_p50_ms, measured.latency_p99_ms) == (51.0, 100.0)


async def test_processor_time_is_that_of_the_bulk_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    system = Pushed(100.0, 3.0)
    monkeypatch.setattr(throughput, "tree_cpu_seconds", lambda: system.cpu_s)
    assert (await measure_round(system.push, system.single)).cpu_s_per_1000 == 1.5


def test_of_several_rounds_each_number_is_its_own_median() -> None:
    rounds = [Throughput(1.0, 5.0, 9.0, 30.0), Throughput(2.0, 4.0, 7.0, 10.0), Throughput(3.0, 6.0, 8.0, 20.0)]
    assert take_median(rounds) == Throughput(2.0, 5.0, 8.0, 20.0)
