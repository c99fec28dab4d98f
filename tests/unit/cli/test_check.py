"""`check` says what works here, and its exit code agrees."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli._output import Output
from mediafleet.cli.check import Finding, Report, look_at_containment, look_at_kinds, tell
from mediafleet.domain.errors import ConfigError
from mediafleet.node.containment import Containment
from mediafleet.node.isolation import Isolation


def test_this_machine_can_work_and_the_report_says_with_what(cli: RunCli) -> None:
    ran = cli("check", "--json")
    assert ran.code == 0
    assert ran.json["ok"]
    topics = {one["topic"]: one for one in ran.json["checks"]}
    assert {"python", "store", "kind noop", "kind transcode", "fleet"} <= topics.keys()
    assert topics["limits of media programs"]["text"].endswith("no core dumps")
    assert "encoder:libx264" in ran.json["executors"][0]["capabilities"]


def test_programs_that_keep_the_network_are_a_warning_with_the_reason() -> None:
    on, off = Isolation((3, 4)), Isolation(reason="it is forbidden here")
    for isolation, good, text in ((on, True, "none"), (off, False, "they reach it: it is forbidden here")):
        _, finding = look_at_containment(Containment(isolation=isolation))
        assert (finding.is_good, finding.is_needed, finding.text) == (good, False, text)


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


def install(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    def installed(*, group: str) -> tuple[EntryPoint, ...]:
        return tuple(point for point in points if point.group == group)

    monkeypatch.setattr("mediafleet.cli.check.entry_points", installed)


def test_a_kind_that_does_not_load_is_named_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = EntryPoint("bad", "no_such_package:KIND", "mediafleet.kinds")
    noop = EntryPoint("noop", "mediafleet.kinds.noop:KIND", "mediafleet.kinds")
    install(monkeypatch, noop, bad)
    first, second = look_at_kinds()
    assert (first.topic, first.is_good) == ("kind bad", False)
    assert first.text == "no_such_package:KIND does not load: No module named 'no_such_package'."
    assert (second.topic, second.is_good) == ("kind noop", True)


def test_a_fleet_without_any_kind_could_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    [finding] = look_at_kinds()
    assert not finding.is_good
    assert "install mediafleet again" in finding.text


def test_only_what_is_needed_decides() -> None:
    report = Report([Finding("a", "here"), Finding("b", "away", is_good=False, is_needed=False)])
    assert report.is_good
    report.findings.append(Finding("c", "broken", is_good=False))
    assert not report.is_good
    assert report.document()["ok"] is False


def test_the_report_marks_what_is_good_what_is_not_and_what_need_not_be(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report([Finding("a", "here"), Finding("b", "away", is_good=False, is_needed=False)])
    report.missing = {"encoder:hevc": "not built in", "hw:cuda": "no card", "kind:x": "told above"}
    tell(report, Output())
    assert capsys.readouterr().out.splitlines() == [
        "✓ a: here", "– b: away", "ENCODER  WORKS  REASON", "hevc     no     not built in", "– hw:cuda: no card", "A fleet can work here.",
    ]  # fmt: skip


def test_a_report_with_a_fault_ends_with_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Report([Finding("c", "broken", is_good=False)]), Output())
    assert capsys.readouterr().out.splitlines() == ["✗ c: broken", "A fleet cannot work here; see the lines with ✗."]


def test_an_object_store_that_cannot_be_used_is_a_fault_with_a_sentence(
    bare: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIAFLEET_ARTIFACTS__ROOT", "s3://fleet/artifacts")
    monkeypatch.setenv("MEDIAFLEET_ARTIFACTS__ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("MEDIAFLEET_ARTIFACTS__ACCESS_KEY", "key")
    monkeypatch.setenv("MEDIAFLEET_ARTIFACTS__SECRET_KEY", "secret")
    ran = bare("check")
    assert ran.code == 1
    assert "✗ artifacts: The object store of s3://fleet/artifacts does not answer" in ran.out
    assert "secret" not in ran.out.replace("secret_key", "")


def test_a_mapped_folder_that_is_not_here_is_a_warning(
    bare: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDIAFLEET_NODE__PATHS", f"/mnt/media={tmp_path},/mnt/more={tmp_path / 'none'}")
    ran = bare("check")
    assert ran.code == 0
    assert f"✓ paths: /mnt/media is {tmp_path} here" in ran.out
    assert "– paths: " in ran.out
