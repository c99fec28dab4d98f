"""Each process killed, or stopped for longer than every lease, with work in every state at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, let_time_pass, running_fleet, wait_for
from tests_support.proxy import Proxy, Verdict, Way, running_proxy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

LEASE_MS = 6_000
"""Of a node; a result that is lost on the way counts against it, and bringing all states about takes time where much runs."""
LONGER_THAN_ALL_LEASES_S = LEASE_MS / 1000 + 1
"""A presence is 0.6 s in these tests, and a reservation 1 s."""


class Scene:
    """One node, and jobs whose tasks are NEW, on their way to it, at work, ended but not told, and DONE."""

    def __init__(self, fleet: FleetProcesses, proxy: Proxy) -> None:
        self.fleet, self.proxy = fleet, proxy
        self.gate, self.trace = fleet.folder / "gate", fleet.folder / "trace"
        self.trace.mkdir()
        self.jobs: dict[str, str] = {}
        self._lost: set[str] = set()

    def set_up(self) -> None:
        """Bring one job into each state."""
        self.fleet.start_node("one", via=self.proxy.url)
        self.jobs["done"] = self.fleet.submit("noop", echo="done")
        self.fleet.wait_status(self.jobs["done"], "completed")
        self.jobs["at work"] = self.fleet.submit(
            "relay", text="ab", parts=1, gate=str(self.gate), trace=str(self.trace)
        )
        self.fleet.wait_stage(self.jobs["at work"], "waiting")
        self.proxy.judge = self.lose
        self._lost = {"job_result"}
        self.jobs["not told"] = self.fleet.submit("noop", echo="not told")
        self._wait_lost("job_result")
        self._lost = {"job_result", "job_assign"}
        self.jobs["on its way"] = self.fleet.submit("noop", echo="on its way")
        self._wait_lost("job_assign")
        # The node has three slots, and all are taken by now.
        self.jobs["new"] = self.fleet.submit("noop", echo="new")
        states = {name: self.fleet.job(job)["tasks"][-1]["state"] for name, job in self.jobs.items()}
        assert states["done"] == "DONE"
        assert states["at work"] == states["not told"] == "ACKED"
        assert {states["on its way"], states["new"]} <= {"NEW", "RESERVED", "DISPATCHED"}

    def lose(self, _: Way, frame: Any) -> Verdict:
        """Lose the frames of the types that are to be lost now."""
        return Verdict.DROP if frame["type"] in self._lost else Verdict.GO

    def _wait_lost(self, type_: str) -> None:
        wait_for(lambda: self.proxy.judged[Verdict.DROP, type_], f"a {type_} to be lost")

    def settle(self) -> dict[str, Any]:
        """Let everything through and all work end; return the views of the jobs."""
        self.proxy.mend()
        self.gate.touch()
        views = {name: self.fleet.wait_status(job, "completed", "failed") for name, job in self.jobs.items()}
        assert {view["status"] for view in views.values()} == {"completed"}
        check_aftermath(self.fleet, self.jobs.values())
        return views

    @property
    def runs(self) -> int:
        """How often the work at the gate was begun."""
        return len(list(self.trace.iterdir()))


@pytest.fixture
def scene(folder: Path) -> Iterator[Scene]:
    """All states at once, and a line between node and scheduler that can be mended."""
    with (
        running_fleet(folder, MEDIAFLEET_NODE__SLOTS="3", MEDIAFLEET_SCHEDULER__NODE_LEASE_MS=str(LEASE_MS)) as fleet,
        running_proxy(fleet.port) as proxy,
    ):
        scene = Scene(fleet, proxy)
        scene.set_up()
        yield scene


def test_a_killed_scheduler_costs_no_work(scene: Scene) -> None:
    scene.fleet.kill_scheduler()
    scene.fleet.start_scheduler()
    assert scene.settle()["not told"]["tasks"][0]["attempt"] == 1
    assert scene.runs == 1


def test_a_killed_node_costs_only_what_it_ran(scene: Scene) -> None:
    scene.fleet.kill_node("one")
    scene.fleet.start_node("one", via=scene.proxy.url)
    views = scene.settle()
    assert views["not told"]["tasks"][0]["attempt"] == 1, "its result lay in the node's outbox"
    assert scene.runs == 2


def test_a_killed_store_costs_no_work(scene: Scene) -> None:
    os.kill(scene.fleet.redis_pid(), signal.SIGKILL)
    assert scene.settle()["not told"]["tasks"][0]["attempt"] == 1
    assert scene.runs == 1


@pytest.mark.parametrize("stopped", ["scheduler", "node", "store"])
def test_who_is_stopped_for_longer_than_all_leases_goes_on_with_its_work(scene: Scene, stopped: str) -> None:
    """Whether anybody took the node for lost or not: there is no other, so its work is its own again."""
    pid = stop(scene, stopped)
    let_time_pass(LONGER_THAN_ALL_LEASES_S)
    os.kill(pid, signal.SIGCONT)
    scene.settle()
    assert scene.runs == 1


def stop(scene: Scene, name: str) -> int:
    """Stop a process; return its id."""
    fleet = scene.fleet
    assert fleet.scheduler
    pids = {"scheduler": fleet.scheduler.pid, "node": fleet.nodes["one"].pid, "store": fleet.redis_pid()}
    os.kill(pids[name], signal.SIGSTOP)
    return pids[name]
