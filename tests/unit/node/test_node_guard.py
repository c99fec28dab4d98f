"""How children die with the node; `kill -9` of a whole node is in `test_node_processes`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediafleet.node._watchdog import watch
from mediafleet.node.guard import DeathSignal, Watchdog, choose_guard

if TYPE_CHECKING:
    from collections.abc import Generator

    from mediafleet.node.guard import Guard

PAUSE = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]
DEADLINE_S = 20


@contextmanager
def sleeper(guard: Guard | None = None) -> Generator[subprocess.Popen[bytes]]:
    """A child in a group of its own, ended by the test."""
    hook = guard.hook() if guard else None
    with subprocess.Popen(PAUSE, start_new_session=True, preexec_fn=hook) as child:  # noqa: PLW1509 - one thread
        try:
            yield child
        finally:
            child.kill()


def test_linux_has_its_kernel_and_others_have_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    for platform, guard in (("linux", DeathSignal), ("darwin", Watchdog), ("freebsd14", Watchdog)):
        monkeypatch.setattr(sys, "platform", platform)
        chosen = choose_guard()
        assert type(chosen) is guard
        chosen.close()


def test_the_end_of_the_lines_kills_what_is_still_named_and_nothing_else() -> None:
    with sleeper() as named, sleeper() as forgotten, sleeper() as never_named:
        watch([b"+%d\n" % named.pid, b"+%d\n" % forgotten.pid, b"-%d\n" % forgotten.pid])
        assert named.wait(DEADLINE_S) == -signal.SIGKILL
        assert forgotten.poll() is None
        assert never_named.poll() is None


def test_groups_that_are_gone_keep_no_other_from_being_killed() -> None:
    with sleeper() as gone:
        gone.kill()
    with sleeper() as one, sleeper() as other:
        watch(b"+%d\n" % pid for pid in (gone.pid, one.pid, gone.pid, other.pid))
        assert {one.wait(DEADLINE_S), other.wait(DEADLINE_S)} == {-signal.SIGKILL}


def test_a_number_that_was_forgotten_and_comes_again_is_killed() -> None:
    """Numbers of processes are used again."""
    with sleeper() as child:
        watch([b"-%d\n" % child.pid, b"+%d\n" % child.pid])
        assert child.wait(DEADLINE_S) == -signal.SIGKILL


def test_a_closed_watchdog_is_gone_and_has_killed_what_was_left() -> None:
    guard = Watchdog()
    watchdog = guard._process
    with sleeper(guard) as left, sleeper(guard) as ended:
        guard.forget(ended.pid)
        guard.close()
        assert watchdog.returncode == 0
        assert left.wait(DEADLINE_S) == -signal.SIGKILL
        assert ended.poll() is None


def test_the_watchdog_holds_on_to_nothing_of_its_node() -> None:
    """Neither its folder, which could then not be unmounted, nor its terminal, nor its secrets."""
    guard = Watchdog()
    try:
        pid = guard._process.pid
        assert os.getsid(pid) == pid
        if sys.platform == "linux":
            assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
            assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    finally:
        guard.close()


def test_a_child_does_not_hold_the_watchdogs_pipe_open() -> None:
    """Else the watchdog would wait for the very child that it has to kill."""
    guard = Watchdog()
    with sleeper(guard) as child:
        os.close(guard._pipe)
        assert guard._process.wait(DEADLINE_S) == 0
        assert child.wait(DEADLINE_S) == -signal.SIGKILL


def test_the_kernel_needs_no_word_about_the_end_of_a_child() -> None:
    if sys.platform != "linux":
        pytest.skip("PR_SET_PDEATHSIG is Linux")
    guard = DeathSignal()
    with sleeper(guard) as child:
        guard.forget(child.pid)
        guard.close()
        assert child.poll() is None
