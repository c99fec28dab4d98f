"""Processor time of a process and everything that it started."""

from __future__ import annotations

import os
from contextlib import suppress

import psutil


def tree_cpu_seconds(root: int | None = None) -> float:
    """Return the user and system seconds that a process (this one where none is named) and its descendants used so far.

    What descendants used that have ended counts from when their parents waited for them, so the difference of two calls
    is what the whole tree used between them. A process that its parent outlived unwaited, or that left the tree, is
    not seen.
    """
    process = psutil.Process(os.getpid() if root is None else root)
    # Whole microseconds: the same ticks in another order must not add up to less.
    return round(sum(map(_cpu_seconds, (process, *process.children(recursive=True)))), 6)


def _cpu_seconds(process: psutil.Process) -> float:
    # One that ended since it was listed is in its parent's time at the next call.
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system
    return 0.0
