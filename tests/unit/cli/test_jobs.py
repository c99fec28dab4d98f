"""`jobs`, `job`, `cancel`, `retry`: jobs that were handed in before."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli.jobs import describe
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.event import Event, EventType


def hand_in(cli: RunCli, scheduler: FakeScheduler, name: str) -> str:
    scheduler.holding = True
    cli("submit", "noop", "--name", name)
    return list(scheduler.jobs)[-1]


def test_jobs_are_listed_newest_first_with_a_word_about_the_rest(cli: RunCli, scheduler: FakeScheduler) -> None:
    first, second = hand_in(cli, scheduler, "one"), hand_in(cli, scheduler, "two")
    ran = cli("jobs")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["ID", second, first]
    ran = cli("jobs", "--limit", "1")
    assert "2 jobs in all; --offset 1" in ran.err
    assert first in cli("jobs", "--limit", "1", "--offset", "1").out


def test_jobs_can_be_chosen_by_status_and_read_by_programs(cli: RunCli, scheduler: FakeScheduler) -> None:
    job = hand_in(cli, scheduler, "one")
    assert [view["id"] for view in cli("jobs", "--json").json["jobs"]] == [job]
    assert cli("jobs", "--status", "failed").out == "No jobs.\n"


def test_a_name_with_control_characters_does_nothing_to_the_terminal(cli: RunCli, scheduler: FakeScheduler) -> None:
    hand_in(cli, scheduler, "\x1b[2Jname\n[bold]")
    assert "\\x1b[2Jname\\n[bold]" in cli("jobs").out


def test_a_job_shows_what_is_known_of_it(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.outcomes["one"] = ErrorInfo("task-failed", "It broke.")
    cli("submit", "noop", "--name", "one", "--param", "echo=hi", "--wait")
    [job] = scheduler.jobs
    shown = cli("job", job).out
    assert "status   failed" in shown
    assert "echo = hi" in shown
    assert "It broke." in shown
    assert cli("job", job, "--json").json["id"] == job


def test_what_is_not_set_is_not_shown_of_a_job(
    cli: RunCli, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"$ref": "#/$defs/P", "$defs": {"P": {"properties": {"slots": {"default": 0}}}}}
    monkeypatch.setattr("tests_support.fake_scheduler.KINDS", [{"name": "noop", "params": schema}])
    params = '{"echo": "", "slots": 0, "crf": 0, "scale": {"width": 1280, "height": null}}'
    cli("submit", "noop", "--params", params, "--wait")
    [job] = scheduler.jobs
    shown = [line.split(maxsplit=1) for line in cli("job", job).out.splitlines()]
    assert [rest for word, *rest in shown if word == "param"] == [["crf = 0"], ["scale = width=1280"]]
    assert "name" not in [word for word, *_ in shown]


def test_an_unknown_job_is_an_error_for_people_and_programs(cli: RunCli) -> None:
    ran = cli("job", "j0-nothing", "--json")
    assert ran.code == 1
    assert ran.json["error"]["code"] == "not-found"
    assert ran.err.startswith("mediafleet: There is no job")


def test_each_of_many_jobs_is_cancelled_or_says_why_not(cli: RunCli, scheduler: FakeScheduler) -> None:
    job = hand_in(cli, scheduler, "one")
    ran = cli("cancel", "j0-nothing", job, "--json")
    assert ran.code == 1
    assert [(one["id"], one["status"]) for one in ran.json] == [("j0-nothing", None), (job, "cancelled")]
    assert "j0-nothing" in ran.err
    again = cli("cancel", job)
    assert again.code == 1
    assert "cancelled" in again.err


def test_a_cancelled_job_gets_another_go(cli: RunCli, scheduler: FakeScheduler) -> None:
    job = hand_in(cli, scheduler, "one")
    assert cli("cancel", job).out == f"{job} cancelled\n"
    assert cli("retry", job).out == f"{job} goes again\n"


def test_watching_tells_of_all_that_happens_until_ctrl_c(cli: RunCli, scheduler: FakeScheduler) -> None:
    job = hand_in(cli, scheduler, "one")

    def act() -> None:
        scheduler.wait_until(lambda: scheduler.streams == 1)
        scheduler.progress(job, 0.5, "working")
        scheduler.finish(job)
        scheduler.wait_until(lambda: len(scheduler.events) == 3)
        # The stream writes in order, so an event of another job proves that those before were sent.
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=act)
    thread.start()
    ran = cli("jobs", "--watch", "--json")
    thread.join()
    assert ran.code == 130
    assert all(json.loads(line)["job"] == job for line in ran.out.splitlines())


def test_a_scheduler_that_stays_away_ends_the_lines_with_one_for_the_error(
    cli: RunCli, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafleet.cli._fleet.REMOTE_PATIENCE_S", 0.1)
    job = hand_in(cli, scheduler, "one")

    def act() -> None:
        scheduler.wait_until(lambda: scheduler.streams == 1)
        scheduler.progress(job, 0.5, "working")
        scheduler.stop()

    thread = threading.Thread(target=act)
    thread.start()
    ran = cli("jobs", "--watch", "--json")
    thread.join()
    assert ran.code == 1
    *events, end = [json.loads(line) for line in ran.out.splitlines()]
    assert all(event["job"] == job for event in events)
    assert end["error"]["code"] == "scheduler-unavailable"
    assert ran.err.startswith("mediafleet: No scheduler answers")


def test_a_wrong_option_is_an_error_in_one_line_for_who_reads_lines(cli: RunCli) -> None:
    [line] = cli("jobs", "--watch", "--json", "--limit", "0").out.splitlines()
    assert json.loads(line)["error"]["code"] == "invalid-request"


def test_events_are_described_in_a_line() -> None:
    moved = Event("1-0", EventType.JOB_PROGRESSED, 1, job="j0-x", data={"progress": 0.5, "stage": "encoding"})
    failed = Event("2-0", EventType.JOB_FAILED, 1, job="j0-x", data={"error": {"message": "It broke."}})
    assert describe(moved) == "j0-x progressed 50% encoding"
    assert describe(failed) == "j0-x failed It broke."
