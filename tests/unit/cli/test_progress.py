"""A batch is shown as bars on a terminal and as lines in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import TaskID
from rich.text import Text

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


def test_an_item_keeps_its_bar_through_all_phases_which_ends_in_a_line() -> None:
    terminal, good, bad = Terminal(), item("good [red].mkv"), item("bad\x1b.mkv")
    with Bars(terminal, 2) as bars:
        for one in (good, bad):
            one.enter(Phase.UPLOADING)
            bars.change(one)
            one.enter(Phase.WORKING)
            one.stage = "encoding"
            bars.change(one)
            assert bars._progress.tasks[-1].fields["doing"] == "encoding"
        assert len(bars._progress.tasks) == 3
        good.phase, good.status, good.outputs = Phase.OVER, "completed", [Path("good.mp4")]
        bad.phase = Phase.OVER
        bad.fail(ErrorInfo("unreadable-media", "This is no video."))
        bars.change(good)
        bars.change(bad)
    text = terminal.text.getvalue()
    assert "✓ good [red].mkv → good.mp4" in text
    assert "✗ bad\\x1b.mkv: This is no video." in text


def walk(bars: Bars, one: Item, *steps: tuple[Phase, float]) -> list[float]:
    """Let the item go through the steps; return how full its bar was after each."""
    full: list[float] = []
    for phase, share in steps:
        if one.phase is not phase:
            one.enter(phase)
        one.progress = share
        bars.change(one)
        full.append(bars._progress.tasks[-1].completed)
    return full


def test_each_phase_goes_on_where_the_one_before_ended() -> None:
    steps = [(Phase.UPLOADING, 0.5), (Phase.UPLOADING, 1.0), (Phase.WORKING, 0.0), (Phase.WORKING, 1.0),
             (Phase.FETCHING, 0.0), (Phase.FETCHING, 1.0)]  # fmt: skip
    with Bars(Terminal(), 1) as bars:
        assert walk(bars, item("a.mkv"), *steps) == pytest.approx([0.05, 0.1, 0.1, 0.95, 0.95, 1.0])
    # What is used in place is not uploaded, and its work begins at nothing.
    with Bars(Terminal(), 1) as bars:
        assert walk(bars, item("a.mkv"), *steps[2:]) == pytest.approx([0.0, 0.95, 0.95, 1.0])


PHASES = st.sampled_from([Phase.UPLOADING, Phase.WORKING, Phase.FETCHING])


@given(st.lists(st.tuples(PHASES, st.floats(0, 1)), min_size=1))
def test_a_bar_never_goes_back_and_never_beyond_its_end(steps: list[tuple[Phase, float]]) -> None:
    with Bars(Terminal(), 1) as bars:
        full = walk(bars, item("a.mkv"), *steps)
        assert len(bars._progress.tasks) == 1
    assert full == sorted(full)
    assert full[-1] <= 1


def test_the_end_of_a_job_is_not_shown_before_its_result_is_fetched() -> None:
    one = item("a.mkv")
    with Bars(Terminal(), 1) as bars:
        one.enter(Phase.WORKING)
        one.stage = "verifying"
        bars.change(one)
        one.stage, one.status, one.progress = "", "completed", 1.0
        bars.change(one)
        [task] = bars._progress.tasks
        assert task.fields["doing"] == "verifying"
        one.enter(Phase.FETCHING)
        bars.change(one)
        assert task.fields["doing"] == "fetching"


def test_a_new_bar_says_what_is_done_before_it_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    one = item("a.mkv")
    with Bars(Terminal(), 1) as bars:

        def look(row: TaskID, **_: object) -> None:
            drawn.append(bars._progress._tasks[row].fields["doing"])

        # In the place of its first move: what the drawing thread would have seen until then.
        monkeypatch.setattr(bars._progress, "update", look)
        one.enter(Phase.UPLOADING)
        bars.change(one)
    assert drawn == ["uploading"]


def test_bars_have_the_same_length_whatever_is_said_beside_them() -> None:
    terminal, one = Terminal(), item("a.mkv")
    widths: set[int] = set()
    with Bars(terminal, 1) as bars:
        one.enter(Phase.WORKING)
        for stage, speed in (("probing", None), ("verifying", 2.5), ("", 12.5)):
            one.stage, one.speed = stage, speed
            bars.change(one)
            terminal.text.truncate(0)
            terminal.console.print(bars._progress.get_renderable())
            widths.add(terminal.text.getvalue().count("━"))
    [width] = widths
    assert width


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


def test_a_terminal_shows_how_many_files_stand_where_and_how_long_all_take_still() -> None:
    moments = iter([0.0, 10.0, 20.0, 20.0])
    with Bars(Terminal(), 4, now_s=lambda: next(moments)) as bars:
        first, second = item("a.mkv"), item("b.mkv")
        first.phase, first.status = Phase.OVER, "completed"
        bars.change(first)
        assert [task.fields["pace"] for task in bars._progress.tasks] == ["30.0 s left"]
        second.enter(Phase.UPLOADING)
        bars.change(second)
        shown = [line.plain for line in bars._progress.get_renderables() if isinstance(line, Text)]
        assert shown == ["1 done, 1 uploading, 2 waiting"]


def test_a_source_that_a_node_fetches_is_being_uploaded() -> None:
    one = item("a.mkv")
    one.phase, one.stage = Phase.WORKING, "fetching"
    assert activity(one) == "uploading"


def test_a_long_name_is_cut_on_its_bar() -> None:
    short, long = item("x" * 32), item("x" * 33)
    with Bars(Terminal(), 1) as bars:
        for one in (short, long):
            one.enter(Phase.WORKING)
            bars.change(one)
        assert [task.description for task in bars._progress.tasks] == ["x" * 32, "x" * 31 + "…"]
