"""A child that does not outlive its parent, where the kernel can see to it (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
_LIBC: ctypes.CDLL | None = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
"""Loaded before any fork, since loading a library between fork and exec may block for ever."""


def end_with_parent(sent: signal.Signals) -> Callable[[], None] | None:
    """Return what the child must run before it becomes the program; None where the kernel has no such thing.

    Args:
        sent: What the kernel sends to the child when the thread that started it ends.
    """
    if _LIBC is None:
        return None
    libc, parent = _LIBC, os.getpid()

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(sent), 0, 0, 0)
        # The parent may have died before the line above: then nobody sends anything.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return arm
