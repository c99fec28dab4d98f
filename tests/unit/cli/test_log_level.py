"""`log-level`: which lines the scheduler instances write."""

from __future__ import annotations

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler


def test_what_is_in_force_is_shown(cli: RunCli) -> None:
    assert cli("log-level").out.splitlines() == ["module      level", "everything  info"]


def test_a_level_is_set_and_shown(cli: RunCli, scheduler: FakeScheduler) -> None:
    ran = cli("log-level", "scheduler.placer", "debug")
    assert scheduler.levels == {"scheduler.placer": "debug"}
    assert [line.split() for line in ran.out.splitlines()[1:]] == [
        ["everything", "else", "info"],
        ["scheduler.placer", "debug"],
    ]


def test_a_program_gets_the_document(cli: RunCli) -> None:
    cli("log-level", "root", "warning")
    assert cli("log-level", "--json").json == {"default": "info", "levels": {"root": "warning"}}


@pytest.mark.parametrize("words", [("scheduler",), ("scheduler", "")])
def test_a_module_without_a_level_is_refused_before_anybody_is_asked(
    cli: RunCli, scheduler: FakeScheduler, words: tuple[str, ...]
) -> None:
    ran = cli("log-level", *words)
    assert ran.code != 0
    assert "needs a level" in ran.err
    assert not [request for request in scheduler.requests if "log-levels" in request]
