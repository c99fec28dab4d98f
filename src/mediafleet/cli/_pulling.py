"""Shows downloads: a bar on a terminal, a line a quarter elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mediafleet.cli._text import printable, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.progress import TaskID

    from mediafleet.cli._output import Output
    from mediafleet.engines.models.known import ModelFile
    from mediafleet.engines.models.pull import Report

_QUARTERS = 4


@contextmanager
def show_pulling(output: Output) -> Generator[Report]:
    """Give what is told of each piece of a file; what was drawn is gone at the end."""
    if not output.is_live:
        yield _tell_quarters(output.note)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn  # noqa: PLC0415 - only terminals need it

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=None), DownloadColumn())
    with Progress(*columns, console=output.console, transient=True) as bars:
        rows: dict[str, TaskID] = {}

        def draw(file: ModelFile, came: int, total: int) -> None:
            if file.name not in rows:
                rows[file.name] = bars.add_task(printable(file.name), total=total or None)
            bars.update(rows[file.name], completed=came)

        yield draw


def _tell_quarters(tell: Callable[[str], None]) -> Report:
    told: dict[str, int] = {}

    def note(file: ModelFile, came: int, total: int) -> None:
        quarter = _QUARTERS * came // total if total else 0
        if quarter > told.get(file.name, 0):
            told[file.name] = quarter
            tell(f"  {printable(file.name)}: {size_text(came)} of {size_text(total)}")

    return note
