"""The items of a command that works on many files: run on a fleet, and told at the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet.cli._batch import Batch, Times, Work
from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._item import INTERRUPTED, Item, Phase
from mediafleet.cli._progress import verdict
from mediafleet.domain.errors import MediafleetError
from mediafleet.domain.lifecycle import PriorityClass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediafleet.cli._names import Targets
    from mediafleet.cli._options import ClientOptions
    from mediafleet.cli._output import Output
    from mediafleet.cli._progress import Display

_MANY = 10
"""With more inputs than this, failures have scrolled away and are listed once more at the end."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for, of any kind of work on files."""

    paths: tuple[Path, ...]
    out: Path | None
    params: dict[str, Any]
    force: bool = False
    recursive: bool = True
    priority: PriorityClass = PriorityClass.BATCH
    times: Times = field(default_factory=Times)
    batch: str = ""


@dataclass(frozen=True)
class Shown:
    """How a command talks to its fleet and to its user."""

    options: ClientOptions
    output: Output
    display: Display


async def run_items(items: Sequence[Item], shown: Shown, work: Work, targets: Targets) -> None:
    """Work on the items that are not over yet; each has ended when this returns or raises."""
    for item in items:
        if item.phase is Phase.OVER:
            shown.display.change(item)
    # No fleet is started where nothing is left to do.
    if waiting := [item for item in items if item.phase is not Phase.OVER]:
        try:
            async with open_fleet(shown.options) as fleet:
                await Batch(fleet, work, targets, display=shown.display, output=shown.output).run(waiting)
        except asyncio.CancelledError:
            if _end_rest(waiting, lambda item: item.cancel(INTERRUPTED)):
                shown.output.note("Interrupted before anything was handed in.")
            raise
        except MediafleetError as error:
            info = error.info()
            _end_rest(waiting, lambda item: item.fail(info))
            raise


def _end_rest(items: Sequence[Item], end: Callable[[Item], None]) -> int:
    """End the items that no batch came to, which would be told as waiting for ever; return how many those were."""
    rest = [item for item in items if item.phase is not Phase.OVER]
    for item in rest:
        end(item)
        item.phase = Phase.OVER
    return len(rest)


def report(items: Sequence[Item], output: Output) -> None:
    """Print the end of a batch: the document for a program, or warnings, a count and what failed for people."""
    output.document([item.document() for item in items])
    for item in items:
        for warning in item.warnings:
            output.note(f"note: {item.path.name}: {warning}")
    bad = [item for item in items if not item.is_good]
    if len(items) > 1:
        output.say(f"{len(items) - len(bad)} of {len(items)} succeeded.")
    if bad and len(items) > _MANY:
        for item in bad:
            output.note(f"failed: {verdict(item)}")
