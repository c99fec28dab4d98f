"""`check` says what works here, and its exit code agrees."""

from __future__ import annotations

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.domain.errors import ConfigError


def test_this_machine_can_work_and_the_report_says_with_what(cli: RunCli) -> None:
    ran = cli("check", "--json")
    assert ran.code == 0
    assert ran.json["ok"]
    topics = {one["topic"]: one for one in ran.json["checks"]}
    assert {"python", "store", "kind noop", "kind transcode", "fleet"} <= topics.keys()
    assert "encoder:libx264" in ran.json["executors"][0]["capabilities"]


def test_a_scheduler_that_was_named_and_is_away_is_a_fault(bare: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.stop()
    ran = bare("check", "--server", scheduler.url)
    assert ran.code == 1
    assert "✗ fleet: No scheduler answers" in ran.out


def test_without_a_redis_server_nothing_works_and_the_package_is_named(
    cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_none() -> None:
        raise ConfigError("No Redis server was found; install redis-server.")

    monkeypatch.setattr("mediafleet.cli.check.find_server", find_none)
    ran = cli("check")
    assert ran.code == 1
    assert "✗ store: No Redis server was found" in ran.out


def test_a_configured_redis_that_is_away_is_a_fault(cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAFLEET_REDIS", "redis://127.0.0.1:1/0")
    ran = cli("check")
    assert ran.code == 1
    assert "✗ store: " in ran.out


def test_a_fleet_that_is_not_up_is_no_fault(bare: RunCli) -> None:
    ran = bare("check")
    assert ran.code == 0
    assert "commands start one when they need it" in ran.out
