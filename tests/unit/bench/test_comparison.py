"""Our figures name the best peer of each, and the ratio is ours divided by it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.bench.comparison import MeasuredPeer, list_figures, merge_rounds
from mediafleet.bench.throughput import Throughput

NAMES = ("noop_tasks_per_s", "noop_cpu_s_per_1000", "noop_latency_p50_ms", "noop_latency_p99_ms")
ABOUT = {name: f"about {name}" for name in NAMES}
OURS = Throughput(4000.0, 0.25, 1.0, 3.0)
QUICK = MeasuredPeer("quick", "quick 1.0; two workers", Throughput(2000.0, 1.0, 8.0, 9.0))
CHEAP = MeasuredPeer("cheap", "cheap 2.0; two workers", Throughput(1000.0, 0.5, 2.0, 6.0))

positive = st.floats(0.001, 1e6)
throughputs = st.builds(Throughput, positive, positive, positive, positive)


def test_throughput_is_against_the_fastest_and_processor_time_against_the_cheapest() -> None:
    own = list_figures(OURS, ABOUT, [QUICK, CHEAP])[:4]
    assert [(figure.name, figure.value, figure.ratio) for figure in own] == [
        ("noop_tasks_per_s", 4000.0, 2.0),
        ("noop_cpu_s_per_1000", 0.25, 0.5),
        ("noop_latency_p50_ms", 1.0, 0.5),
        ("noop_latency_p99_ms", 3.0, 0.5),
    ]
    assert own[0].compared_to == "quick 2,000.00 1/s, the fastest of 2; about noop_tasks_per_s"
    assert own[1].compared_to == "cheap 0.50 s, the cheapest of 2; about noop_cpu_s_per_1000"


def test_without_peers_nothing_is_compared() -> None:
    figures = list_figures(OURS, ABOUT, [])
    assert [(figure.name, figure.compared_to, figure.ratio) for figure in figures] == [
        (name, ABOUT[name], None) for name in NAMES
    ]


def test_each_peer_has_all_figures_and_says_its_versions_and_settings_once() -> None:
    figures = list_figures(OURS, ABOUT, [QUICK, CHEAP])[4:]
    assert [figure.name for figure in figures] == [f"{name}.{peer}" for peer in ("quick", "cheap") for name in NAMES]
    assert [figure.compared_to for figure in figures if figure.compared_to] == [QUICK.about, CHEAP.about]
    assert figures[4].value == 1000.0
    assert figures[4].ratio == 4.0


def test_a_number_that_was_too_small_to_measure_has_no_ratio() -> None:
    peer = MeasuredPeer("tiny", "", Throughput(1.0, 0.0, 1.0, 1.0))
    assert [figure.ratio for figure in list_figures(OURS, ABOUT, [peer])] == [4000.0, None, 1.0, 3.0] * 2


def test_rounds_of_a_peer_become_one_with_the_median_of_each_number() -> None:
    rounds = [MeasuredPeer("quick", "about", result) for result in (QUICK.result, OURS, CHEAP.result)]
    assert merge_rounds(rounds) == MeasuredPeer("quick", "about", Throughput(2000.0, 0.5, 2.0, 6.0))


@given(throughputs, st.lists(throughputs, min_size=1, max_size=5))
def test_no_peer_is_better_than_the_one_that_we_are_compared_to(ours: Throughput, results: list[Throughput]) -> None:
    peers = [MeasuredPeer(str(number), "", result) for number, result in enumerate(results)]
    columns = list(zip(*(msgspec.structs.astuple(result) for result in results), strict=True))
    best = [max(columns[0]), *map(min, columns[1:])]
    for figure, value, number in zip(
        list_figures(ours, ABOUT, peers), msgspec.structs.astuple(ours), best, strict=False
    ):
        assert figure.ratio == pytest.approx(value / number)
