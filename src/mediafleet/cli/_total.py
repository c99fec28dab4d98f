"""What is said of all files of a command together; pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mediafleet.cli._item import Item, Phase
from mediafleet.domain.job import is_fetching
from mediafleet.domain.lifecycle import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

_ORDER = ("done", "failed", "uploading", "processing", "waiting")
_LEAST_DONE = 0.01
"""Of a file: less says nothing about how fast it goes."""


def standing(item: Item) -> str:
    """Return what an item counts as."""
    if item.phase is Phase.OVER:
        return "done" if item.is_good else "failed"
    if item.phase is Phase.WORKING and item.status in {JobStatus.PENDING, JobStatus.PAUSED}:
        return "waiting"
    if item.phase is Phase.WORKING:
        # Whoever brings the bytes to where they are worked on, the command or a node, it is one thing to its user.
        is_uploading = item.status is JobStatus.UPLOADING or is_fetching(item.stage)
        return "uploading" if is_uploading else "processing"
    # Results that are fetched belong to files that are not done.
    return "processing" if item.phase is Phase.FETCHING else item.phase.value


def total_line(items: Iterable[Item], *, count: int) -> str:
    """Return how many of so many files stand where; those that nothing was heard of wait."""
    counts = Counter(map(standing, items))
    counts["waiting"] += count - counts.total()
    return ", ".join(f"{counts[word]} {word}" for word in _ORDER if counts[word])


def total_eta_ms(items: Iterable[Item], *, done: float, count: int, took_ms: float) -> int | None:
    """Return how long all files should take still: as fast as it went so far, and no less than any one of them.

    Args:
        done: Files, the parts of unfinished ones counted.
        took_ms: Since the first one was begun.
    """
    if done < _LEAST_DONE or took_ms <= 0:
        return None
    said = [item.eta_ms for item in items if item.phase is Phase.WORKING and item.eta_ms is not None]
    return max([round(max(0.0, count - done) * took_ms / done), *said])
