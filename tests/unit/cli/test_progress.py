"""A batch is shown as bars on a terminal and as lines in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from mediafleet.cli._item import Item, Phase
from mediafleet.cli._output import Output
from mediafleet.cli._progress import Bars, Lines, activity, choose_display, pace, verdict
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


def test_a_terminal_gets_bars() -> None:
    class Watched(Terminal):
        @property
        def is_live(self) -> bool:
            return True

    assert isinstance(choose_display(Watched(), count=1), Bars)


@pytest.mark.parametrize(
    ("speed", "eta_ms", "shown"),
    [(None, None, ""), (0.0, None, ""), (2.5, None, "2.5×"), (None, 0, "0.0 s left"), (None, 125_000, "2:05 left")],
)
def test_only_what_is_known_of_the_pace_is_shown(speed: float | None, eta_ms: int | None, shown: str) -> None:
    one = item("a.mkv")
    one.speed, one.eta_ms = speed, eta_ms
    assert pace(one) == shown


def test_what_happens_is_the_fleets_own_word_while_it_works() -> None:
    one = item("a.mkv")
    assert activity(one) == "waiting"
    one.enter(Phase.WORKING)
    one.status = "pending"
    assert activity(one) == "pending"
    one.stage = "encoding\x1b"
    assert activity(one) == "encoding\\x1b"
    one.enter(Phase.FETCHING)
    assert activity(one) == "fetching"


def test_a_good_end_names_every_result_and_the_time() -> None:
    one = item("a.mkv")
    one.status, one.seconds = "completed", 8.26
    assert verdict(one) == "a.mkv → nothing to fetch (8.3 s)"
    one.outputs = [Path("a.mp4"), Path("a\n.srt")]
    assert verdict(one) == "a.mkv → a.mp4, a\\n.srt (8.3 s)"


def test_a_bad_end_gives_its_reason_or_at_least_its_status() -> None:
    one = item("a.mkv")
    one.status = "cancelled"
    assert verdict(one) == "a.mkv: cancelled"
    one.fail(ErrorInfo("task-failed", "It broke\x1b."))
    assert verdict(one) == "a.mkv: It broke\\x1b."


def test_good_ends_are_results_and_bad_ones_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = item("good.mkv"), item("bad.mkv")
    good.phase, good.status = Phase.OVER, "completed"
    bad.phase = Phase.OVER
    bad.fail(ErrorInfo("task-failed", "It broke."))
    with Lines(Output()) as lines:
        lines.change(good)
        lines.change(bad)
    printed = capsys.readouterr()
    assert printed.out.startswith("good.mkv → ")
    assert printed.err == "bad.mkv: It broke.\n"


def test_items_are_told_apart_and_each_stage_is_news(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = item("a.mkv"), item("b.mkv")
    with Lines(Output()) as lines:
        for stage in ("probing", "encoding"):
            for one in (first, second):
                one.phase, one.stage = Phase.WORKING, stage
                lines.change(one)
                lines.change(one)
    assert capsys.readouterr().out.splitlines() == [
        "a.mkv: probing", "b.mkv: probing", "a.mkv: encoding", "b.mkv: encoding",
    ]  # fmt: skip


def test_fetching_is_told_once_however_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    one = item("a.mkv")
    one.enter(Phase.FETCHING)
    with Lines(Output()) as lines:
        for share in (0.0, 0.5, 1.0):
            one.progress = share
            lines.change(one)
    assert capsys.readouterr().out == "a.mkv: fetching\n"


def test_a_job_that_is_over_says_so_only_with_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    one = item("a.mkv")
    one.phase, one.status = Phase.WORKING, "completed"
    with Lines(Output()) as lines:
        lines.change(one)
    assert not capsys.readouterr().out


def test_one_file_needs_no_bar_for_all() -> None:
    with Bars(Terminal(), 1) as bars:
        assert not bars._progress.tasks
    with Bars(Terminal(), 2) as bars:
        assert [(task.description, task.total) for task in bars._progress.tasks] == [("all files", 2)]


def test_the_bar_for_all_counts_what_is_over_good_or_bad() -> None:
    with Bars(Terminal(), 2) as bars:
        for name in ("a.mkv", "b.mkv"):
            one = item(name)
            one.phase = Phase.OVER
            bars.change(one)
        assert [task.completed for task in bars._progress.tasks] == [2]


def test_a_long_name_is_cut_on_its_bar() -> None:
    short, long = item("x" * 32), item("x" * 33)
    with Bars(Terminal(), 1) as bars:
        for one in (short, long):
            one.enter(Phase.WORKING)
            bars.change(one)
        assert [task.description for task in bars._progress.tasks] == ["x" * 32, "x" * 31 + "…"]
