"""Whatever ends a command, it leaves one sentence and an exit code that scripts can rely on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import pytest

from mediafleet.cli._output import Output
from mediafleet.cli._run import guard, run_client
from mediafleet.domain.errors import ConfigError, InputError, InvalidRequest, NotFound, SchedulerUnavailable


def ending_with(error: BaseException, *, debug: bool = False, as_json: bool = False) -> int:
    def work() -> int:
        raise error

    return guard(work, Output(as_json=as_json), debug=debug)


def test_what_the_work_returns_is_the_exit_code() -> None:
    assert guard(lambda: 7, Output()) == 7


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (asyncio.CancelledError(), 143),
        (ConfigError("No."), 2),
        (InvalidRequest("No."), 2),
        (InputError("No."), 1),
        (NotFound("No."), 1),
        (SchedulerUnavailable("No."), 1),
        (OSError("No."), 1),
        (ZeroDivisionError("No."), 1),
    ],
)
def test_every_end_has_its_exit_code(error: BaseException, code: int) -> None:
    assert ending_with(error) == code


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()])
def test_an_interruption_is_no_error_and_says_nothing(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    ending_with(error, debug=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [BrokenPipeError(), SystemExit(3)])
def test_a_reader_that_left_and_an_exit_are_for_others_to_handle(error: BaseException) -> None:
    with pytest.raises(type(error)):
        ending_with(error)


def test_an_error_is_a_sentence_for_people_and_a_document_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    ending_with(NotFound("There is no job."), as_json=True)
    printed = capsys.readouterr()
    assert printed.err == "mediafleet: There is no job.\n"
    assert json.loads(printed.out) == {"error": {"code": "not-found", "message": "There is no job."}}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device", "/m/a.mp4"), "The system refused: No space left on device (/m/a.mp4)."),
        (OSError(28, "No space left on device"), "The system refused: No space left on device."),
        (OSError("odd"), "The system refused: odd."),
    ],
)
def test_what_the_system_refuses_is_told_with_the_file(
    error: OSError, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ending_with(error)
    assert capsys.readouterr().err == f"mediafleet: {sentence}\n"


def test_a_fault_of_ours_is_told_as_one_with_the_way_to_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    ending_with(KeyError("lost"))
    assert (
        capsys.readouterr().err
        == "mediafleet: This is a fault of mediafleet (KeyError: 'lost'); --debug shows where.\n"
    )


@pytest.mark.parametrize("error", [NotFound("No."), OSError("No."), KeyError("No.")])
def test_debug_shows_where_and_still_ends_with_the_sentence(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    ending_with(error, debug=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("mediafleet: ")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_cancels_the_work_which_may_still_clean_up(number: int, code: int) -> None:
    cleaned: list[str] = []

    async def work() -> int:
        os.kill(os.getpid(), number)
        try:
            return await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("yes")

    assert run_client(work(), Output()) == code
    assert cleaned == ["yes"]


def test_the_signals_mean_afterwards_what_they_meant_before() -> None:
    async def work() -> int:
        assert signal.getsignal(signal.SIGTERM) is not before
        return 0

    before: Any = signal.getsignal(signal.SIGTERM)
    assert run_client(work(), Output()) == 0
    assert signal.getsignal(signal.SIGTERM) is before
