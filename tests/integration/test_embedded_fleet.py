"""Fleets that commands start for themselves: shared, held, and missed with a sentence when they die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PATIENCE_S = 90.0
FULL_CLIP_S = 120
"""Long enough that no machine encodes it before the test has looked."""


class Place:
    """A data directory, and commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mediafleet.cli", *words, "--data", str(self.data)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder)

    def fleets(self) -> list[psutil.Process]:
        """Processes that are a fleet of this data directory: a command line that says `up` and names it."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter(["cmdline"]):
            words: list[str] = process.info["cmdline"] or []
            if "up" in words and str(self.data) in words:
                found.append(process)
        return found

    def processes(self) -> list[psutil.Process]:
        """Whatever still runs on this folder, a zombie excepted."""
        found = [
            one for one in psutil.process_iter(["cmdline"]) if str(self.folder) in " ".join(one.info["cmdline"] or [])
        ]
        return [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    def job_status(self) -> str:
        jobs = self.start("jobs", "--json")
        out, _ = jobs.communicate(timeout=PATIENCE_S)
        return next((view["status"] for view in json.loads(out).get("jobs", [])), "")

    def until_processing(self) -> None:
        """Wait until a command that was started has a fleet of its own at work."""
        # Asked only now: asking a place without a fleet would start one, and then the command had none of its own.
        self.until((self.data / "fleet.json").exists)
        self.until(lambda: self.job_status() == "processing")

    def until(self, claim: Callable[[], bool]) -> None:
        """Ask until a claim about other processes holds; they tell no event."""
        deadline = time.monotonic() + PATIENCE_S
        while not claim():
            assert time.monotonic() < deadline, "the claim did not come true in time"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    fleets = place.fleets()
    for fleet in fleets:
        fleet.send_signal(signal.SIGINT)
    _, alive = psutil.wait_procs(fleets, timeout=PATIENCE_S)
    for fleet in alive:
        fleet.kill()
    assert not alive


@pytest.fixture
def long_clip(place: Place) -> Path:
    from mediafleet.kinds.transcode.program import find_ffmpeg  # noqa: PLC0415 - starts FFmpeg once

    path = place.folder / "long.mkv"
    source = f"testsrc2=size=1280x720:rate=30:duration={FULL_CLIP_S}"
    encode = ["-c:v", "mpeg4", "-q:v", "8", str(path)]
    subprocess.run([find_ffmpeg().path, "-v", "error", "-f", "lavfi", "-i", source, *encode], check=True)
    return path


def test_commands_that_start_at_once_share_one_fleet(place: Place) -> None:
    commands = [place.start("pools", "--json") for _ in range(3)]
    for command in commands:
        out, err = command.communicate(timeout=PATIENCE_S)
        assert command.returncode == 0, err
        assert isinstance(json.loads(out), list)
    assert len(place.fleets()) == 1


def test_a_fleet_that_is_killed_under_a_command_is_told_in_a_sentence(place: Place, long_clip: Path) -> None:
    command = place.start("transcode", str(long_clip), "--preset", "hevc", "--out", "done", "--json")
    place.until_processing()
    [fleet] = place.fleets()
    os.kill(fleet.pid, signal.SIGKILL)
    out, err = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 1
    [entry] = json.loads(out)
    assert "ended unexpectedly" in entry["error"]["message"]
    assert "Traceback" not in err
    assert not (place.folder / "done").exists()


def test_ctrl_c_cancels_the_job_and_leaves_no_file(place: Place, long_clip: Path) -> None:
    command = place.start("transcode", str(long_clip), "--preset", "hevc", "--out", "done", "--json")
    place.until_processing()
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 130, err
    [entry] = json.loads(out)
    assert (entry["status"], entry["output"]) == ("cancelled", None)
    assert f"cancelled {entry['job']}" in err
    # Looked at before the next command, which starts a fleet again.
    assert place.processes() == []
    assert not list(place.data.rglob("*.sock"))
    assert place.job_status() == "cancelled"
    assert not (place.folder / "done").exists()


def test_ctrl_c_leaves_the_fleet_to_another_command(place: Place, long_clip: Path) -> None:
    command = place.start("transcode", str(long_clip), "--preset", "hevc", "--out", "done", "--json")
    place.until_processing()
    other = place.start("jobs", "--watch", "--json")
    assert other.stdout
    # What it watches comes only over the fleet's stream, so from here on it is a client.
    place.start("submit", "noop", "--json").communicate(timeout=PATIENCE_S)
    other.stdout.readline()
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 130
    assert len(place.fleets()) == 1
    other.send_signal(signal.SIGINT)
    other.communicate(timeout=PATIENCE_S)
