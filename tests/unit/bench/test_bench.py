"""The benchmarks measure a real fleet; here with small numbers, since only the figures' shape is judged."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from mediafleet import bench
from mediafleet.bench import BENCHES, Bench, noop, overhead, throughput
from mediafleet.bench.figure import Figure
from mediafleet.domain.errors import InvalidRequest


@pytest.fixture(autouse=True)
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little."""
    for name, value in {"NODES": 3, "BULK": 100}.items():
        monkeypatch.setattr(noop, name, value)
    for name, value in {"JOBS": 150, "WARM_UP": 100, "SINGLES": 3, "ROUNDS": 2}.items():
        monkeypatch.setattr(throughput, name, value)
    for name, value in {"ROUNDS": 1, "LONG_S": 0.5, "SMALL_S": 0.2, "SMALL_FILES": 2}.items():
        monkeypatch.setattr(overhead, name, value)


def read(printed: str) -> dict[str, Figure]:
    return {figure.name: figure for figure in msgspec.json.decode(printed, type=list[Figure])}


def test_the_noop_benchmark_reports_rate_cost_and_latency(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["noop"], json=True) == 0
    figures = read(capsys.readouterr().out)
    assert tuple(figures) == BENCHES["noop"].figures
    assert all(figure.value > 0 for figure in figures.values())


def test_the_transcode_benchmarks_compare_with_plain_ffmpeg(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["transcode", "batch"], json=True) == 0
    figures = read(capsys.readouterr().out)
    assert tuple(figures) == BENCHES["transcode"].figures + BENCHES["batch"].figures
    assert figures["transcode_overhead_ratio"].compared_to.startswith("plain ffmpeg")
    assert figures["transcode_verify_s"].value > 0
    assert figures["batch_overhead_ratio"].ratio == figures["batch_overhead_ratio"].value
    assert figures["batch_verify_s"].value > 0


def test_figures_are_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["noop"], json=False) == 0
    assert "noop_tasks_per_s" in capsys.readouterr().out


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(InvalidRequest, match="nope"):
        bench.main(["nope"])


def test_no_figure_is_printed_where_one_of_the_names_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidRequest, match="there are noop, transcode, copy, batch"):
        bench.main(["noop", "nope"])
    assert not capsys.readouterr().out


async def canned() -> list[Figure]:
    return [Figure("one", 1234.5, "1/s", "nothing", 0.25), Figure("two", 2.0, "s")]


async def none() -> list[Figure]:
    return []


def test_all_benchmarks_run_where_none_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "BENCHES", {"first": Bench(canned, ("one", "two")), "second": Bench(none, ())})
    assert bench.main([], json=True) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["measuring first …", "measuring second …"]
    assert list(read(printed.out)) == ["one", "two"]


def test_only_the_named_benchmark_runs_and_json_stays_a_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "BENCHES", {"first": Bench(canned, ("one", "two")), "second": Bench(none, ())})
    assert bench.main(["second"], json=True) == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["two"], ["two"]),
        (["two", "one"], ["one", "two"]),
        (["first"], ["one", "two"]),
        (["one", "first"], ["one", "two"]),
    ],
)
def test_a_figure_can_be_named_and_its_benchmark_runs_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], names: list[str], wanted: list[str]
) -> None:
    monkeypatch.setattr(bench, "BENCHES", {"first": Bench(canned, ("one", "two")), "second": Bench(none, ())})
    assert bench.main(names, json=True) == 0
    printed = capsys.readouterr()
    assert printed.err == "measuring first …\n"
    assert list(read(printed.out)) == wanted


def test_figures_of_peers_come_with_the_one_that_is_named_and_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def with_peers(pythons: Sequence[Path]) -> list[Figure]:
        return [*await canned(), Figure(f"one.{pythons[0].name}", 2.0, "s"), Figure("two.huey", 3.0, "s")]

    monkeypatch.setattr(bench, "BENCHES", {"first": Bench(canned, ("one", "two"), with_peers)})
    assert bench.main(["one"], json=True, with_peers=True) == 0
    assert list(read(capsys.readouterr().out)) == ["one", f"one.{Path(sys.executable).name}"]
    assert bench.main(["one"], json=True, peers_python=[Path("/other/snake")]) == 0
    assert list(read(capsys.readouterr().out)) == ["one", "one.snake"]
    assert bench.main(["one"], json=True) == 0
    assert list(read(capsys.readouterr().out)) == ["one"]


def test_the_figures_that_others_rely_on_can_be_named() -> None:
    for figure in ("noop_tasks_per_s", "noop_latency_p99_ms", "noop_cpu_s_per_1000", "batch_overhead_ratio"):
        assert bench.choose([figure]) == {figure.split("_")[0]: {figure}}


def test_the_table_groups_thousands_and_leaves_a_missing_ratio_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "BENCHES", {"first": Bench(canned, ("one", "two"))})
    monkeypatch.setenv("COLUMNS", "120")
    bench.main([])
    rows = [line for line in capsys.readouterr().out.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in rows]
    assert cells == [["one", "1,234.500", "1/s", "nothing", "0.250"], ["two", "2.000", "s", "", ""]]
