"""A child ends with its parent where the kernel can see to it, and is left alone elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from mediafleet.store import death_signal
from mediafleet.store.death_signal import end_with_parent

PARENT = """
import signal, subprocess, sys
from mediafleet.store.death_signal import end_with_parent
hook = end_with_parent(signal.{sent})
child = subprocess.Popen([sys.executable, "-c", {child!r}], preexec_fn=hook, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
CHILD = "import signal; print('ready', flush=True); signal.pause()"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux sends a signal when a parent dies")


def start_parent(sent: signal.Signals) -> tuple[subprocess.Popen[str], psutil.Process]:
    """Start a parent and its child; both run when this returns."""
    program = PARENT.format(sent=sent.name, child=CHILD)
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, psutil.Process(int(parent.stdout.readline()))


@linux_only
@pytest.mark.chaos
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_gets_the_signal_when_its_parent_is_killed(sent: signal.Signals) -> None:
    parent, child = start_parent(sent)
    parent.kill()
    parent.communicate()
    child.wait(timeout=30)
    assert not child.is_running()


@linux_only
def test_a_child_whose_parent_died_before_the_signal_was_armed_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made here by a hook that believes in another parent."""
    monkeypatch.setattr(os, "getpid", lambda: -1)
    hook = end_with_parent(signal.SIGTERM)
    monkeypatch.undo()
    child = subprocess.Popen([sys.executable, "-c", CHILD], preexec_fn=hook)  # noqa: PLW1509 - what is tested
    assert child.wait(timeout=30) == -signal.SIGKILL


def test_elsewhere_there_is_nothing_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(death_signal, "_LIBC", None)
    assert end_with_parent(signal.SIGTERM) is None
