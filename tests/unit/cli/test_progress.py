"""A batch is shown as bars on a terminal and as lines in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from mediafleet.cli._item import Item, Phase
from mediafleet.cli._output import Output
from mediafleet.cli._progress import Bars, Lines, choose_display, pace
from mediafleet.domain.errors import ErrorInfo


class Terminal(Output):
    """An output whose terminal is a text in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.text = io.StringIO()
        # Set before first use: the attribute takes the place of the cached property.
        self.__dict__["console"] = Console(
            file=self.text, force_terminal=True, width=120, markup=False, highlight=False
        )


def item(name: str) -> Item:
    return Item(Path(name), Path(name))


def test_a_pipe_gets_lines_and_a_document_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(choose_display(Output(), count=1), Lines)
    quiet = choose_display(Output(as_json=True), count=1)
    quiet.change(item("a.mkv"))
    assert not capsys.readouterr().out


def test_lines_tell_a_stage_once_and_then_each_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    one = item("a.mkv")
    with Lines(Output()) as lines:
        one.enter(Phase.UPLOADING)
        for share in (0.0, 0.1, 0.3, 0.4, 1.0):
            one.progress = share
            lines.change(one)
    assert capsys.readouterr().out.splitlines() == [
        "a.mkv: uploading", "a.mkv: uploading 25%", "a.mkv: uploading 100%",
    ]  # fmt: skip


def test_bars_show_upload_and_work_apart_and_end_in_a_line() -> None:
    terminal, good, bad = Terminal(), item("good [red].mkv"), item("bad\x1b.mkv")
    with Bars(terminal, 2) as bars:
        for one in (good, bad):
            one.enter(Phase.UPLOADING)
            bars.change(one)
            one.enter(Phase.WORKING)
            one.stage = "encoding"
            bars.change(one)
        assert [task.fields["doing"] for task in bars._progress.tasks] == ["", "encoding", "encoding"]
        good.phase, good.status, good.outputs = Phase.OVER, "completed", [Path("good.mp4")]
        bad.phase = Phase.OVER
        bad.fail(ErrorInfo("unreadable-media", "This is no video."))
        bars.change(good)
        bars.change(bad)
    text = terminal.text.getvalue()
    assert "✓ good [red].mkv → good.mp4" in text
    assert "✗ bad\\x1b.mkv: This is no video." in text


def test_the_pace_says_what_is_known() -> None:
    one = item("a.mkv")
    assert not pace(one)
    one.speed, one.eta_ms = 2.5, 3000
    assert pace(one) == "2.5× 3.0 s left"
