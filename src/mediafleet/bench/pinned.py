"""Nodes that the system lets run on one core only, so that what they measure is that of one core."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from mediafleet.domain.errors import ConfigError

_ANY_LOAD = {"MEDIAFLEET_NODE__HEADROOM": "cpu:0,memory:0,disk:0,gpu:0"}
"""The other node and plain FFmpeg keep the machine busy, as no other program would keep a node's own."""
_PINNED = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execv(sys.argv[2], sys.argv[2:])"


def check_system() -> None:
    """Return where processes can be bound to one core. Raises ConfigError elsewhere."""
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("Processes can be bound to one core on Linux only, so this is measured there.")


async def start_pinned_node(url: str, folder: Path, number: int) -> asyncio.subprocess.Process:
    """Start a node of one slot on the core of that number; whoever starts it ends it."""
    cores = sorted(os.sched_getaffinity(0))
    core = cores[number % len(cores)]
    words = ("-m", "mediafleet.cli", "node", "--scheduler", url, "--data", str(folder / f"node-{number}"))
    program = (sys.executable, "-c", _PINNED, str(core), sys.executable, *words, "--name", f"one-core-{number}")
    return await asyncio.create_subprocess_exec(
        *program,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "MEDIAFLEET_LOG__LEVEL": "error", "MEDIAFLEET_NODE__SLOTS": "1", **_ANY_LOAD},
    )
