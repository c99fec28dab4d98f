"""Fifty fleets, each with its own work, its own faults and its own luck: all of them keep every promise.

Run more of them, or one again, by hand: `python tests/simulation --first 50 --seeds 1000`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent
SEEDS, PARTS = 50, 5
"""In parts, so that the workers of a test run share them."""


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the simulator as its users do."""
    source = Path(__file__).parents[2] / "src"
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_accepted_job_ends_once_and_all_capacity_comes_back(part: int) -> None:
    count = SEEDS // PARTS
    run = simulate("--first", str(part * count), "--seeds", str(count))
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{count} of {count} seeds held every rule" in run.stdout


@pytest.mark.timeout(300)
def test_a_seed_replays_exactly() -> None:
    """Two interpreters see the same events in the same order, so that a failure can be looked at again."""
    first, second = (simulate("--first", "7", "--seeds", "1", "--events").stdout for _ in range(2))
    digest = re.search(r"\d+ events ([0-9a-f]{16})", first)
    assert digest
    assert re.sub(r" in [\d.]+ s", "", first) == re.sub(r" in [\d.]+ s", "", second)


def test_another_seed_is_another_story() -> None:
    digests = re.findall(r"events ([0-9a-f]{16})", simulate("--first", "3", "--seeds", "2", "--jobs", "3").stdout)
    assert len(set(digests)) == 2


@pytest.mark.timeout(300)
def test_a_run_that_breaks_a_rule_says_which_and_fails() -> None:
    """No node has so many slots: the jobs wait for ever."""
    run = simulate("--seeds", "1", "--nodes", "0", "--jobs", "2", "--duration", "5", "--fault", "flush-scripts")
    assert run.returncode == 1
    assert "is pending" in run.stdout
    assert "0 of 1 seeds held every rule" in run.stdout
