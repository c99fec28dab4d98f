"""A fleet as `mediafleet up` starts it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 90.0


@contextmanager
def served_fleet(data: Path, environment: Mapping[str, str] | None = None) -> Generator[str]:
    """Serve on a free port until the block ends; yield the fleet's address. It must end well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mediafleet.cli", "up", "--data", str(data), "--port", "0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    try:
        while "serves at " not in (line := process.stderr.readline()):
            assert process.poll() is None, "the fleet did not start"
        yield line.rpartition(" ")[2].strip()
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
