"""Moments as people type them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli._moments import read_moment
from mediafleet.domain.errors import InvalidRequest


def test_a_moment_with_an_offset_is_the_same_everywhere() -> None:
    assert read_moment("1970-01-01T01:00:01+01:00", "x") == read_moment("1970-01-01T00:00:01Z", "x") == 1_000


def test_one_without_is_local_time() -> None:
    local = datetime(2030, 1, 31, 18)  # noqa: DTZ001 - local time is what is tested
    assert read_moment("2030-01-31T18:00", "x") == int(local.timestamp() * 1000)
    assert read_moment("20300131", "x") == read_moment("2030-01-31", "x")


def test_milliseconds_and_nothing_are_taken_as_they_are() -> None:
    assert read_moment("1900000000000", "x") == 1_900_000_000_000
    assert read_moment("", "x") == 0


@pytest.mark.parametrize("text", ["soon", "9" * 20, "2030-13-01", "-1"])
def test_what_is_no_moment_is_refused_with_its_option(text: str) -> None:
    with pytest.raises(InvalidRequest, match="--deadline is no moment"):
        read_moment(text, "--deadline")


def test_commands_hand_moments_in(cli: RunCli, scheduler: FakeScheduler, workplace: Path) -> None:
    times = ("--not-before", "1900000000000", "--deadline", "2040-01-01T00:00:00Z")
    (workplace / "a.mp4").write_bytes(b"film")
    assert cli("submit", "noop", *times).code == 0
    assert cli("transcode", "a.mp4", "--out", "done", *times).code == 0
    handed_in = [(one.not_before, one.deadline) for one in scheduler.submissions]
    assert handed_in == [(1_900_000_000_000, 2_208_988_800_000)] * 2
    assert cli("submit", "noop", "--deadline", "soon").code == 2
