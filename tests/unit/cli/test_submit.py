"""`submit` and `get`: one job by hand, and its results later."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from tests_support.command_line import RunCli
from tests_support.fake_scheduler import RESULT, FakeScheduler

from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.lifecycle import JobStatus


def test_a_submission_prints_the_jobs_id_and_carries_all_that_was_said(cli: RunCli, scheduler: FakeScheduler) -> None:
    words = ["--params", '{"echo": "a"}', "--param", "slots=2", "--tenant", "t", "--name", "n", "--key", "k"]
    ran = cli("submit", "noop", *words, "--priority", "live")
    assert ran.code == 0
    assert ran.out.strip() in scheduler.jobs
    [said] = scheduler.submissions
    assert (said.kind, said.params, said.tenant, said.name) == ("noop", {"echo": "a", "slots": 2}, "t", "n")
    assert (said.idempotency_key, said.priority) == ("k", "live")


def test_the_same_key_gives_the_same_job(cli: RunCli) -> None:
    assert cli("submit", "noop", "--key", "k").out == cli("submit", "noop", "--key", "k").out


def test_addresses_are_passed_on_and_files_are_used_in_place(cli: RunCli, scheduler: FakeScheduler) -> None:
    Path("a.mkv").write_bytes(b"x")
    assert cli("submit", "join", "a.mkv", "artifact:a0-x").code == 0
    in_place, passed = scheduler.submissions[0].input_uris
    assert in_place.startswith("file:///")
    assert passed == "artifact:a0-x"


def test_files_that_the_fleet_cannot_see_are_uploaded(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.sees_files = False
    Path("a.mkv").write_bytes(b"")
    ran = cli("submit", "transcode", "a.mkv")
    assert ran.code == 0
    assert scheduler.submissions[0].input_uris[0].startswith("artifact:")
    assert "uploading" in ran.err


def test_a_missing_file_or_a_folder_is_refused(cli: RunCli) -> None:
    assert "does not exist" in cli("submit", "transcode", "missing.mkv").err
    Path("folder").mkdir()
    assert cli("submit", "transcode", "folder").code == 1


def test_waiting_ends_with_the_job_and_its_results(cli: RunCli, scheduler: FakeScheduler) -> None:
    Path("a.mkv").write_bytes(b"x")
    ran = cli("submit", "transcode", "a.mkv", "--name", "a.mkv", "--out", "done", "--json")
    assert ran.code == 0
    assert ran.json["status"] == "completed"
    assert Path("done/a.mp4").read_bytes() == RESULT
    scheduler.outcomes["bad"] = ErrorInfo("task-failed", "It broke.")
    failed = cli("submit", "noop", "--name", "bad", "--wait")
    assert failed.code == 1
    assert "It broke." in failed.out


def test_a_place_that_cannot_take_the_result_is_told_before_anything_is_submitted(
    cli: RunCli, scheduler: FakeScheduler
) -> None:
    Path("a.mkv").write_bytes(b"x")
    Path("done").mkdir()
    Path("done/a.mp4").write_text("mine")
    words = ("submit", "transcode", "a.mkv", "--name", "a.mkv", "--out")
    taken, no_folder = cli(*words, "done"), cli(*words, "a.mkv")
    assert (taken.code, no_folder.code) == (1, 1)
    assert "done/a.mp4 exists already" in taken.err
    assert "a.mkv is no folder" in no_folder.err
    assert not scheduler.requests
    assert cli(*words, "done", "--force").code == 0
    assert Path("done/a.mp4").read_bytes() == RESULT


def test_an_input_is_not_replaced_by_its_result_even_with_force(cli: RunCli, scheduler: FakeScheduler) -> None:
    Path("a.mp4").write_bytes(b"x")
    ran = cli("submit", "transcode", "a.mp4", "--out", ".", "--force")
    assert ran.code == 1
    assert "is an input" in ran.err
    assert not scheduler.submissions


def test_where_the_name_of_a_result_is_not_known_it_is_only_refused_at_the_end(
    cli: RunCli, scheduler: FakeScheduler
) -> None:
    Path("a.mkv").write_bytes(b"x")
    Path("a.mp4").write_text("mine")
    ran = cli("submit", "transcode", "a.mkv", "--param", "preset=copy", "--name", "a.mkv", "--out", ".")
    assert ran.code == 1
    assert "a.mp4 exists already" in ran.err
    assert len(scheduler.submissions) == 1
    # What the fleet may know and this version does not is for the fleet to judge.
    assert cli("submit", "transcode", "a.mkv", "--param", "new=1", "--name", "b.mkv", "--out", ".").code == 0


def test_an_interrupted_wait_cancels_the_job(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.holding = True

    def act() -> None:
        scheduler.wait_until(lambda: bool(scheduler.jobs) and scheduler.streams == 1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=act)
    thread.start()
    ran = cli("submit", "noop", "--wait")
    thread.join()
    assert ran.code == 130
    [view] = scheduler.jobs.values()
    assert view.status is JobStatus.CANCELLED
    assert f"cancelled {view.id}" in ran.err


def test_results_are_fetched_later_and_not_over_what_is_there(cli: RunCli, scheduler: FakeScheduler) -> None:
    Path("a.mkv").write_bytes(b"x")
    job = cli("submit", "transcode", "a.mkv", "--name", "a.mkv", "--wait", "--json").json["id"]
    ran = cli("get", job, "--out", "done", "--json")
    assert [(one["output"], one["size"]) for one in ran.json] == [("done/a.mp4", len(RESULT))]
    again = cli("get", job, "--out", "done")
    assert again.code == 1
    assert "--force" in again.err
    assert cli("get", job, "--out", "done", "--force").code == 0


def test_a_job_without_results_says_so(cli: RunCli, scheduler: FakeScheduler) -> None:
    cli("submit", "noop", "--wait")
    [job] = scheduler.jobs
    assert "made no files" in cli("get", job).out
    scheduler.holding = True
    running = cli("submit", "noop").out.strip()
    assert "has no results" in cli("get", running).err


def test_after_names_the_jobs_to_wait_for(cli: RunCli, scheduler: FakeScheduler) -> None:
    assert cli("submit", "noop", "--after", "j0-a", "--after", "j0-b").code == 0
    assert cli("submit", "noop").code == 0
    assert [one.after for one in scheduler.submissions] == [["j0-a", "j0-b"], []]


def test_policy_and_urgency_are_handed_on(cli: RunCli, scheduler: FakeScheduler) -> None:
    assert cli("submit", "noop", "--policy", "pack", "--urgency", "3").code == 0
    assert cli("submit", "noop").code == 0
    assert [(one.policy, one.urgency) for one in scheduler.submissions] == [("pack", 3), (None, 0)]


def test_a_policy_that_is_none_is_refused_with_those_there_are(cli: RunCli) -> None:
    refused = cli("submit", "noop", "--policy", "fastest")
    assert refused.code == 2
    assert "least_loaded" in refused.err
