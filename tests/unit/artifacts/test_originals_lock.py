"""Two processes replace one file on behalf of one job: the second waits, and takes over what the first has done."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests_support.fleet_process import wait_for
from tests_support.replacer import Plan, start
from tests_support.shelf import NEW, OLD, Shelf

from mediafleet.artifacts.originals import ReplaceStep, folder
from mediafleet.domain.errors import TransientFailure

PATIENCE_S = 60


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


def waits_for_a_lock(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether it has opened the lock, which it keeps open for no longer than it must; or it has ended, and does not wait."""
    if process.poll() is not None:
        return True
    with suppress(FileNotFoundError):
        return any(file.readlink().name == "lock" for file in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


@pytest.mark.parametrize("step", [ReplaceStep.KEPT, ReplaceStep.PLACED])
def test_who_comes_second_waits_for_the_lock_and_then_finds_all_done(shelf: Shelf, step: ReplaceStep) -> None:
    if sys.platform != "linux":
        pytest.skip("who waits for a lock is asked in /proc")
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


def names_in(path: Path) -> list[str]:
    return [found.name for found in path.iterdir()]


@pytest.fixture
def held(shelf: Shelf) -> Iterator[Path]:
    """The trash folder, whose lock somebody keeps."""
    (trash := shelf.folder / ".mediafleet-trash").mkdir()
    with (trash / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield trash


async def test_who_is_cancelled_waits_no_longer_for_a_lock(
    shelf: Shelf, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, loop = asyncio.Event(), asyncio.get_running_loop()
    take = folder._take_lock

    def take_and_tell(descriptor: int) -> bool:
        is_taken = take(descriptor)
        loop.call_soon_threadsafe(waits.set)
        return is_taken

    monkeypatch.setattr(folder, "_take_lock", take_and_tell)
    work = asyncio.create_task(shelf.replace(shelf.film()))
    await asyncio.wait_for(waits.wait(), PATIENCE_S)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(work, PATIENCE_S)
    assert shelf.names() == ["film.mkv"]
    assert names_in(held) == ["lock"]


async def test_a_lock_that_somebody_keeps_for_ever_costs_a_try_and_no_thread(
    shelf: Shelf, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_LOCK_PATIENCE_S", 0.0)
    with pytest.raises(TransientFailure, match=r"kept the lock of .*\.mediafleet-trash' for too long"):
        await shelf.replace(shelf.film())
    assert names_in(held) == ["lock"]
