"""How numbers read to a person."""

from __future__ import annotations

import pytest
from fake_fleet import FakeFleet
from hypothesis import given
from hypothesis.strategies import floats, integers

from mediafleet.console.words import ago_text, iso_text, pace_text, percent, size_text, span_text, took_text
from mediafleet.domain.lifecycle import JobStatus


@pytest.mark.parametrize(
    ("count", "text"),
    [(-1, ""), (0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (123_456_789, "123 MB"), (2 << 30, "2.1 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, ""),
        (-5, "0 s"),
        (59_000, "59 s"),
        (61_000, "1 min 1 s"),
        (3_700_000, "1 h 1 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_spans(milliseconds: int | None, text: str) -> None:
    assert span_text(milliseconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "just now"),
        (4, "just now"),
        (5, "5 s ago"),
        (300, "5 min ago"),
        (7200, "2 h ago"),
        (86_400, "1 day ago"),
        (900_000, "10 days ago"),
    ],
)
def test_how_long_ago(seconds: int, text: str) -> None:
    assert ago_text(0, seconds * 1000) == text


def test_a_moment_for_machines() -> None:
    assert iso_text(1_700_000_000_000) == "2023-11-14T22:13:20+00:00"


@given(floats(0, 1))
def test_a_share_is_whole_per_cent_and_100_only_at_the_end(fraction: float) -> None:
    assert 0 <= percent(fraction) <= 100
    assert percent(fraction) < 100 or fraction > 0.9999


@given(integers(0, 100))
def test_a_whole_per_cent_is_itself(whole: int) -> None:
    assert percent(whole / 100) == whole


def test_pace_says_what_is_known(fleet: FakeFleet) -> None:
    view = fleet.add_job(status=JobStatus.PROCESSING, stage="encoding", speed=3.21, eta_ms=61_000)
    assert pace_text(view) == "encoding · 3.2× · 1 min 1 s left"
    assert pace_text(fleet.add_job()) == ""


def test_only_a_job_that_ran_took_time(fleet: FakeFleet) -> None:
    assert took_text(fleet.add_job(started_ms=1000, finished_ms=6000)) == "5 s"
    assert took_text(fleet.add_job()) == ""
