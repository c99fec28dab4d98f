"""People get text, programs get one JSON document, and no name can do anything to a terminal."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mediafleet.cli._output import Output
from mediafleet.domain.errors import NotFound

Printed = pytest.CaptureFixture[str]


class Screen(Output):
    """An output that somebody watches, on a terminal in memory."""

    def __init__(self, width: int = 60) -> None:
        super().__init__()
        self.text = io.StringIO()
        # Set before first use: the attribute takes the place of the cached property.
        self.__dict__["console"] = Console(file=self.text, force_terminal=True, width=width, markup=False)

    @property
    def is_live(self) -> bool:
        return True


def test_results_go_to_one_stream_and_all_else_to_the_other(capsys: Printed) -> None:
    Output().say("result")
    Output().note("aside")
    assert capsys.readouterr() == ("result\n", "aside\n")


def test_beside_a_document_nothing_is_said_but_notes_are_made(capsys: Printed) -> None:
    output = Output(as_json=True)
    output.say("result")
    output.table(("A",), [("x",)], empty="None.")
    output.note("aside")
    assert capsys.readouterr() == ("", "aside\n")


def test_without_json_there_is_no_document(capsys: Printed) -> None:
    Output().document({"a": 1})
    assert not capsys.readouterr().out


def test_a_document_can_hold_names_that_are_not_utf8(capsys: Printed) -> None:
    name = os.fsdecode(b"a\xff.mkv")
    Output(as_json=True).document([name])
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == [name]


def test_a_document_is_printed_before_the_error_and_is_the_only_one(capsys: Printed) -> None:
    output = Output(as_json=True)
    output.document([1])
    output.fail(NotFound("Gone."))
    printed = capsys.readouterr()
    assert json.loads(printed.out) == [1]
    assert printed.err == "mediafleet: Gone.\n"


def test_an_endless_list_has_a_line_for_each_item(capsys: Printed) -> None:
    Output().line({"a": 1}, "one\x1b")
    assert capsys.readouterr().out == "one\\x1b\n"
    Output(as_json=True).line({"a": [1, 2]}, "one")
    assert capsys.readouterr().out == '{"a": [1, 2]}\n'


def test_who_reads_lines_gets_an_error_as_one_more(capsys: Printed) -> None:
    output = Output(as_json=True, in_lines=True)
    output.line({"a": 1}, "one")
    output.fail(NotFound("Gone."))
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.out.splitlines()] == [
        {"a": 1}, {"error": {"code": "not-found", "message": "Gone."}},
    ]  # fmt: skip
    assert printed.err == "mediafleet: Gone.\n"


def test_lines_of_ours_stay_lines_and_what_acts_on_a_terminal_is_escaped(capsys: Printed) -> None:
    Output().say("two\nlines\x1b[2J")
    Output().note("a\rb")
    assert capsys.readouterr() == ("two\nlines\\x1b[2J\n", "a\\rb\n")


def test_a_table_in_a_pipe_is_aligned_and_keeps_each_row_on_one_line(capsys: Printed) -> None:
    Output().table(("ID", "NAME"), [("j0-long", "a\nb"), ("x", "[bold]")], empty="None.")
    assert capsys.readouterr().out.splitlines() == ["ID       NAME", "j0-long  a\\nb", "x        [bold]"]


def test_an_empty_table_is_a_sentence(capsys: Printed) -> None:
    Output().table(("ID",), [], empty="No jobs.")
    assert capsys.readouterr().out == "No jobs.\n"


def test_a_table_on_a_terminal_folds_what_is_too_long_and_loses_nothing() -> None:
    screen = Screen(width=20)
    screen.table(("ID", "NAME"), [("j0", "x" * 40)], empty="None.")
    assert screen.text.getvalue().count("x") == 40


def test_a_table_on_a_terminal_takes_no_markup_from_names() -> None:
    screen = Screen()
    screen.table(("NAME",), [("[red]a[/red]\x1b",)], empty="None.")
    assert "[red]a[/red]\\x1b" in screen.text.getvalue()


def test_what_people_watch_is_drawn_beside_the_document_never_in_it() -> None:
    assert Output().console.file is sys.stdout
    assert Output(as_json=True).console.file is sys.stderr


def test_nobody_watches_a_pipe() -> None:
    assert not Output().is_live
    assert not Output(as_json=True).is_live


@pytest.mark.parametrize(("term", "watched"), [("xterm", [True]), ("dumb", [False])])
def test_only_a_terminal_that_can_be_redrawn_is_watched(
    term: str, watched: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, other = os.openpty()
    monkeypatch.setenv("TERM", term)
    try:
        with Path(f"/dev/fd/{other}").open("w", encoding="utf-8") as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            assert [Output().is_live] == watched
            monkeypatch.undo()
    finally:
        os.close(main)
        os.close(other)
