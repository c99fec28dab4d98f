"""`bench` hands over to the benchmarks, where they are installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests_support.command_line import RunCli

from mediafleet import bench
from mediafleet.bench import Bench, choose
from mediafleet.bench.figure import Figure
from mediafleet.cli._app import app

HELP = str(app["bench"].help_epilogue)
_REAL = dict(bench.BENCHES)


async def canned() -> list[Figure]:
    return [Figure("one", 1.5, "s")]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two benchmarks that measure nothing."""
    monkeypatch.setattr(bench, "BENCHES", {"first": Bench(canned, ("one",)), "second": Bench(canned, ("one",))})


def test_a_program_gets_a_list_of_figures(bare: RunCli) -> None:
    ran = bare("bench", "second", "--json")
    assert (ran.code, ran.err) == (0, "measuring second …\n")
    assert ran.json == [{"name": "one", "value": 1.5, "unit": "s", "compared_to": "", "ratio": None}]


def test_people_get_one_table_of_all_figures(bare: RunCli) -> None:
    ran = bare("bench")
    assert ran.code == 0
    assert ran.out.count("one") == 2


def test_an_unknown_benchmark_is_refused_with_those_that_there_are(bare: RunCli) -> None:
    ran = bare("bench", "third")
    assert (ran.code, ran.err) == (
        2,
        "mediafleet: There is no benchmark 'third'; there are first, second, and the figures one, one.\n",
    )


@pytest.mark.parametrize("command", [line for line in HELP.splitlines() if "mediafleet bench" in line])
def test_every_benchmark_that_the_help_teaches_exists(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "BENCHES", _REAL)
    names = [word for word in command.split()[2:] if not word.startswith("-")]
    assert choose(names)


def test_interpreters_with_peers_can_be_named_one_by_one(bare: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    async def with_peers(pythons: Sequence[Path]) -> list[Figure]:
        return [Figure("one", len(pythons), " ".join(map(str, pythons)))]

    monkeypatch.setattr(bench, "BENCHES", {"first": Bench(canned, ("one",), with_peers)})
    ran = bare("bench", "first", "--with-peers", "--peers-python", "/a/python", "--peers-python", "/b/python", "--json")
    assert [(figure["value"], figure["unit"]) for figure in ran.json] == [(2, "/a/python /b/python")]


def test_a_benchmark_without_peers_runs_all_the_same(bare: RunCli) -> None:
    assert bare("bench", "first", "--with-peers", "--json").json


def test_a_film_of_the_users_is_measured_where_films_are(
    bare: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def with_film(film: Path) -> list[Figure]:
        return [Figure("one", 7.0, str(film))]

    (tmp_path / "film.mkv").touch()
    monkeypatch.chdir(tmp_path)
    filmed = Bench(canned, ("one",), measure_with_film=with_film)
    monkeypatch.setattr(bench, "BENCHES", {"first": filmed, "second": Bench(canned, ("one",))})
    units = [figure["unit"] for figure in bare("bench", "--film", "film.mkv", "--json").json]
    assert (units[0], units[1] == units[0]) == (str(tmp_path / "film.mkv"), False)
    refused = bare("bench", "first", "--film", "none.mkv")
    assert (refused.code, refused.err) == (2, "mediafleet: There is no film 'none.mkv' to measure with.\n")


def test_an_installation_without_benchmarks_says_so(bare: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    absent: Any = None
    monkeypatch.setitem(sys.modules, "mediafleet.bench", absent)
    ran = bare("bench", "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "config-error"
    assert "run them from a checkout" in ran.err
