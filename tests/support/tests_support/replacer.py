"""A process that replaces or restores one file and is killed at a step: `python -m tests_support.replacer PLAN`."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from mediafleet.artifacts.originals import Originals, Replacement, ReplaceStep, RestoreStep
from mediafleet.artifacts.originals.folder import Folder


def know_no_links(self: Folder, name: str, other: Folder, other_name: str) -> bool:
    """Answer as `Folder.name_also` does on a file system that knows no hard links."""
    del self, name, other, other_name
    return False


class Plan(msgspec.Struct):
    """What such a process does."""

    root: str
    """Below which files may be replaced."""
    data: str
    """The node's own folder."""
    kill_at: str
    """The step, one of `ReplaceStep` or `RestoreStep`."""
    links: bool
    """Whether the file system knows hard links."""
    replacement: Replacement | None = None
    made: str = ""
    """The result that takes the original's place."""
    job: str = ""
    """Whose original is brought back, where nothing is replaced."""
    kept: str = ""
    user: int = 0
    """Who does it, where this is started as root; with a first group of that number, in the group `group` too."""
    group: int = 0
    hold_at: str = ""
    """The step at which the process stops itself until it is told to go on."""


def originals_of(plan: Plan) -> Originals:
    """Return what the process works with."""

    def die(step: ReplaceStep | RestoreStep) -> None:
        if step == plan.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == plan.hold_at:
            os.kill(os.getpid(), signal.SIGSTOP)

    return Originals([plan.root], Path(plan.data), on_step=die)


def start(plan: Plan) -> subprocess.Popen[bytes]:
    """Start the process."""
    words = [sys.executable, "-m", "tests_support.replacer", msgspec.json.encode(plan, enc_hook=str).decode()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(words, env=environment)


def run_to_its_kill(plan: Plan) -> int:
    """Run the process and return its exit code, -9 where it came to the step."""
    with start(plan) as process:
        return process.wait(timeout=60)


def become(user: int, group: int) -> None:
    """Act as another user from here on, with files that nobody else may read unless that is said."""
    # Threads need it, and that user may not be allowed to read libraries.
    importlib.import_module("concurrent.futures.thread")
    os.setgroups([group])
    os.setgid(user)
    os.setuid(user)
    os.umask(0o077)


async def main(plan: Plan) -> None:
    """Do what the plan says."""
    if not plan.links:
        Folder.name_also = know_no_links
    if plan.user:
        become(plan.user, plan.group)
    originals = originals_of(plan)
    if plan.replacement:
        await originals.replace(plan.replacement, Path(plan.made))
    else:
        await originals.restore(plan.job, Path(plan.kept))


if __name__ == "__main__":

    def read_path(wanted: type, text: str) -> object:
        return wanted(text)

    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Plan, dec_hook=read_path)))
