"""One file on many nodes, and each step of it killed: the film is whole, and only what was in flight is done again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import av
import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, running_fleet, wait_for

from mediafleet.kinds.transcode.chunk_steps import ChunkStep
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.testing import run_ffmpeg

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

SECONDS, RATE = 24, 10
STEPS = [step for step in ChunkStep if step is not ChunkStep.SURVEY]
"""Looking into the source is what every transcode begins with, and no FFmpeg that could be held back does it."""
MARKS = {
    ChunkStep.CHUNK: "*chunk-00001.mp4*framehash*",
    ChunkStep.SOUND: "*sound.media",
    ChunkStep.JOIN: "*chunks.ffconcat*",
    ChunkStep.CHECK: "*output.mkv*null -",
}
"""Each step with a mark of its FFmpeg's command line."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film whose sound must be encoded."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    sources = f"-f lavfi -i testsrc2=s=128x96:r={RATE}:d={SECONDS} -f lavfi -i sine=d={SECONDS}"
    asyncio.run(run_ffmpeg(f"{sources} -c:v libx264 -g 20 -c:a mp2".split(), path))
    return path


class Gate:
    """Holds FFmpeg back at one step, so that a test can strike while it is on."""

    def __init__(self, folder: Path) -> None:
        self.tools = folder / "tools"
        self.tools.mkdir()
        self._shut, self._reached = folder / "shut", folder / "reached"

    def shut(self, mark: str) -> None:
        """Hold whatever FFmpeg is started with such a command line."""
        program = self.tools / "ffmpeg"
        program.write_text(
            f'#!/bin/sh\ncase "$*" in {mark.replace(" ", "?")})\n'
            f"  if [ -e {self._shut} ]; then : > {self._reached}; fi\n"
            f"  while [ -e {self._shut} ]; do sleep 0.05; done;;\nesac\n"
            f'exec {find_ffmpeg().path} "$@"\n'
        )
        program.chmod(0o755)
        self._shut.touch()

    def wait(self) -> None:
        """Wait until the step is on."""
        wait_for(self._reached.exists, "the step to begin")

    def open(self) -> None:
        """Let it go on."""
        self._shut.unlink()


@pytest.fixture
def gate(folder: Path) -> Gate:
    return Gate(folder)


def fleet_with(folder: Path, gate: Gate) -> Any:
    path = f"{gate.tools}{os.pathsep}{os.environ['PATH']}"
    return running_fleet(folder, PATH=path, MEDIAFLEET_NODE__SLOTS="2")


def attempts(fleet: FleetProcesses, job: str) -> dict[str, int]:
    return {task["id"].partition(".")[2]: task["attempt"] for task in fleet.job(job)["tasks"]}


def on(fleet: FleetProcesses, job: str, node: str) -> set[str]:
    """Return the tasks that a node has now."""
    running = ("RESERVED", "DISPATCHED", "ACKED")
    tasks = [task for task in fleet.job(job)["tasks"] if task["state"] in running]
    return {task["id"].partition(".")[2] for task in tasks if f"-{node}-" in task["executor"]}


def done(fleet: FleetProcesses, job: str) -> set[str]:
    return {task["id"].partition(".")[2] for task in fleet.job(job)["tasks"] if task["state"] == "DONE"}


def check_film(fleet: FleetProcesses, job: str, folder: Path) -> None:
    """The film has every picture, and nothing of the chunks is left."""
    view = fleet.wait_status(job, "completed", "failed", "cancelled")
    assert view["status"] == "completed", view["error"]
    assert view["warnings"] == []
    (output,) = view["outputs"]
    path = folder / "result.mkv"
    path.write_bytes(fleet.download(output["id"]))
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == SECONDS * RATE
    check_aftermath(fleet, fleet.accepted)
    left = {found.name for found in (fleet.folder / "fleet" / "artifacts").glob("a0-*")}
    wait_for(
        lambda: {found.name for found in (fleet.folder / "fleet" / "artifacts").glob("a0-*")} == {output["id"]},
        f"chunks to go: {left}",
    )


def submit(fleet: FleetProcesses, film: Path) -> str:
    return fleet.submit("transcode", source=film, preset="h264", container="mkv", chunks="always")


@pytest.mark.parametrize("step", STEPS)
def test_a_node_killed_in_a_step_costs_what_it_had_in_flight(
    folder: Path, film: Path, gate: Gate, step: ChunkStep
) -> None:
    gate.shut(MARKS[step])
    with fleet_with(folder, gate) as fleet:
        fleet.start_node("one")
        job = submit(fleet, film)
        gate.wait()
        before = on(fleet, job, "one")
        assert before
        fleet.kill_node("one")
        # Its other slot went on until then, and may have begun something new.
        lost, finished = before | on(fleet, job, "one"), done(fleet, job)
        gate.open()
        fleet.start_node("two")
        check_film(fleet, job, folder)
        count = attempts(fleet, job)
        assert all(count[name] == 1 for name in finished), count
        assert {name for name, attempt in count.items() if attempt > 1} <= lost


@pytest.mark.parametrize("step", STEPS)
def test_all_killed_at_once_goes_on_where_it_was(folder: Path, film: Path, gate: Gate, step: ChunkStep) -> None:
    gate.shut(MARKS[step])
    with fleet_with(folder, gate) as fleet:
        fleet.start_node("one")
        job = submit(fleet, film)
        gate.wait()
        wait_for(lambda: len(done(fleet, job)) > 1, "a part to be done")
        finished = done(fleet, job)
        os.kill(fleet.redis_pid(), signal.SIGKILL)
        fleet.kill_scheduler()
        fleet.kill_node("one")
        gate.open()
        fleet.start_scheduler()
        fleet.start_node("one")
        check_film(fleet, job, folder)
        # What was done less than a second before the store was killed may be forgotten (AOF everysec).
        assert sum(attempts(fleet, job)[name] > 1 for name in finished) <= 1


@pytest.mark.parametrize("step", STEPS)
def test_a_scheduler_killed_in_a_step_is_missed_by_nobody(
    folder: Path, film: Path, gate: Gate, step: ChunkStep
) -> None:
    gate.shut(MARKS[step])
    with fleet_with(folder, gate) as fleet:
        fleet.start_node("one")
        job = submit(fleet, film)
        gate.wait()
        fleet.kill_scheduler()
        gate.open()
        fleet.start_scheduler()
        check_film(fleet, job, folder)
        assert set(attempts(fleet, job).values()) == {1}


def test_two_nodes_share_one_film(folder: Path, film: Path, gate: Gate) -> None:
    gate.shut("nothing")
    with fleet_with(folder, gate) as fleet:
        for name in ("one", "two"):
            fleet.start_node(name)
        job = fleet.submit("transcode", source=film, preset="h264", container="mkv")
        check_film(fleet, job, folder)
        tasks = [task for task in fleet.job(job)["tasks"] if ".chunk-" in task["id"]]
        assert {task["executor"].split("-")[1] for task in tasks} == {"one", "two"}
        assert fleet.job(job)["result"]["chunks"] == len(tasks) > 1
