"""The watchdog process of `mediafleet.node.guard`, run as a plain script: it imports nothing of ours.

Standard input carries lines `+<group>` and `-<group>`; it ends when the node does, however that happens.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def watch(lines: Iterable[bytes]) -> None:
    """Follow the lines to their end, then kill every group that is still named."""
    groups: set[int] = set()
    for line in lines:
        number = int(line[1:])
        if line[:1] == b"+":
            groups.add(number)
        else:
            groups.discard(number)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        # The child may have ended in the same moment as the node, before its end could be reported.
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    watch(sys.stdin.buffer)
