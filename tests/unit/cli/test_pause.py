"""`pause`, `resume`: of jobs, of a node, of the fleet."""

from __future__ import annotations

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import NODE, FakeScheduler


def hand_in(cli: RunCli, scheduler: FakeScheduler) -> str:
    """Return a job that runs on."""
    scheduler.holding = True
    cli("submit", "noop")
    return list(scheduler.jobs)[-1]


def test_jobs_are_paused_and_go_on(cli: RunCli, scheduler: FakeScheduler) -> None:
    first, second = hand_in(cli, scheduler), hand_in(cli, scheduler)
    ran = cli("pause", first, second)
    assert ran.out.splitlines() == [f"{job} is paused; what runs finishes" for job in (first, second)]
    assert "was stopped" in cli("pause", first, "--now").out
    shown = cli("resume", first, "--json").json
    assert shown == [{"id": first, "status": "pending", "error": None}]


def test_a_job_that_is_unknown_does_not_hold_up_the_others(cli: RunCli, scheduler: FakeScheduler) -> None:
    job = hand_in(cli, scheduler)
    ran = cli("pause", "j0-none", job, "--json")
    assert ran.code == 1
    assert [(one["status"], bool(one["error"])) for one in ran.json] == [(None, True), ("paused", False)]


def test_a_node_is_paused_and_takes_work_again(cli: RunCli) -> None:
    assert cli("pause", "--node", NODE.id).out == f"{NODE.id} is paused; what runs finishes.\n"
    assert cli("pause", "--node", NODE.id, "--json").json["state"] == "paused"
    assert cli("resume", "--node", NODE.id, "--json").json["state"] == "ready"
    assert cli("pause", "--node", "n0-nothing-abc").code == 1


def test_the_fleet_is_paused_and_goes_on(cli: RunCli, scheduler: FakeScheduler) -> None:
    assert cli("pause", "--all", "--now").out == "The fleet is paused, and what ran was stopped.\n"
    assert scheduler.fleet_pause.now
    assert cli("resume", "--all").out == "The fleet goes on.\n"
    assert cli("resume", "--all", "--json").json == {"paused": False, "since_ms": None, "now": False}


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("words", [(), ("j0-1", "--all"), ("--node", "n0-a", "--all"), ("j0-1", "--node", "n0-a")])
def test_what_is_meant_must_be_clear(cli: RunCli, verb: str, words: tuple[str, ...]) -> None:
    ran = cli(verb, *words)
    assert (ran.code, "one of the three" in ran.err) == (2, True)
