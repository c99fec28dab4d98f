"""A real `mediafleet scheduler` process on a temporary data directory, to be measured from outside."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mediafleet.bench.cpu import tree_cpu_seconds
from mediafleet.domain.errors import SchedulerUnavailable

START_S = 30.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class BenchFleet:
    """A fleet that runs for one measurement."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time of the scheduler and its store so far, user and system."""
        return tree_cpu_seconds(self.pid)


@asynccontextmanager
async def bench_fleet(*arguments: str, **environment: str) -> AsyncGenerator[BenchFleet]:
    """Run `mediafleet <arguments>` (`scheduler`, or `up --nodes 1`) inside the block, with more environment variables."""
    data = Path(tempfile.mkdtemp(prefix="mediafleet-bench-"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mediafleet.cli", *arguments, "--data", str(data), "--port", "0"),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        # Lines of the log would cost time that is no part of what is measured.
        env={**os.environ, "MEDIAFLEET_LOG__LEVEL": "error", **environment},
    )
    try:
        yield await _until_serving(data, process)
    finally:
        # SIGINT ends at once; SIGTERM would let work finish that nobody measures any more.
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()
        shutil.rmtree(data, ignore_errors=True)


async def _until_serving(data: Path, process: asyncio.subprocess.Process) -> BenchFleet:
    deadline = asyncio.get_running_loop().time() + START_S
    # Written only once the fleet serves: the port is free to choose, so nobody knows it before.
    record = data / "fleet.json"
    while not record.exists():
        if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
            raise SchedulerUnavailable("The fleet to be measured did not start; try `mediafleet up` to see why.")
        await asyncio.sleep(LOOK_EVERY_S)
    return BenchFleet(msgspec.json.decode(record.read_bytes())["url"], process.pid)
