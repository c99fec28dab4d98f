"""A node that is killed at a step of a replacement: `python -m tests_support.dying_node STEP node --scheduler …`.

With `stop@STEP` it only stops there, until it is told to go on.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial

from mediafleet.artifacts.originals import ReplaceStep, RestoreStep
from mediafleet.cli import main
from mediafleet.node import agent


def die_at(wanted: str, step: ReplaceStep | RestoreStep) -> None:
    """End this process as a power cut would, if it is at the step."""
    if step == wanted:
        os.kill(os.getpid(), signal.SIGKILL)
    if wanted == f"stop@{step}":
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    agent.__dict__["Originals"] = partial(agent.Originals, on_step=partial(die_at, sys.argv.pop(1)))
    sys.exit(main())
