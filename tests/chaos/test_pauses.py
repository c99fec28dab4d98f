"""A pause holds whatever is killed, and whoever was told of it."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

PARTS = 6


def begin(fleet: FleetProcesses, folder: Path) -> tuple[str, Path, Path]:
    """Return a job some of whose parts run until the gate is there, the gate, and the folder of traces."""
    gate, trace = folder / "gate", folder / "trace"
    trace.mkdir()
    fleet.start_node("one")
    job = fleet.submit("relay", text="abcdef", parts=PARTS, gate=str(gate), trace=str(trace))
    fleet.wait_stage(job, "waiting")
    return job, gate, trace


def finish(fleet: FleetProcesses, job: str) -> dict[str, Any]:
    """Let the job go on, and return it once it has completed."""
    fleet.post(f"/api/v1/jobs/{job}/resume", {})
    view = fleet.wait_status(job, "completed", "failed", "cancelled")
    assert view["status"] == "completed", view["error"]
    assert {task["tries"] for task in view["tasks"]} == {0}
    check_aftermath(fleet, fleet.accepted)
    return view


@pytest.mark.parametrize("answered", [True, False], ids=["after its answer", "in the middle"])
def test_a_pause_outlives_the_scheduler_that_carried_it_out(
    fleet: FleetProcesses, folder: Path, *, answered: bool
) -> None:
    job, gate, trace = begin(fleet, folder)
    if answered:
        fleet.post(f"/api/v1/jobs/{job}/pause", {"now": True})
        fleet.kill_scheduler()
    else:
        asked = threading.Thread(target=_ask, args=(fleet, f"/api/v1/jobs/{job}/pause"))
        asked.start()
        fleet.kill_scheduler()
        asked.join()
    fleet.start_scheduler()
    if not answered:
        # Nobody knows how far it came: it is asked for once more.
        fleet.post(f"/api/v1/jobs/{job}/pause", {"now": True})
    assert fleet.job(job)["status"] == "paused"
    fleet.wait_idle()
    begun = len(list(trace.iterdir()))
    gate.touch()
    assert fleet.job(job)["finishing"] == 0
    assert len(list(trace.iterdir())) == begun
    finish(fleet, job)


def _ask(fleet: FleetProcesses, path: str) -> None:
    with suppress(OSError, ValueError):
        fleet.post(path, {"now": True})


def test_a_paused_fleet_is_paused_when_all_of_it_was_killed(fleet: FleetProcesses, folder: Path) -> None:
    job, gate, _ = begin(fleet, folder)
    fleet.post("/api/v1/pause", {"now": True})
    fleet.kill_all()
    fleet.start_scheduler()
    fleet.start_node("one")
    assert fleet.get("/api/v1/pause")["paused"] is True
    gate.touch()
    wait_for(lambda: fleet.node_state("one") == "ready", "the node")
    assert fleet.job(job)["status"] != "completed"
    fleet.post("/api/v1/resume", {})
    finish(fleet, job)
