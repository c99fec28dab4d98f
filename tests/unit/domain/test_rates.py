"""Shares and means fade, and rates are those of the last while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain import rates
from mediafleet.domain.insight import KindTally
from mediafleet.domain.rates import HALF_LIFE_S, FadingTallies, RateMeter, Tally


def test_a_name_has_its_share_of_failures_and_its_mean() -> None:
    tallies = FadingTallies()
    tallies.note("n0-a", KindTally(3, 1, 300), now_s=0)
    tallies.note("n0-a", KindTally(1, 0, 100), now_s=0)
    assert tallies.read(now_s=0) == {"n0-a": Tally(4, 0.25, 100)}


def test_what_is_old_weighs_less_than_what_is_new() -> None:
    """A node that was broken an hour ago and works now is not shown as broken."""
    tallies = FadingTallies()
    tallies.note("n0-a", KindTally(4, 4), now_s=0)
    tallies.note("n0-a", KindTally(2, 0), now_s=HALF_LIFE_S)
    assert tallies.read(now_s=HALF_LIFE_S)["n0-a"].failure_rate == 0.5
    tallies.note("n0-a", KindTally(6, 0), now_s=6 * HALF_LIFE_S)
    assert tallies.read(now_s=6 * HALF_LIFE_S)["n0-a"].failure_rate < 0.02


def test_the_passing_of_time_alone_changes_no_share() -> None:
    tallies = FadingTallies()
    tallies.note("n0-a", KindTally(4, 1, 40), now_s=0)
    later = tallies.read(now_s=2 * HALF_LIFE_S)["n0-a"]
    assert (later.outcomes, later.failure_rate, later.mean_ms) == (1, 0.25, 10)


def test_names_that_nothing_is_left_of_are_dropped() -> None:
    tallies = FadingTallies()
    tallies.note("n0-a", KindTally(1), now_s=0)
    assert tallies.read(now_s=20 * HALF_LIFE_S) == {}
    assert not tallies._tallies


def test_there_are_never_more_names_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_NAMES", 2)
    tallies = FadingTallies()
    for name in "abc":
        tallies.note(name, KindTally(1), now_s=0)
    assert set(tallies.read(now_s=0)) == {"a", "b"}
    tallies.note("c", KindTally(1), now_s=20 * HALF_LIFE_S)
    assert set(tallies.read(now_s=20 * HALF_LIFE_S)) == {"c"}


def test_the_worst_are_those_that_fail_most_and_none_that_never_fail() -> None:
    tallies = FadingTallies()
    for name, failed in (("good", 0), ("bad", 2), ("worst", 3), ("so-so", 1)):
        tallies.note(name, KindTally(4, failed), now_s=0)
    assert tallies.worst(2, now_s=0) == {"worst": 0.75, "bad": 0.5}
    assert list(tallies.worst(9, now_s=0)) == ["worst", "bad", "so-so"]


def test_a_clock_that_stands_still_or_goes_back_does_no_harm() -> None:
    tallies, meter = FadingTallies(), RateMeter()
    tallies.note("n0-a", KindTally(2, 1), now_s=10)
    assert tallies.read(now_s=5)["n0-a"] == Tally(2, 0.5, 0)
    meter.sample({"placed": 1}, now_s=10)
    meter.sample({"placed": 5}, now_s=10)
    assert meter.read() == {}


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1), st.floats(0, 5000)), min_size=1, max_size=20))
def test_a_share_is_always_a_share(notes: list[tuple[int, float, float]]) -> None:
    tallies, now_s = FadingTallies(), 0.0
    for runs, share, pause in notes:
        now_s += pause
        tallies.note("a", KindTally(runs, int(runs * share)), now_s=now_s)
    assert 0 <= tallies.read(now_s=now_s)["a"].failure_rate <= 1


def test_a_rate_is_how_fast_a_counter_rose() -> None:
    meter = RateMeter()
    assert meter.read() == {}
    meter.sample({"placed": 100}, now_s=0)
    assert meter.read() == {}
    meter.sample({"placed": 130, "new": 5}, now_s=10)
    assert meter.read() == {"placed": 3.0, "new": 0.5}


def test_a_rate_is_that_of_the_last_while_only() -> None:
    meter = RateMeter(over_s=60)
    meter.sample({"placed": 0}, now_s=0)
    for second in range(1, 201):
        meter.sample({"placed": 6000}, now_s=second)
    assert meter.read() == {"placed": 0.0}
    assert len(meter._samples) <= 62
