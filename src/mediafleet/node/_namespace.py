"""The process that makes the namespaces of `mediafleet.node.isolation`, run as a plain script: it imports nothing of ours.

It tells in one line what it has, `net`, `user` or why neither, and stays until standard input ends: the node opens
the namespaces meanwhile, and they live as long as those descriptors.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
"""From `linux/sched.h`."""


def enter() -> str:
    """Leave the network of this machine; return `net`, or `user` where a user namespace had to be entered for it.

    Raises:
        OSError: The system does not permit it.
    """
    # Rights over the network come first: in a user namespace the superuser would lose those over others' files.
    try:
        _unshare(_CLONE_NEWNET)
    except OSError:
        owner, group = os.geteuid(), os.getegid()
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        own = Path("/proc/self")
        # The kernel lets groups be mapped only by one who cannot change them any more.
        (own / "setgroups").write_text("deny")
        (own / "uid_map").write_text(f"{owner} {owner} 1")
        (own / "gid_map").write_text(f"{group} {group} 1")
        return "user"
    return "net"


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    try:
        answer = enter()
    except (OSError, AttributeError) as error:
        answer = getattr(error, "strerror", None) or str(error)
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()
    sys.stdin.read()
