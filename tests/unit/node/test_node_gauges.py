"""How much of a machine is in use: what the gauges tell, and that none of them can hold a node up."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import psutil
import pytest

from mediafleet.node import gauges
from mediafleet.node.gauges import SMOOTHING, Cards, CpuMeter, LoadGauges

LIBRARY = "cards_of_this_test"


class NvmlError(Exception):
    """What the library raises."""


class Times(NamedTuple):
    """What psutil tells of all processors."""

    user: float
    idle: float


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with two cards, as NVIDIA's library shows them."""
    module: Any = ModuleType(LIBRARY)
    module.NVMLError = NvmlError
    module.nvmlInit = lambda: None
    module.nvmlDeviceGetCount = lambda: 2
    module.nvmlDeviceGetHandleByIndex = lambda index: index  # pyright: ignore[reportUnknownLambdaType]
    module.nvmlDeviceGetName = lambda index: [b"Card A", "Card B"][index]  # pyright: ignore[reportUnknownLambdaType]
    module.nvmlDeviceGetMemoryInfo = lambda index: SimpleNamespace(total=100, used=[20, 90][index])  # pyright: ignore[reportUnknownLambdaType]
    module.nvmlDeviceGetUtilizationRates = lambda index: SimpleNamespace(gpu=[70, 10][index])  # pyright: ignore[reportUnknownLambdaType]
    monkeypatch.setitem(sys.modules, LIBRARY, module)
    return module


def test_cards_are_told_by_the_fullest_and_the_busiest(library: Any) -> None:
    cards = Cards(LIBRARY)
    assert cards.names == ("Card A", "Card B")
    assert cards.measure() == {"gpu": 0.9, "gpu_busy": 0.7}


def test_without_the_library_there_are_no_cards() -> None:
    cards = Cards("no_such_library")
    assert (cards.names, cards.measure()) == ((), {})


def test_without_a_driver_there_are_no_cards(library: Any) -> None:
    def refuse() -> None:
        raise NvmlError("no driver")

    library.nvmlInit = refuse
    cards = Cards(LIBRARY)
    assert (cards.names, cards.measure()) == ((), {})


def test_a_card_that_falls_off_the_bus_is_left_out_and_raises_nothing(library: Any) -> None:
    cards = Cards(LIBRARY)

    def refuse(index: int) -> None:
        raise NvmlError("lost")

    library.nvmlDeviceGetMemoryInfo = refuse
    assert cards.measure() == {}


def test_the_processor_is_told_smoothly_with_the_part_of_the_nodes_own_work(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = CpuMeter()
    times: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0), (10.0, 2.0, 5.0)]

    def look() -> Any:
        total, idle, _ = times[0]
        return Times(total - idle, idle)

    monkeypatch.setattr(psutil, "cpu_times", look)
    monkeypatch.setattr(meter, "_own_seconds", lambda: times[0][2])
    assert meter.measure() == {"cpu": 0.0, "cpu_own": 0.0}
    times.pop(0)
    # Busy for 8 of 10 seconds, 5 of them its own; of one sample only a part counts.
    assert meter.measure() == pytest.approx({"cpu": 0.8 * SMOOTHING, "cpu_own": 0.5 * SMOOTHING})


def test_the_work_of_children_is_the_nodes_own() -> None:
    meter = CpuMeter()
    before = meter._own_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert meter._own_seconds() > before


def test_a_sample_tells_of_processor_memory_and_disk_in_shares(tmp_path: Path) -> None:
    sample = LoadGauges(tmp_path, Cards("no_such_library")).sample()
    assert sample.keys() == {"cpu", "cpu_own", "memory", "memory_free_gb", "disk", "disk_free_gb"}
    assert all(0 <= sample[name] <= 1 for name in ("cpu", "cpu_own", "memory", "disk"))


def test_a_disk_that_is_gone_is_left_out(tmp_path: Path) -> None:
    sample = LoadGauges(tmp_path / "gone", Cards("no_such_library")).sample()
    assert "disk" not in sample
    assert "memory" in sample


def test_gauges_go_on_until_the_block_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = threading.Semaphore(0)
    with LoadGauges(tmp_path, Cards("no_such_library"), every_s=0.001) as running:
        monkeypatch.setattr(running, "sample", lambda: looks.release() or {"cpu": 0.5})
        assert running.wait_first(20)
        for _ in range(3):
            assert looks.acquire(timeout=20)
        assert running.latest == {"cpu": 0.5}
    for thread in [one for one in threading.enumerate() if one.name == "gauges"]:
        thread.join(20)
        assert not thread.is_alive()


def test_a_gauge_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    def hang(_: object) -> dict[str, float]:
        hangs.wait(60)
        return {}

    monkeypatch.setattr(gauges, "_read", hang)
    with LoadGauges(tmp_path, Cards("no_such_library")) as running:
        assert not running.wait_first(0.01)
        assert running.latest == {}
    hangs.set()
