"""How numbers read to a person."""

from __future__ import annotations

from typing import Any

import pytest
from fake_fleet import FakeFleet
from hypothesis import given
from hypothesis.strategies import floats, integers

from mediafleet.console.words import (
    NODE_MEANINGS,
    STATUS_MEANINGS,
    ago_text,
    can_retry,
    is_final,
    iso_text,
    pace_text,
    percent,
    size_text,
    span_text,
    took_text,
)
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import NodeState


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (-1, ""),
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (1500, "1.5 KB"),
        (99_900, "99.9 KB"),
        (100_000, "100 KB"),
        (123_456_789, "123 MB"),
        (2 << 30, "2.1 GB"),
        (10**15, "1.0 PB"),
        (10**19, "10000 PB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, ""),
        (-5, "0 s"),
        (499, "0 s"),
        (59_499, "59 s"),
        (59_500, "1 min 0 s"),
        (61_000, "1 min 1 s"),
        (3_599_000, "59 min 59 s"),
        (3_700_000, "1 h 1 min"),
        (86_399_000, "23 h 59 min"),
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
        (59, "59 s ago"),
        (60, "1 min ago"),
        (300, "5 min ago"),
        (3_599, "59 min ago"),
        (7200, "2 h ago"),
        (86_399, "23 h ago"),
        (86_400, "1 day ago"),
        (172_800, "2 days ago"),
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
    assert took_text(fleet.add_job(started_ms=1000)) == ""
    assert took_text(fleet.add_job(finished_ms=6000)) == "", "it was cancelled before it started"


@given(integers(0, 10**19), integers(0, 10**19))
def test_more_bytes_never_read_as_fewer(one: int, other: int) -> None:
    def rank(count: int) -> tuple[int, float]:
        number, unit = size_text(count).split()
        return ("bytes", "KB", "MB", "GB", "TB", "PB").index(unit), float(number)

    small, large = sorted((one, other))
    assert rank(small) <= rank(large)


@given(integers(-(10**12), 10**12), integers(0, 10**12))
def test_a_clock_that_runs_behind_makes_nothing_odd(then_ms: int, now_ms: int) -> None:
    assert ago_text(then_ms, now_ms) == "just now" or ago_text(then_ms, now_ms).endswith(" ago")


@pytest.mark.parametrize(("share", "whole"), [(-0.5, 0), (0.999, 99), (0.29, 29), (1.0, 100), (1.7, 100)])
def test_a_share_outside_of_its_bounds_is_held_to_them(share: float, whole: int) -> None:
    assert percent(share) == whole


def test_every_status_and_state_has_a_meaning_for_people() -> None:
    assert set(STATUS_MEANINGS) == set(JobStatus)
    assert set(NODE_MEANINGS) == set(NodeState)
    assert len(set(STATUS_MEANINGS.values())) == len(JobStatus)


@pytest.mark.parametrize(
    ("status", "final", "retry"),
    [
        (JobStatus.PENDING, False, False),
        (JobStatus.PROCESSING, False, False),
        (JobStatus.COMPLETED, True, False),
        (JobStatus.FAILED, True, True),
        (JobStatus.CANCELLED, True, True),
    ],
)
def test_buttons_follow_the_lifecycle(fleet: FakeFleet, status: JobStatus, *, final: bool, retry: bool) -> None:
    view = fleet.add_job(status=status)
    assert (is_final(view), can_retry(view)) == (final, retry)


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({"stage": "probing"}, "probing"),
        ({"speed": 0.0}, "0.0×"),
        ({"eta_ms": 0}, "0 s left"),
        ({"stage": "encoding", "eta_ms": 90_000}, "encoding · 1 min 30 s left"),
    ],
)
def test_a_pace_leaves_out_what_nobody_knows(fleet: FakeFleet, known: dict[str, Any], text: str) -> None:
    assert pace_text(fleet.add_job(**known)) == text
