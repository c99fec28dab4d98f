"""Whatever is killed, what was accepted is done, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

SLOW = {"preset": "h264", "speed": "slowest", "crf": 10, "chunks": "never"}


def outputs(fleet: FleetProcesses, job: str) -> list[Any]:
    """Return the outputs of a completed job, after checking that each can be read."""
    view = fleet.wait_status(job, "completed", "failed", "cancelled")
    assert view["status"] == "completed", view["error"]
    return view["outputs"]


def blobs(fleet: FleetProcesses) -> list[str]:
    """Return the names of all artifacts' bytes in the store."""
    return sorted(path.name for path in (fleet.folder / "fleet" / "artifacts").glob("a0-*"))


def test_a_killed_node_takes_its_ffmpeg_along_and_another_node_does_the_work(fleet: FleetProcesses, clip: Path) -> None:
    fleet.start_node("one")
    job = fleet.submit("transcode", source=clip, **SLOW)
    fleet.wait_stage(job, "encoding")
    (ffmpeg,) = fleet.ffmpegs()
    fleet.kill_node("one")
    ffmpeg.wait(2)
    fleet.start_node("two")
    (output,) = outputs(fleet, job)
    (task,) = fleet.job(job)["tasks"]
    assert (task["attempt"], task["tries"]) == (2, 0)
    assert blobs(fleet) == [output["id"]]
    check_aftermath(fleet, fleet.accepted)


def test_a_killed_node_that_comes_back_does_the_work_again(fleet: FleetProcesses, clip: Path) -> None:
    fleet.start_node("one")
    job = fleet.submit("transcode", source=clip, **SLOW)
    fleet.wait_stage(job, "encoding")
    fleet.kill_node("one")
    fleet.start_node("one")
    assert len(outputs(fleet, job)) == 1
    assert len(blobs(fleet)) == 1
    assert not list((fleet.folder / "one" / "work").iterdir())
    check_aftermath(fleet, fleet.accepted)


@pytest.mark.parametrize("away", ["briefly", "longer than the lease"])
def test_work_goes_on_while_the_scheduler_is_dead_and_is_not_done_twice(
    fleet: FleetProcesses, folder: Path, away: str
) -> None:
    fleet.start_node("one")
    gate, trace = folder / "gate", folder / "trace"
    trace.mkdir()
    job = fleet.submit("relay", text="abcd", parts=1, gate=str(gate), trace=str(trace))
    fleet.wait_stage(job, "waiting")
    fleet.kill_scheduler()
    gate.touch()
    if away != "briefly":
        # The node's lease is 2.5 s; what counts is time without a scheduler, so this cannot be an event.
        wait_longer_than_the_lease(trace)
    fleet.start_scheduler()
    assert outputs(fleet, job)[0]["name"] == "all.txt"
    part = next(task for task in fleet.job(job)["tasks"] if task["id"].endswith("part-0"))
    assert part["attempt"] == 1
    assert len(list(trace.iterdir())) == 1
    check_aftermath(fleet, fleet.accepted)


def wait_longer_than_the_lease(marker: Path) -> None:
    """Return once the marker is 4 s old."""
    born = marker.stat().st_mtime
    probe = marker.parent / "probe"

    def is_old() -> bool:
        probe.touch()
        return probe.stat().st_mtime - born > 4

    wait_for(is_old, "time to pass")


def test_a_transcode_survives_the_scheduler(fleet: FleetProcesses, clip: Path) -> None:
    fleet.start_node("one")
    job = fleet.submit("transcode", source=clip, **SLOW)
    fleet.wait_stage(job, "encoding")
    (ffmpeg,) = fleet.ffmpegs()
    fleet.kill_scheduler()
    assert ffmpeg.is_running()
    fleet.start_scheduler()
    (output,) = outputs(fleet, job)
    assert fleet.job(job)["tasks"][0]["attempt"] == 1
    assert blobs(fleet) == [output["id"]]
    check_aftermath(fleet, fleet.accepted)


def test_everything_killed_at_once_completes_after_a_restart(fleet: FleetProcesses, clip: Path) -> None:
    fleet.start_node("one")
    jobs = [fleet.submit("transcode", source=clip, **SLOW) for _ in range(2)]
    jobs += [fleet.submit("noop", echo=str(n)) for n in range(20)]
    fleet.wait_stage(jobs[0], "encoding")
    redis = fleet.redis_pid()
    os.kill(redis, signal.SIGKILL)
    fleet.kill_scheduler()
    fleet.kill_node("one")
    fleet.start_scheduler()
    fleet.start_node("one")
    for job in jobs:
        assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
    assert len(blobs(fleet)) == 2
    check_aftermath(fleet, fleet.accepted)


def test_a_job_over_two_nodes_survives_the_loss_of_one(fleet: FleetProcesses, folder: Path) -> None:
    fleet.start_node("one")
    fleet.start_node("two")
    gate = folder / "gate"
    job = fleet.submit("relay", text="the quick brown fox", parts=4, gate=str(gate))

    def both_work() -> bool:
        nodes = fleet.get("/api/v1/nodes")
        return sum(e["used"] for node in nodes for e in node["executors"]) == 2

    fleet.wait_stage(job, "waiting")
    wait_for(both_work, "both nodes to work")
    fleet.kill_node("two")
    gate.touch()
    view = fleet.wait_status(job, "completed", "failed")
    assert view["status"] == "completed", view["error"]
    assert [Path(node).name for node in view["result"]["nodes"]] == ["one"] * 4
    check_aftermath(fleet, fleet.accepted)


def test_a_thousand_jobs_survive_the_store_and_the_scheduler(folder: Path) -> None:
    fleet = FleetProcesses(folder, MEDIAFLEET_STORE__DURABILITY="always", MEDIAFLEET_NODE__SLOTS="4")
    fleet.start_scheduler()
    accepted = fleet.post("/api/v1/jobs", [{"kind": "noop", "params": {"echo": str(n)}} for n in range(1000)])
    fleet.start_node("one")
    wait_for(lambda: fleet.get("/api/v1/stats")["jobs"]["completed"] > 100, "some jobs to be done")
    os.kill(fleet.redis_pid(), signal.SIGKILL)
    fleet.kill_scheduler()
    fleet.start_scheduler()
    wait_for(lambda: fleet.get("/api/v1/stats")["jobs"]["completed"] == 1000, "all jobs to be done")
    for number in (0, 499, 999):
        view = fleet.job(accepted[number]["id"])
        assert view["result"] == {"echo": str(number)}
    check_aftermath(fleet, fleet.accepted)
    fleet.close()


def test_ctrl_c_cancels_the_callers_jobs_and_leaves_nothing(folder: Path, clip: Path) -> None:
    data = folder / "own"
    command = [sys.executable, "-m", "mediafleet.cli", "transcode", str(clip), "--data", str(data)]
    command += ["--out", str(folder / "out"), "--param", "speed=slowest", "--crf", "10"]
    caller = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert caller.stdout
    said = iter(caller.stdout.readline, "")
    assert any("encoding" in line for line in said), "the encode did not start"
    record = json.loads((data / "fleet.json").read_text())
    embedded = psutil.Process(record["pid"])
    family = [embedded, *embedded.children(recursive=True)]
    caller.send_signal(signal.SIGINT)
    printed = caller.communicate(timeout=60)[0]
    assert caller.returncode == 130, printed
    _, alive = psutil.wait_procs(family, timeout=40)
    assert not alive
    assert not (data / "fleet.json").exists()
    assert not list(data.glob("redis/*.sock"))
    assert not list((data / "node-1" / "work").iterdir())
    assert not list((folder / "out").glob("*"))
