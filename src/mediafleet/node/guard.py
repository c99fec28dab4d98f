"""How children die with the node, whatever ends it, `kill -9` included.

On Linux the kernel does it (PR_SET_PDEATHSIG). Elsewhere a small watchdog process reads a pipe that
only the node holds open: at its end it kills the process groups that were written to it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
"""From `linux/prctl.h`."""
_ORPHANED = 127


class Guard(Protocol):
    """Ties the life of children to the life of this process."""

    def hook(self) -> Callable[[], None]:
        """Return what the child runs between fork and exec; called in the parent."""
        ...

    def forget(self, pid: int) -> None:
        """Note that the child has ended, so that its number is not used any more."""
        ...

    def close(self) -> None:
        """Release what the guard holds; no child may run."""
        ...


class DeathSignal:
    """The kernel kills the child when the thread that started it ends (Linux): start children in the main thread."""

    def __init__(self) -> None:
        # Loaded here, because loading a library between fork and exec can deadlock.
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def hook(self) -> Callable[[], None]:
        """Return what the child runs between fork and exec."""
        parent = os.getpid()
        prctl = self._prctl

        def tie_to_parent() -> None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            # The parent may have died before the call above: then no signal will ever come.
            if os.getppid() != parent:
                os._exit(_ORPHANED)

        return tie_to_parent

    def forget(self, pid: int) -> None:
        """Do nothing: the kernel knows."""

    def close(self) -> None:
        """Do nothing: nothing is held."""


class Watchdog:
    """A process of its own that outlives the node just long enough to kill its children (any Unix)."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("_watchdog.py")
        # Python makes both ends close on exec: a child that held the
        # writing end would keep the watchdog waiting for itself.
        reader, self._pipe = os.pipe()
        with os.fdopen(reader, "rb") as end:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(script)],
                stdin=end,
                stdout=subprocess.DEVNULL,
                # A terminal that is closed, or a kill of the whole group of the node, must not take the watchdog along.
                start_new_session=True,
                preexec_fn=_ignore_requests_to_end,  # noqa: PLW1509 - takes no lock, so threads do no harm
                cwd="/",
                env={},
            )

    def hook(self) -> Callable[[], None]:
        """Return what the child runs between fork and exec: it names itself, so no kill can come in between."""
        pipe = self._pipe

        def name_oneself() -> None:
            os.write(pipe, b"+%d\n" % os.getpid())

        return name_oneself

    def forget(self, pid: int) -> None:
        """Take the child off the watchdog's list."""
        os.write(self._pipe, b"-%d\n" % pid)

    def close(self) -> None:
        """End the watchdog."""
        os.close(self._pipe)
        self._process.wait()


def _ignore_requests_to_end() -> None:
    # Ctrl-C or a service manager must end the node, not the one that cleans up after it. Set before exec, which
    # keeps it, so that there is no moment without it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def choose_guard() -> Guard:
    """Return the guard that this system supports best."""
    return DeathSignal() if sys.platform == "linux" else Watchdog()
