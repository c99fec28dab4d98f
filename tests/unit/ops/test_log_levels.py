"""Levels of modules are changed while the process runs, and undone."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from mediafleet.domain.errors import InvalidRequest
from mediafleet.ops.log_levels import apply_levels, check_request, default_level, forget_levels, known_modules
from mediafleet.ops.logs import configure_logs
from mediafleet.ops.settings import LogSettings
from mediafleet.scheduler import placer

PLACER = placer.__name__


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """Leave the loggers of the process as they were."""
    yield
    apply_levels({})
    forget_levels()


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logs(LogSettings(level="info"), stream=stream)
    return stream


def say(*names: str) -> None:
    for name in names:
        structlog.get_logger(name).debug("details", of=name)


def heard(stream: io.StringIO) -> list[str]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    stream.seek(0)
    stream.truncate()
    return [line["of"] for line in lines]


def test_one_module_writes_more_and_the_others_what_they_wrote(stream: io.StringIO) -> None:
    say(PLACER, "mediafleet.scheduler.settler")
    assert heard(stream) == []
    assert apply_levels({PLACER: "debug"})
    say(PLACER, "mediafleet.scheduler.settler")
    assert heard(stream) == [PLACER]


def test_a_level_of_a_package_is_that_of_its_modules_unless_they_have_their_own(stream: io.StringIO) -> None:
    apply_levels({"mediafleet.scheduler": "debug", PLACER: "error"})
    say(PLACER, "mediafleet.scheduler.settler", "mediafleet.node")
    assert heard(stream) == ["mediafleet.scheduler.settler"]
    structlog.get_logger(PLACER).warning("not heard", of="x")
    assert heard(stream) == []


def test_what_is_not_set_any_more_is_as_it_was_at_the_start(stream: io.StringIO) -> None:
    apply_levels({PLACER: "debug"})
    assert apply_levels({})
    say(PLACER)
    assert heard(stream) == []


def test_a_library_that_is_kept_quiet_is_quiet_again_afterwards(stream: io.StringIO) -> None:
    apply_levels({"websockets": "debug"})
    apply_levels({"websockets": "info"})
    assert logging.getLogger("websockets").level == logging.INFO
    apply_levels({})
    assert logging.getLogger("websockets").level == logging.WARNING


def test_the_same_levels_again_change_nothing(stream: io.StringIO) -> None:
    levels = {PLACER: "debug"}
    assert [apply_levels(levels), apply_levels(levels), apply_levels({}), apply_levels({})] == [
        True,
        False,
        True,
        False,
    ]


def test_everything_is_set_by_the_root_and_the_default_stays_what_it_was(stream: io.StringIO) -> None:
    apply_levels({"root": "debug"})
    say("mediafleet.node", "library")
    assert heard(stream) == ["mediafleet.node", "library"]
    assert default_level() == "info"


def test_a_level_of_a_newer_version_is_passed_over(stream: io.StringIO) -> None:
    assert not apply_levels({PLACER: "trace"})


def test_logs_that_are_set_up_anew_begin_with_their_own_level(stream: io.StringIO) -> None:
    apply_levels({"root": "debug"})
    configure_logs(LogSettings(level="warning"), stream=stream)
    assert default_level() == "warning"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("scheduler.placer", PLACER),
        (PLACER, PLACER),
        ("scheduler", "mediafleet.scheduler"),
        ("mediafleet", "mediafleet"),
        # Which no scheduler has loaded.
        ("node._watchdog", "mediafleet.node._watchdog"),
        ("root", "root"),
        ("asyncio", "asyncio"),
    ],
)
def test_a_module_may_be_named_short(asked: str, name: str) -> None:
    assert check_request(asked, "debug") == (name, "debug")
    assert check_request(asked, "default") == (name, "")


@pytest.mark.parametrize("module", ["", "scheduler.palcer", "x" * 5000, "mediafleet..", "../x", "\x1b[2J"])
def test_a_module_that_there_is_not_is_refused(module: str) -> None:
    with pytest.raises(InvalidRequest, match="There is no module") as refusal:
        check_request(module, "debug")
    assert len(refusal.value.message) < 500
    assert "\x1b" not in refusal.value.message


def test_the_nearest_module_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"did you mean 'scheduler\.placer'"):
        check_request("scheduler.palcer", "debug")


@pytest.mark.parametrize("level", ["", "DEBUG", "trace", "10"])
def test_a_level_that_there_is_not_is_refused(level: str) -> None:
    with pytest.raises(InvalidRequest, match="use debug, info, warning, error or default"):
        check_request("scheduler", level)


def test_modules_are_ours_and_those_of_libraries_that_write() -> None:
    assert {"root", "mediafleet", "mediafleet.scheduler", PLACER, "asyncio"} <= known_modules()
