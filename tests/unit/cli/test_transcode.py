"""`mediafleet transcode`: many files in, results out, and one account of each."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests_support.command_line import Ran, RunCli
from tests_support.fake_scheduler import RESULT, FakeScheduler

from mediafleet.domain.errors import ErrorInfo, SchedulerUnavailable, UnknownKind
from mediafleet.domain.lifecycle import JobStatus, PriorityClass


def touch(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"media {path.name!r}".encode())


def interrupt_when(scheduler: FakeScheduler, claim: Callable[[], bool], number: int) -> threading.Thread:
    """Send a signal to this process once a claim about the fake holds."""

    def act() -> None:
        scheduler.wait_until(claim)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def statuses(ran: Ran) -> dict[str, str]:
    return {Path(entry["input"]).name: entry["status"] for entry in ran.json}


def test_a_file_is_used_in_place_and_its_result_fetched(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("a.mkv")
    ran = cli("transcode", "a.mkv", "--out", "done", "--crf", "20", "--param", "scale.height=720")
    assert ran.code == 0
    assert Path("done/a.mp4").read_bytes() == RESULT
    [submission] = scheduler.submissions
    assert submission.kind == "transcode"
    assert submission.params == {"preset": "h264", "crf": 20, "scale": {"height": 720}}
    assert submission.input_uris[0].startswith(f"file://{Path.cwd()}/a.mkv#{Path('a.mkv').stat().st_size}-")
    assert not any(request.startswith("PUT") for request in scheduler.requests)


def test_a_file_that_the_fleet_cannot_see_is_uploaded_and_both_are_told(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.sees_files = False
    touch("a.mkv")
    ran = cli("transcode", "a.mkv")
    assert ran.code == 0
    [submission] = scheduler.submissions
    uploaded = scheduler.blobs[submission.input_uris[0].removeprefix("artifact:")]
    assert uploaded == ("a.mkv", Path("a.mkv").read_bytes())
    assert "a.mkv: uploading" in ran.out
    assert "a.mkv → a.mp4" in ran.out


def test_json_is_one_list_with_an_entry_for_each_input(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.outcomes["bad.mkv"] = ErrorInfo("unreadable-media", "This is no video.")
    scheduler.warnings = ("A stream was dropped.",)
    touch("good.mkv", "bad.mkv")
    ran = cli("transcode", "good.mkv", "bad.mkv", "missing.mkv", "--json", "--out", "done")
    assert ran.code == 1
    good, bad, missing = ran.json
    assert good | {"seconds": 0, "job": ""} == {
        "input": "good.mkv", "job": "", "status": "completed", "output": "done/good.mp4", "error": None,
        "outputs": ["done/good.mp4"],
        "warnings": ["A stream was dropped."], "seconds": 0,
    }  # fmt: skip
    assert good["job"] in scheduler.jobs
    assert (bad["status"], bad["output"]) == ("failed", None)
    assert bad["error"] == {"code": "unreadable-media", "message": "This is no video."}
    assert missing["error"] == {"code": "not-found", "message": "missing.mkv does not exist."}
    assert missing["job"] is None


def test_failures_say_which_and_why_and_the_rest_goes_on(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.outcomes["bad.mkv"] = ErrorInfo("unreadable-media", "This is no video.")
    touch("good.mkv", "bad.mkv")
    ran = cli("transcode", "bad.mkv", "good.mkv", "missing.mkv")
    assert ran.code == 1
    assert "bad.mkv: This is no video." in ran.err
    assert "missing.mkv: missing.mkv does not exist." not in ran.err
    assert "missing.mkv does not exist." in ran.err
    assert "good.mkv → good.mp4" in ran.out
    assert ran.out.endswith("1 of 3 succeeded.\n")


def test_many_failures_are_listed_once_more_at_the_end(cli: RunCli) -> None:
    ran = cli("transcode", *(f"{number}.mkv" for number in range(11)))
    assert ran.code == 1
    assert ran.err.count("failed: 7.mkv") == 1


def test_a_folder_stands_for_its_media_files_and_keeps_their_order(cli: RunCli) -> None:
    touch("in/a.mkv", "in/b/a.mkv", "in/b/notes.txt")
    ran = cli("transcode", "in", "--out", "done", "--json")
    assert ran.code == 0
    assert [entry["output"] for entry in ran.json] == ["done/a.mp4", "done/b/a.mp4"]
    ran = cli("transcode", "in", "--out", "flat", "--json", "--no-recursive")
    assert [entry["output"] for entry in ran.json] == ["flat/a.mp4"]


def test_inputs_with_the_same_stem_do_not_overwrite_each_other(cli: RunCli) -> None:
    touch("x/a.mkv", "y/a.mkv", "y/a.avi")
    ran = cli("transcode", "x/a.mkv", "y/a.mkv", "y/a.avi", "--out", "done", "--json")
    assert ran.code == 0
    assert [entry["output"] for entry in ran.json] == ["done/a.mp4", "done/a-2.mp4", "done/a-3.mp4"]
    assert sorted(os.listdir("done")) == ["a-2.mp4", "a-3.mp4", "a.mp4"]


def test_a_result_that_exists_stops_the_work_before_it_starts(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("a.mkv", "done/a.mp4")
    ran = cli("transcode", "a.mkv", "--out", "done", "--json")
    assert ran.code == 1
    assert ran.json[0]["error"]["code"] == "conflict"
    assert not scheduler.submissions
    assert Path("done/a.mp4").read_bytes() != RESULT
    assert cli("transcode", "a.mkv", "--out", "done", "--force").code == 0
    assert Path("done/a.mp4").read_bytes() == RESULT


@pytest.mark.parametrize("out", ["taken", "taken/sub"])
def test_a_file_in_the_place_of_the_folder_stops_the_command_before_it_starts(
    cli: RunCli, scheduler: FakeScheduler, out: str
) -> None:
    touch("a.mkv", "b.mkv", "taken")
    ran = cli("transcode", "a.mkv", "b.mkv", "--out", out, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "input-error")
    assert ran.err == "mediafleet: taken is no folder; name another with --out.\n"
    assert not scheduler.requests


def test_a_result_that_appears_while_the_work_runs_is_kept(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    touch("a.mkv")

    def appear() -> None:
        scheduler.wait_until(lambda: bool(scheduler.jobs))
        touch("a.mp4")
        scheduler.finish(next(iter(scheduler.jobs)))

    thread = threading.Thread(target=appear)
    thread.start()
    ran = cli("transcode", "a.mkv", "--json")
    thread.join()
    assert ran.code == 1
    assert ran.json[0]["error"]["code"] == "conflict"
    assert sorted(os.listdir()) == ["a.mkv", "a.mp4"]


def test_an_input_is_not_replaced_even_with_force(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("a.mp4")
    ran = cli("transcode", "a.mp4", "--force")
    assert ran.code == 1
    assert "is an input" in ran.err
    assert not scheduler.submissions


NAMES = [
    "with space.mkv",
    "quo'te\".mkv",
    "-dash.mkv",
    "new\nline.mkv",
    "漢字é.mkv",
    "[red]x[red].mkv",
    "%20#?.mkv",
    "a:b|c.mkv",
    "1:x\\y.mkv",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_name_works_and_is_printed_on_one_line(cli: RunCli, scheduler: FakeScheduler, name: str) -> None:
    touch(name)
    ran = cli("transcode", f"./{name}", "--out", "done")
    assert ran.code == 0
    assert os.listdir("done") == [Path(name).stem + ".mp4"]
    assert scheduler.submissions[0].name == name
    assert all(line.startswith(name.replace("\n", "\\n")) for line in ran.out.splitlines())


def test_names_that_begin_with_a_dash_come_after_two_dashes(cli: RunCli) -> None:
    touch("-dash.mkv")
    assert cli("transcode", "--json", "--", "-dash.mkv").json[0]["output"] == "-dash.mp4"


def test_a_name_that_is_not_utf8_works_and_stays_in_the_document(cli: RunCli, scheduler: FakeScheduler) -> None:
    name = os.fsdecode(b"a\xff.mkv")
    touch(name)
    ran = cli("transcode", name, "--json")
    assert ran.code == 0
    assert ran.json[0]["input"] == name
    assert scheduler.submissions[0].name == "a?.mkv"
    assert "%FF.mkv" in scheduler.submissions[0].input_uris[0]


def test_a_path_with_dots_is_sent_resolved(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("a.mkv")
    Path("sub").mkdir()
    assert cli("transcode", "sub/../a.mkv").code == 0
    assert "/../" not in scheduler.submissions[0].input_uris[0]


def test_an_answer_about_kind_or_params_is_no_reason_to_upload(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.refusals["a.mkv"] = UnknownKind("There is no job kind 'transcode'.")
    touch("a.mkv")
    ran = cli("transcode", "a.mkv")
    assert ran.code == 1
    assert "There is no job kind" in ran.err
    assert not any(request.startswith("PUT") for request in scheduler.requests)


def test_the_priority_is_passed_on(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("a.mkv")
    cli("transcode", "a.mkv", "--priority", "interactive")
    assert scheduler.submissions[0].priority is PriorityClass.INTERACTIVE


def test_progress_is_told_in_a_pipe(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    touch("a.mkv")

    def move() -> None:
        # The second stream-independent look at the job tells that it is being followed.
        scheduler.wait_until(lambda: any(request.startswith("GET /api/v1/jobs/") for request in scheduler.requests))
        scheduler.wait_until(lambda: scheduler.streams == 1)
        job = next(iter(scheduler.jobs))
        scheduler.progress(job, 0.5, "encoding")
        scheduler.finish(job)

    thread = threading.Thread(target=move)
    thread.start()
    ran = cli("transcode", "a.mkv")
    thread.join()
    assert "a.mkv: encoding 50%" in ran.out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_cancels_the_callers_own_jobs_and_says_so(
    cli: RunCli, scheduler: FakeScheduler, number: int, code: int
) -> None:
    scheduler.holding = True
    touch("a.mkv", "b.mkv")
    thread = interrupt_when(scheduler, lambda: len(scheduler.jobs) == 2, number)
    ran = cli("transcode", "a.mkv", "b.mkv", "--json")
    thread.join()
    assert ran.code == code
    assert {view.status for view in scheduler.jobs.values()} == {JobStatus.CANCELLED}
    assert all(f"cancelled {job}" in ran.err for job in scheduler.jobs)
    assert statuses(ran) == {"a.mkv": "cancelled", "b.mkv": "cancelled"}
    assert sorted(os.listdir()) == ["a.mkv", "b.mkv"]


def test_an_interruption_before_anything_was_handed_in_is_told_like_any_other(
    bare: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def open_for_ever(_: object) -> AsyncGenerator[None]:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr("mediafleet.cli._items.open_fleet", open_for_ever)
    touch("a.mkv", "b.mkv")
    ran = bare("transcode", "a.mkv", "missing.mkv", "b.mkv", "--json")
    assert ran.code == 130
    assert [entry["status"] for entry in ran.json] == ["cancelled", "failed", "cancelled"]
    assert ran.json[0]["error"] == {"code": "cancelled", "message": "Interrupted."}
    assert ran.err.splitlines()[-1] == "Interrupted before anything was handed in."


def test_a_fleet_that_cannot_be_opened_fails_every_file_with_the_reason(
    bare: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def refuse(_: object) -> AsyncGenerator[None]:
        raise SchedulerUnavailable("It does not start.")
        yield

    monkeypatch.setattr("mediafleet.cli._items.open_fleet", refuse)
    touch("a.mkv")
    ran = bare("transcode", "a.mkv", "--json")
    assert (ran.code, statuses(ran)) == (1, {"a.mkv": "failed"})
    assert ran.json[0]["error"]["message"] == "It does not start."


def test_jobs_of_others_are_left_alone_by_an_interruption(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    cli("submit", "noop", "--name", "other")
    touch("a.mkv")
    thread = interrupt_when(scheduler, lambda: len(scheduler.jobs) == 2, signal.SIGINT)
    cli("transcode", "a.mkv")
    thread.join()
    other, own = scheduler.jobs.values()
    assert (other.status, own.status) == (JobStatus.PROCESSING, JobStatus.CANCELLED)


def test_a_job_that_somebody_cancels_is_reported_as_cancelled(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    touch("a.mkv")

    def act() -> None:
        scheduler.wait_until(lambda: bool(scheduler.jobs))
        scheduler.finish(next(iter(scheduler.jobs)), JobStatus.CANCELLED)

    thread = threading.Thread(target=act)
    thread.start()
    ran = cli("transcode", "a.mkv", "--json")
    thread.join()
    assert ran.code == 1
    assert ran.json[0]["status"] == "cancelled"
    assert ran.json[0]["error"]["code"] == "cancelled"


def test_a_short_outage_and_broken_streams_are_bridged(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    touch("a.mkv")

    def act() -> None:
        scheduler.wait_until(lambda: bool(scheduler.jobs) and scheduler.streams == 1)
        scheduler.outages = 1
        scheduler.drop_streams()
        scheduler.wait_until(lambda: scheduler.outages == 0 and scheduler.streams == 1)
        scheduler.finish(next(iter(scheduler.jobs)))

    thread = threading.Thread(target=act)
    thread.start()
    ran = cli("transcode", "a.mkv")
    thread.join()
    assert ran.code == 0


def test_a_scheduler_that_dies_ends_the_command_with_a_sentence(
    cli: RunCli, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediafleet.cli._fleet.REMOTE_PATIENCE_S", 0.5)
    scheduler.holding = True
    touch("a.mkv")

    def act() -> None:
        scheduler.wait_until(lambda: bool(scheduler.jobs) and scheduler.streams == 1)
        scheduler.stop()

    thread = threading.Thread(target=act)
    thread.start()
    ran = cli("transcode", "a.mkv", "--json")
    thread.join()
    assert ran.code == 1
    assert "No scheduler answers at" in ran.json[0]["error"]["message"]
    assert "Traceback" not in ran.err


def test_no_scheduler_fails_every_file_with_the_document(bare: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.stop()
    touch("a.mkv")
    ran = bare("transcode", "a.mkv", "--server", scheduler.url, "--json")
    assert ran.code == 1
    assert ran.json[0]["error"]["code"] == "scheduler-unavailable"


def test_server_and_token_come_from_the_environment(
    bare: RunCli, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-of-sufficient-length-000000"  # noqa: S105 - a token of a fake
    with FakeScheduler(token=token) as guarded:
        monkeypatch.setenv("MEDIAFLEET_SERVER", guarded.url)
        refused = bare("nodes", "--json")
        assert refused.code == 1
        assert refused.json["error"]["code"] == "unauthorized"
        monkeypatch.setenv("MEDIAFLEET_TOKEN", token)
        assert bare("nodes").code == 0
        monkeypatch.delenv("MEDIAFLEET_TOKEN")
        (workplace / "token").write_text(token + "\n")
        assert bare("nodes", "--token-file", "token").code == 0
