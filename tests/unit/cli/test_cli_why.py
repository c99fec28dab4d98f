"""`why`: what a job waits for, for people and for programs."""

from __future__ import annotations

from tests_support.command_line import RunCli
from tests_support.fake_scheduler import POOL, FakeScheduler

from mediafleet.cli.why import why_lines
from mediafleet.domain.explanation import JobWhy, TaskWhy
from mediafleet.domain.lifecycle import JobStatus, TaskState


def test_a_job_that_waits_is_explained(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    cli("submit", "noop")
    [job] = scheduler.jobs
    lines = cli("why", job).out.splitlines()
    assert lines[0] == "The task run waits: It waits."
    assert f"{job}.run NEW" in lines
    assert "  No executor that can do it takes it now." in lines
    assert "  - n0-studio-abc123/cpu (2/2): 2 of 2 slots are in use; the task needs 1." in lines
    assert f"  - pool {POOL.pool} lacks lang:en" in lines
    assert lines[-1] == "and 2 more tasks"


def test_a_program_gets_the_answer_as_it_is(cli: RunCli, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    cli("submit", "noop")
    [job] = scheduler.jobs
    found = cli("why", job, "--json").json
    assert (found["job"], found["tasks"][0]["explanation"]["waits_for"]) == (job, "room")


def test_a_job_that_is_unknown_is_an_error(cli: RunCli) -> None:
    assert cli("why", "j0-none").code == 1


def test_a_task_that_runs_has_its_one_sentence() -> None:
    task = TaskWhy("j0-a.run", TaskState.ACKED, "It runs on n0-a/cpu, attempt 1.")
    lines = list(why_lines(JobWhy("j0-a", JobStatus.PROCESSING, task.sentence, (task,), 0)))
    assert lines == [task.sentence, "", "j0-a.run ACKED", f"  {task.sentence}"]
