"""How often Python looks for garbage in cycles, for a process that serves."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000
"""Python's own 700 makes a thousand submitted jobs some dozens of searches, and nothing of them is in a cycle."""
YOUNG_SEARCHES = 20
MIDDLE_SEARCHES = 50


def calm_collector() -> None:
    """Search less often, and never through what was loaded before the first request; once a process.

    Memory stays bounded: cycles are found later, not never. It took a fifth of a scheduler's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_SEARCHES, MIDDLE_SEARCHES)
