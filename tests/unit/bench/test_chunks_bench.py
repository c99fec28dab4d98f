"""The benchmark of films in chunks measures real nodes; here with small numbers, since only the figures' shape is judged."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet import bench
from mediafleet.bench import BENCHES, chunks, small_files
from mediafleet.bench.figure import Figure
from mediafleet.domain.errors import ConfigError

linux_only = pytest.mark.skipif(
    not hasattr(chunks.os, "sched_setaffinity"), reason="processes can be bound to one core on Linux only"
)
times = st.lists(st.floats(0.01, 100), min_size=1, max_size=40)


@pytest.fixture(autouse=True)
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little."""
    monkeypatch.setattr(chunks, "SECONDS", 9)
    monkeypatch.setattr(chunks, "SIZE", "128x96")
    for name, value in {"FILES": 2, "SECONDS": 1, "ROUNDS": 2, "SIZES": {"small_files_ratio": "128x96"}}.items():
        monkeypatch.setattr(small_files, name, value)
    only = {name: {**params, "speed": "fastest"} for name, params in chunks.ENCODERS.items() if name != "libx265"}
    for module in (chunks, small_files):
        monkeypatch.setattr(module, "ENCODERS", only)


@linux_only
def test_every_figure_of_chunks_is_measured_beside_plain_ffmpeg(capsys: pytest.CaptureFixture[str]) -> None:
    before = chunks.os.sched_getaffinity(0)
    assert bench.main(["chunks"], json=True) == 0
    figures = {figure.name: figure for figure in msgspec.json.decode(capsys.readouterr().out, type=list[Figure])}
    assert tuple(figures) == BENCHES["chunks"].figures
    assert all(figure.value > 0 and figure.ratio == figure.value for figure in figures.values())
    assert "2 chunks" in figures["chunk_speedup_ratio"].compared_to, "it was cut"
    assert figures["chunk_speedup_ratio"].compared_to.startswith("plain ffmpeg with 2 threads")
    assert chunks.os.sched_getaffinity(0) == before


@linux_only
def test_small_files_are_measured_in_rounds_and_their_median_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["files"], json=True) == 0
    (figure,) = msgspec.json.decode(capsys.readouterr().out, type=list[Figure])
    assert (figure.name, figure.ratio) == ("small_files_ratio", figure.value)
    found = re.search(
        r"2 files of 1 s in 128x96, the median of 2 rounds from ([0-9.]+) to ([0-9.]+)", figure.compared_to
    )
    assert found
    least, most = map(float, found.groups())
    assert 0 < least <= round(figure.value, 2) <= most


def test_a_system_that_binds_no_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(chunks.os, "sched_setaffinity", raising=False)
    with pytest.raises(ConfigError, match="Linux only"):
        bench.main(["splits"])


@given(times, st.integers(1, 12))
def test_a_makespan_is_no_less_than_the_work_and_no_more_than_one_task_longer(took: list[float], workers: int) -> None:
    found = chunks.makespan(took, workers)
    assert found >= max(*took, sum(took) / workers) * (1 - 1e-9)
    assert found <= (sum(took) / workers + max(took)) * (1 + 1e-9)


def test_equal_tasks_are_shared_out_evenly() -> None:
    assert chunks.makespan([2.0] * 8, 4) == 4.0
    assert chunks.makespan([1.0, 1.0, 5.0], 2) == 6.0
