"""Children of the test process, told by their command lines."""

from __future__ import annotations

from contextlib import suppress

import psutil


def children_with(word: str) -> list[psutil.Process]:
    """Return the children of this process whose command line has a word; one that has ended and waits to be reaped has no words."""
    found: list[psutil.Process] = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            found += [child] if any(word in one for one in child.cmdline()) else []
    return found
