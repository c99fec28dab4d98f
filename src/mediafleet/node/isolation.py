"""Takes the network away from children: an empty network namespace, made once at the start of a node and entered by each.

No right of the superuser is needed: where this process may not make a network namespace, it is made inside a user
namespace, in which every file has the same owner as outside. Some systems forbid that as well; then `reason` says so.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SCRIPT = Path(__file__).with_name("_namespace.py")
_PATIENCE_S = 10
_NOT_LINUX = "only Linux can take it away"
_PROFILE = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


@dataclass(frozen=True)
class Isolation:
    """What children enter before they become another program; holds descriptors until `close`."""

    namespaces: tuple[int, ...] = ()
    """Descriptors, in the order in which they must be entered."""
    reason: str = ""
    """Why children keep the network; empty where they do not."""

    @property
    def is_on(self) -> bool:
        """Whether children have no network."""
        return bool(self.namespaces)

    def hook(self) -> Callable[[], None]:
        """Return what the child runs between fork and exec; it raises OSError where the child must not be started."""
        if not self.namespaces:
            return _stay
        # Loaded here, because loading a library between fork and exec can deadlock.
        setns, namespaces = ctypes.CDLL(None, use_errno=True).setns, self.namespaces

        def enter() -> None:
            for namespace in namespaces:
                if setns(namespace, 0):
                    raise OSError(ctypes.get_errno(), "the network could not be taken away")

        return enter

    def close(self) -> None:
        """Give the namespaces back; children that run stay in them."""
        for namespace in self.namespaces:
            os.close(namespace)


def isolate() -> Isolation:
    """Make the namespace and try it with a child; takes some 20 ms, so call it once, from a thread."""
    if sys.platform != "linux":
        return Isolation(reason=_NOT_LINUX)
    made = _make()
    if not made.is_on:
        return made
    try:
        # A kernel may let namespaces be made and not be entered.
        trial = [sys.executable, "-I", "-S", "-c", ""]
        hook = made.hook()
        subprocess.run(trial, preexec_fn=hook, check=True, timeout=_PATIENCE_S, env={})
    except (OSError, subprocess.SubprocessError) as error:
        made.close()
        return Isolation(reason=f"a program could not be started without it ({error})")
    return made


def _make() -> Isolation:
    maker = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={},
    )
    with maker:
        answer = maker.stdout.readline().strip() if maker.stdout else ""
        try:
            return _open(maker.pid, answer)
        finally:
            if maker.stdin:
                maker.stdin.close()


def _open(pid: int, answer: str) -> Isolation:
    names = {"net": ("net",), "user": ("user", "net")}.get(answer)
    if names is None:
        return Isolation(reason=_explain(answer))
    opened: list[int] = []
    try:
        # Close-on-exec, as everything that Python opens: no child can go back through them.
        opened.extend(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in names)
    except OSError as error:
        for one in opened:
            os.close(one)
        return Isolation(reason=f"its namespace cannot be opened: {error.strerror}")
    return Isolation(tuple(opened))


def _explain(answer: str) -> str:
    hint = ""
    with suppress(OSError, ValueError):
        if int(_PROFILE.read_text()):
            hint = "; kernel.apparmor_restrict_unprivileged_userns is 1"
    return f"this system permits no user and network namespaces ({answer or 'no answer'}{hint})"


def _stay() -> None:
    """Do nothing between fork and exec."""
