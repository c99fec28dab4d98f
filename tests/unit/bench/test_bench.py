"""The benchmarks measure a real fleet; here with small numbers, since only the figures' shape is judged."""

from __future__ import annotations

import msgspec
import pytest

from mediafleet import bench
from mediafleet.bench import fake_nodes, noop, overhead
from mediafleet.bench.figure import Figure, percentile
from mediafleet.domain.errors import InvalidRequest


@pytest.fixture(autouse=True)
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little."""
    for name, value in {"NODES": 3, "JOBS": 200, "BULK": 100, "WARM_UP": 100, "SINGLES": 3}.items():
        monkeypatch.setattr(noop, name, value)
    for name, value in {"ROUNDS": 1, "LONG_S": 0.5, "SMALL_S": 0.2, "SMALL_FILES": 2}.items():
        monkeypatch.setattr(overhead, name, value)


def read(printed: str) -> dict[str, Figure]:
    return {figure.name: figure for figure in msgspec.json.decode(printed, type=list[Figure])}


def test_the_noop_benchmark_reports_rate_cost_and_latency(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["noop"], json=True) == 0
    figures = read(capsys.readouterr().out)
    assert set(figures) == {
        "noop_tasks_per_s",
        "noop_cpu_s_per_1000",
        "noop_latency_p50_ms",
        "noop_latency_p99_ms",
    }
    assert all(figure.value > 0 for figure in figures.values())


def test_the_transcode_benchmarks_compare_with_plain_ffmpeg(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["transcode", "batch"], json=True) == 0
    figures = read(capsys.readouterr().out)
    assert figures["transcode_overhead_ratio"].compared_to.startswith("plain ffmpeg")
    assert figures["transcode_verify_s"].value > 0
    assert figures["batch_overhead_ratio"].ratio == figures["batch_overhead_ratio"].value


def test_figures_are_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["noop"], json=False, with_peers=True) == 0
    printed = capsys.readouterr()
    assert "noop_tasks_per_s" in printed.out
    assert "peers" in printed.err


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(InvalidRequest, match="nope"):
        bench.main(["nope"])


def test_a_percentile_is_a_measured_value() -> None:
    values = [float(n) for n in range(100)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile([1.0], 99) == 1.0


def test_fake_nodes_give_a_result_that_the_protocol_takes() -> None:
    assert fake_nodes.RESULT.result == {"echo": ""}
