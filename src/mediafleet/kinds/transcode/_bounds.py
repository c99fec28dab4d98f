"""What the reading children give up before they open a file; `_probe.py` and `_index.py` run it by path."""

from __future__ import annotations

import resource
import sys


def bind_oneself(memory_bytes: int) -> None:
    """Give up what reading a file does not need, whatever else is allowed on this machine: memory, and all writing."""
    bounds = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        bounds[resource.RLIMIT_DATA] = memory_bytes
    for number, most in bounds.items():
        _, hard = resource.getrlimit(number)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(number, (bound, bound))
