"""Shows a batch while it runs: bars on a terminal, lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mediafleet.cli._item import SKIPPED, Item, Phase
from mediafleet.cli._text import duration_text, name_reason, printable
from mediafleet.cli._total import total_eta_ms, total_line
from mediafleet.domain.job import shown_stage
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES

if TYPE_CHECKING:
    from typing import Self

    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

    from mediafleet.cli._output import Output

_NAME_WIDTH = 32
_MEASURED = frozenset({Phase.UPLOADING, Phase.WORKING})
"""Phases whose progress is worth lines of its own."""
_ENDS = {Phase.UPLOADING: 0.1, Phase.WORKING: 0.95, Phase.FETCHING: 1.0}
"""How full an item's bar is at the end of each phase; nobody can say beforehand how long the others take beside one."""
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
    if item.status == SKIPPED:
        return f"{name}: skipped, {item.stage}"
    if item.is_good:
        shown = ", ".join(printable(str(path)) for path in item.outputs) or (
            "kept as it is" if item.replaces else "nothing to fetch"
        )
        return f"{name} → {shown} ({duration_text(item.seconds)})"
    return name_reason(name, printable(item.error.message) if item.error else item.status)


def activity(item: Item) -> str:
    """Return what happens to the item now, in one word."""
    if item.phase is Phase.WORKING:
        return printable(shown_stage(item.stage) or item.status)
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


@dataclass
class _Bar:
    """How full the bar of an item is."""

    row: TaskID
    phase: Phase
    start: float = 0.0
    """Where it stood when the phase began."""
    at: float = 0.0

    def advance(self, item: Item) -> float:
        """Return where it stands now: never less than before, also where a phase begins or an attempt failed."""
        if item.phase is not self.phase:
            self.phase, self.start = item.phase, self.at
        end = max(self.start, _ENDS.get(item.phase, 0.0))
        self.at = max(self.at, self.start + (end - self.start) * min(1.0, item.progress))
        return self.at


class Bars:
    """A bar for each item that is being worked on, and one for all with a line that counts them."""

    def __init__(self, output: Output, count: int, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._console = output.console
        self._count, self._now_s, self._began_s = count, now_s, now_s()
        self._line = ""
        self._progress = _make_progress(output, lambda: self._line)
        self._seen: dict[int, Item] = {}
        self._bars: dict[int, _Bar] = {}
        self._all = self._progress.add_task("all files", total=count, doing="", pace="") if count > 1 else None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def change(self, item: Item) -> None:
        """Move the item's bar; replace it by a line when the item is over."""
        self._seen[id(item)] = item
        if item.phase is Phase.OVER:
            self._end(item)
        # The end of a job is not yet that of its item, and would stand there for a moment before the fetching.
        elif item.phase is not Phase.WORKING or item.status not in FINAL_JOB_STATUSES:
            self._move(item)
        if self._all is not None:
            self._show_all(self._all)

    def _show_all(self, row: TaskID) -> None:
        items = self._seen.values()
        over = sum(item.phase is Phase.OVER for item in items)
        done = over + sum(bar.at for bar in self._bars.values())
        took_ms = (self._now_s() - self._began_s) * 1000
        left_ms = total_eta_ms(items, done=done, count=self._count, took_ms=took_ms) if over < self._count else None
        self._line = total_line(items, count=self._count)
        left = "" if left_ms is None else f"{duration_text(left_ms / 1000)} left"
        self._progress.update(row, completed=done, pace=left)

    def _move(self, item: Item) -> None:
        doing, speed = activity(item), pace(item)
        if (bar := self._bars.get(id(item))) is None:
            # Whole from the start: it is drawn at any moment, by another thread.
            row = self._progress.add_task(_short(item.path.name), total=1.0, doing=doing, pace=speed)
            bar = self._bars[id(item)] = _Bar(row, item.phase)
        self._progress.update(bar.row, completed=bar.advance(item), doing=doing, pace=speed)

    def _end(self, item: Item) -> None:
        if (bar := self._bars.pop(id(item), None)) is not None:
            self._progress.remove_task(bar.row)
        mark, style = ("✓", "green") if item.is_good else ("✗", "red")
        from rich.text import Text  # noqa: PLC0415 - only terminals need it

        # As styled text: a style of the whole print would colour the bars that are drawn below it, too.
        self._console.print(Text(f"{mark} {verdict(item)}", style=style), soft_wrap=True)


def _make_progress(output: Output, total: Callable[[], str]) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - only terminals need it
    from rich.table import Column  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    class WithTotal(Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            yield from super().get_renderables()
            if line := total():
                yield Text(line, no_wrap=True, overflow="ellipsis")

    def words(name: str, style: str, width: int) -> TextColumn:
        # The bar takes what is left of the line, so its length would change with every word beside it.
        column = Column(min_width=width, no_wrap=True)
        return TextColumn(f"{{task.fields[{name}]}}", markup=False, style=style, table_column=column)

    return WithTotal(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        words("doing", "cyan", width=len("processing")),
        words("pace", "dim", width=len("12.3× 1:02:05 left")),
        console=output.console,
        transient=True,
        refresh_per_second=8,
    )


def _short(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= _NAME_WIDTH else shown[: _NAME_WIDTH - 1] + "…"
