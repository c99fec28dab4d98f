"""Processor time is that of a process and all that it started, whether that still runs or not."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from mediafleet.bench.cpu import tree_cpu_seconds

SPIN = "import time\nwhile time.process_time() < 0.2: pass\n"
SPUN_S = 0.15
"""The kernel counts in ticks of 10 ms, and each of several numbers is rounded."""


def start(script: str) -> subprocess.Popen[str]:
    """Start a script and return once it has said a word; it lives until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", script + "\nprint(flush=True)\ninput()"], stdin=-1, stdout=-1, text=True
    )
    assert process.stdout
    process.stdout.readline()
    return process


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(SPIN, id="itself"),
        pytest.param(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN!r}])", id="an ended child"),
        pytest.param(
            "import subprocess, sys\n"
            f"child = subprocess.Popen([sys.executable, '-c', {SPIN + 'print(flush=True); input()'!r}], stdin=-1, stdout=-1)\n"
            "child.stdout.readline()",
            id="a running child",
        ),
    ],
)
def test_it_counts_whoever_in_the_tree_used_it(script: str) -> None:
    before = tree_cpu_seconds()
    with start(script) as process:
        assert tree_cpu_seconds(process.pid) >= SPUN_S
        # This process is the root where none is named.
        assert tree_cpu_seconds() - before >= SPUN_S
        process.communicate("\n")


def test_it_never_goes_back_when_a_child_ends() -> None:
    with start(SPIN) as process:
        during = tree_cpu_seconds()
        process.communicate("\n")
    assert tree_cpu_seconds() >= during


def test_a_process_that_ends_while_it_is_counted_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with start("") as process:
        gone = psutil.Process(process.pid)
        process.communicate("\n")

    def list_gone(_process: psutil.Process, *, recursive: bool) -> list[psutil.Process]:
        return [gone] if recursive else []

    monkeypatch.setattr(psutil.Process, "children", list_gone)
    assert tree_cpu_seconds() > 0
