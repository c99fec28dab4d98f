"""`dead`: tasks that failed for good."""

from __future__ import annotations

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.domain.dead import DeadLetter, EndedAttempt
from mediafleet.domain.errors import ErrorInfo


@pytest.fixture
def letter(cli: RunCli, scheduler: FakeScheduler) -> DeadLetter:
    """A dead letter of a job that the fleet knows."""
    job = cli("submit", "noop", "--json").json["id"]
    end = EndedAttempt("n0-a-1", "n0-a-1/cpu", 2, "restarted")
    error = ErrorInfo("poison", "It ran on 2 nodes when they were lost.")
    letter = DeadLetter(f"{job}.noop", job, "noop", "default", 2, error, 2, 0, (end,))
    scheduler.letters.append(letter)
    return letter


def test_letters_are_listed(cli: RunCli, letter: DeadLetter) -> None:
    assert cli("dead").out.splitlines()[1].split()[:4] == [letter.task, "noop", "default", "poison"]
    assert cli("dead", "list", "--json").json["letters"][0]["task"] == letter.task
    assert cli("dead", "--offset", "1").out == "No dead letters.\n"


def test_a_long_list_says_how_to_see_the_rest(cli: RunCli, scheduler: FakeScheduler, letter: DeadLetter) -> None:
    scheduler.letters.append(letter)
    assert "--offset 1 shows the next" in cli("dead", "--limit", "1").err


def test_a_letter_is_shown_with_where_and_how_its_attempts_ended(cli: RunCli, letter: DeadLetter) -> None:
    out = cli("dead", "show", letter.task).out
    assert letter.error.message in out
    assert "restarted on n0-a-1/cpu" in out
    assert cli("dead", "show", letter.task, "--json").json[0]["ends"][0]["how"] == "restarted"


def test_a_letter_is_tried_again_and_dropped(cli: RunCli, scheduler: FakeScheduler, letter: DeadLetter) -> None:
    assert cli("dead", "retry", letter.task).out == f"{letter.job} goes again\n"
    assert cli("dead", "drop", letter.task).out == f"{letter.task} dropped\n"
    assert not scheduler.letters


def test_one_that_is_not_there_does_not_stop_the_others(cli: RunCli, letter: DeadLetter) -> None:
    ran = cli("dead", "drop", "j0-none.noop", letter.task, "--json")
    assert ran.code == 1
    assert [one["error"] and one["error"]["code"] for one in ran.json] == ["not-found", None]


@pytest.mark.parametrize("words", [("show",), ("list", "x"), ("list", "--limit", "0"), ("bury", "x")])
def test_what_makes_no_sense_is_refused(bare: RunCli, words: tuple[str, ...]) -> None:
    assert bare("dead", *words).code == 2
