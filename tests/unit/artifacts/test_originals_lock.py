"""Two processes replace one file on behalf of one job: the second waits, and takes over what the first has done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support.fleet_process import wait_for
from tests_support.replacer import Plan, start
from tests_support.shelf import NEW, OLD, Shelf

from mediafleet.artifacts.originals import ReplaceStep

PATIENCE_S = 60


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


def waits_for_a_lock(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the kernel has it in a queue (proc_locks(5)); a process that has ended does not wait."""
    waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "-> FLOCK" in line]
    return process.poll() is not None or any(str(process.pid) in words for words in waiting)


@pytest.mark.parametrize("step", [ReplaceStep.KEPT, ReplaceStep.PLACED])
def test_who_comes_second_waits_for_the_lock_and_then_finds_all_done(shelf: Shelf, step: ReplaceStep) -> None:
    if sys.platform != "linux":
        pytest.skip("who waits for a lock is asked in /proc/locks")
    wanted = shelf.wish(shelf.film())
    plans = [
        Plan(str(shelf.folder), str(shelf.data) + name, "", links=True, replacement=wanted, made=str(shelf.made))
        for name in ("-a", "-b")
    ]
    plans[0].hold_at = step
    first = start(plans[0])
    try:
        wait_for(lambda: is_stopped(first), f"the first to come to {step}")
        journal = shelf.folder / ".mediafleet-trash" / "j0-abc.json"
        before, names = journal.read_bytes(), shelf.names()
        with start(plans[1]) as second:
            wait_for(lambda: waits_for_a_lock(second), "the second to wait for the lock")
            assert second.poll() is None, "it did not wait"
            assert (journal.read_bytes(), shelf.names()) == (before, names)
            os.kill(first.pid, signal.SIGCONT)
            assert [process.wait(PATIENCE_S) for process in (first, second)] == [0, 0]
    finally:
        first.kill()
        first.wait()
    assert shelf.names() == ["film.mp4"]
    assert (shelf.folder / "film.mp4").read_bytes() == NEW
    assert (journal.parent / "j0-abc" / "film.mkv").read_bytes() == OLD
