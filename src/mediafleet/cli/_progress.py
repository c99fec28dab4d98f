"""Shows a batch while it runs: bars on a terminal, lines in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mediafleet.cli._item import Item, Phase
from mediafleet.cli._text import duration_text, printable
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES

if TYPE_CHECKING:
    from typing import Self

    from rich.progress import Progress, TaskID

    from mediafleet.cli._output import Output

_NAME_WIDTH = 32
_MEASURED = frozenset({Phase.UPLOADING, Phase.WORKING})
"""Phases whose progress is worth lines of its own."""
_LINE_STEP = 0.25
"""In a pipe, progress is told in steps of this."""


class Display(Protocol):
    """Somewhere to show items; used as a `with` block around the batch."""

    def change(self, item: Item) -> None:
        """Show the item as it is now; called often, and once when it is over."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def choose_display(output: Output, *, count: int) -> Display:
    """Return bars for a terminal, lines for a pipe, and nothing beside a JSON document in a pipe."""
    return Bars(output, count) if output.is_live else Lines(output)


def verdict(item: Item) -> str:
    """Return the line that an item ends with."""
    name = printable(str(item.path))
    if item.is_good:
        shown = ", ".join(printable(str(path)) for path in item.outputs) or "nothing to fetch"
        return f"{name} → {shown} ({duration_text(item.seconds)})"
    reason = printable(item.error.message) if item.error else item.status
    return f"{name}: {reason}"


def activity(item: Item) -> str:
    """Return what happens to the item now, in one word."""
    if item.phase is Phase.WORKING:
        return printable(item.stage or item.status)
    return item.phase


def pace(item: Item) -> str:
    """Return how fast it goes and what is left, where somebody knows."""
    parts = [f"{item.speed:.1f}×"] if item.speed else []
    if item.eta_ms is not None:
        parts.append(f"{duration_text(item.eta_ms / 1000)} left")
    return " ".join(parts)


class Lines:
    """A line where something new is to be told."""

    def __init__(self, output: Output) -> None:
        self._output = output
        # By identity: items change all the time, so they have no hash.
        self._told: dict[int, tuple[str, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._told.clear()

    def change(self, item: Item) -> None:
        """Tell of a new stage, a further quarter, or the end."""
        if item.phase is Phase.OVER:
            tell = self._output.say if item.is_good else self._output.note
            tell(verdict(item))
            return
        news = (activity(item), int(item.progress / _LINE_STEP) if item.phase in _MEASURED else 0)
        # The end of a job is not yet that of its item: results are fetched next, and then one line says how it went.
        if item.status in FINAL_JOB_STATUSES or self._told.get(id(item)) == news:
            return
        self._told[id(item)] = news
        share = f" {news[1] * _LINE_STEP:.0%}" if news[1] else ""
        self._output.say(f"{printable(str(item.path))}: {news[0]}{share}")


class Bars:
    """A bar for each item that is being worked on, and one for all."""

    def __init__(self, output: Output, count: int) -> None:
        self._console = output.console
        self._progress = _make_progress(output)
        self._rows: dict[int, TaskID] = {}
        self._phases: dict[int, Phase] = {}
        self._all = self._progress.add_task("all files", total=count, doing="", pace="") if count > 1 else None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def change(self, item: Item) -> None:
        """Move the item's bar; replace it by a line when the item is over."""
        if item.phase is Phase.OVER:
            self._end(item)
            return
        row = self._row(item)
        self._progress.update(row, completed=item.progress, doing=activity(item), pace=pace(item))

    def _row(self, item: Item) -> TaskID:
        """Return the bar of the item's phase: upload, work and fetching have one each, one after the other."""
        if id(item) in self._rows and self._phases[id(item)] is not item.phase:
            self._progress.remove_task(self._rows.pop(id(item)))
        if id(item) not in self._rows:
            self._rows[id(item)] = self._progress.add_task(_short(item.path.name), total=1.0, doing="", pace="")
            self._phases[id(item)] = item.phase
        return self._rows[id(item)]

    def _end(self, item: Item) -> None:
        if (row := self._rows.pop(id(item), None)) is not None:
            self._progress.remove_task(row)
        if self._all is not None:
            self._progress.advance(self._all)
        mark, style = ("✓", "green") if item.is_good else ("✗", "red")
        from rich.text import Text  # noqa: PLC0415 - only terminals need it

        # As styled text: a style of the whole print would colour the bars that are drawn below it, too.
        self._console.print(Text(f"{mark} {verdict(item)}", style=style), soft_wrap=True)


def _make_progress(output: Output) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - only terminals need it

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TextColumn("{task.fields[doing]}", markup=False, style="cyan"),
        TextColumn("{task.fields[pace]}", markup=False, style="dim"),
        console=output.console,
        transient=True,
        refresh_per_second=8,
    )


def _short(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= _NAME_WIDTH else shown[: _NAME_WIDTH - 1] + "…"
