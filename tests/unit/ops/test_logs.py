"""Log lines are JSON for programs and text for people, whoever wrote them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
import structlog

from mediafleet.ops.logs import UNNOTICED_S, configure_logs
from mediafleet.ops.settings import LogSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def written(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_elsewhere_than_on_a_terminal_each_event_is_one_json_object() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    structlog.get_logger("mediafleet.test").info("job accepted", job="j0-1", name_="ñ")
    (line,) = written(stream)
    assert line["event"] == "job accepted"
    assert line["job"] == "j0-1"
    assert line["level"] == "info"
    assert line["logger"] == "mediafleet.test"
    assert str(line["timestamp"]).endswith("Z")
    assert "ñ" in stream.getvalue()


def test_on_a_terminal_lines_are_text() -> None:
    stream = Terminal()
    configure_logs(LogSettings(), stream=stream)
    structlog.get_logger().warning("node lost", node="n0-1")
    assert "node lost" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    assert "\x1b[" in stream.getvalue()


def test_the_form_can_be_chosen() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    configure_logs(LogSettings(format="json"), stream=terminal)
    structlog.get_logger().info("one")
    configure_logs(LogSettings(format="text"), stream=pipe)
    structlog.get_logger().info("two")
    assert written(terminal)[0]["event"] == "one"
    assert "two" in pipe.getvalue()
    assert "\x1b[" not in pipe.getvalue()


def test_lines_below_the_level_are_left_out_ours_and_those_of_libraries() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(level="warning"), stream=stream)
    structlog.get_logger().info("ours")
    logging.getLogger("library").info("theirs")
    logging.getLogger("library").warning("heard")
    assert [line["event"] for line in written(stream)] == ["heard"]


def test_what_a_library_writes_has_the_same_form() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    logging.getLogger("library").error("it %s", "broke")
    (line,) = written(stream)
    assert (line["event"], line["level"], line["logger"]) == ("it broke", "error", "library")


@pytest.mark.parametrize(
    "line",
    [
        "> Authorization: Bearer sekrit-token",
        "< authorization: Basic sekrit-token",
        "headers [(b'authorization', b'Bearer sekrit-token')]",
        "< Cookie: session=sekrit-token; theme=dark",
        "< Set-Cookie: session=sekrit-token",
    ],
)
def test_what_a_library_writes_of_credentials_is_hidden(line: str) -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(level="debug"), stream=stream)
    logging.getLogger("websockets.client").setLevel(logging.DEBUG)
    logging.getLogger("websockets.client").debug("%s", line)
    assert "sekrit" not in stream.getvalue()
    assert "(hidden)" in stream.getvalue()


def test_an_exception_is_part_of_its_line() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    try:
        raise ValueError("no good")
    except ValueError:
        structlog.get_logger().exception("handler failed", task="t")
    (line,) = written(stream)
    assert "ValueError: no good" in str(line["exception"])


def test_bound_ids_are_on_every_line_of_their_context() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    with structlog.contextvars.bound_contextvars(job="j0-7"):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    assert [line.get("job") for line in written(stream)] == ["j0-7", None]


@pytest.mark.parametrize("library", ["asyncio", "websockets", "uvicorn.access"])
def test_a_chatty_library_is_heard_only_when_something_is_wrong(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # uvicorn ends the propagation of its access log in a process where a server ran before.
    monkeypatch.setattr(logging.getLogger(library), "propagate", True)
    stream = io.StringIO()
    configure_logs(LogSettings(level="debug"), stream=stream)
    logging.getLogger(library).info("connection open")
    logging.getLogger(library).warning("odd frame")
    assert [line["event"] for line in written(stream)] == ["odd frame"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_each_level_lets_through_itself_and_what_is_worse(level: Any) -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(level=level), stream=stream)
    order = ["debug", "info", "warning", "error"]
    for name in order:
        getattr(structlog.get_logger(), name)(f"ours {name}")
        getattr(logging.getLogger("library"), name)(f"theirs {name}")
    expected = [f"{whose} {name}" for name in order[order.index(level) :] for whose in ("ours", "theirs")]
    assert [line["event"] for line in written(stream)] == expected


@pytest.mark.parametrize("library", ["asyncio", "websockets", "uvicorn.access"])
def test_a_chatty_library_is_no_louder_than_the_level_asks_for(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # uvicorn ends the propagation of its access log in a process where a server ran before.
    monkeypatch.setattr(logging.getLogger(library), "propagate", True)
    stream = io.StringIO()
    configure_logs(LogSettings(level="error"), stream=stream)
    logging.getLogger(library).warning("a retry")
    logging.getLogger(library).error("gave up")
    assert [line["event"] for line in written(stream)] == ["gave up"]


def lines_of_a_retry(wait_s: float) -> list[str]:
    """Return what is logged where something works at the second try, after that wait."""
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    failures = [ConnectionRefusedError("Nobody listens yet.")]
    for attempt in stamina.retry_context(on=OSError, wait_initial=wait_s, wait_jitter=0.0):
        with attempt:
            if failures:
                raise failures.pop()
    return [f"{line['event']}: {line['reason']}" for line in written(stream)]


def test_a_wait_that_nobody_notices_is_no_line() -> None:
    assert lines_of_a_retry(0.001) == []


def test_a_longer_wait_says_what_it_is_for() -> None:
    assert lines_of_a_retry(UNNOTICED_S) == ["trying again: Nobody listens yet."]


def test_a_second_call_replaces_the_first_and_repeats_no_line() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logs(LogSettings(), stream=first)
    configure_logs(LogSettings(), stream=second)
    structlog.get_logger().info("once")
    assert first.getvalue() == ""
    assert len(written(second)) == 1


def test_a_part_that_made_its_logger_before_the_logs_were_configured_is_heard_too() -> None:
    """Modules make theirs when they are imported."""
    log, stream = structlog.get_logger("mediafleet.early"), io.StringIO()
    configure_logs(LogSettings(level="error"), stream=io.StringIO())
    log.error("before")
    configure_logs(LogSettings(), stream=stream)
    log.info("after")
    assert [line["event"] for line in written(stream)] == ["after"]


def test_standard_error_is_where_lines_go_by_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings())
    structlog.get_logger().info("hello")
    captured = capsys.readouterr()
    assert (captured.out, json.loads(captured.err)["event"]) == ("", "hello")


def test_a_value_that_json_lacks_is_written_as_text() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    structlog.get_logger().info("saved", path=Path("/m/a.mkv"), names={"a"})
    (line,) = written(stream)
    assert (line["path"], line["names"]) == ("/m/a.mkv", "{'a'}")


def test_a_line_break_in_a_value_does_not_make_a_second_line() -> None:
    """Nobody can forge an event by giving a file an odd name."""
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    structlog.get_logger().info("found", name_='a\n{"event":"forged"}')
    assert [line["event"] for line in written(stream)] == ["found"]


def test_an_exception_on_a_terminal_shows_no_local_values() -> None:
    """They may hold credentials."""
    stream = Terminal()
    configure_logs(LogSettings(), stream=stream)
    try:
        token = "secretsecretsecret"  # noqa: S105 - what must not be shown
        raise ValueError(len(token))
    except ValueError:
        structlog.get_logger().exception("handler failed")
    assert "ValueError" in stream.getvalue()
    assert "secretsecretsecret" not in stream.getvalue()
