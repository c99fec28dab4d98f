"""Live work does not wait for a lease: it goes elsewhere once its node's link is closed, or found to be silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, running_fleet, wait_for
from tests_support.proxy import Proxy, running_proxy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

LONG_LEASE = {
    "MEDIAFLEET_SCHEDULER__NODE_LEASE_MS": "10000",
    # Its first look at the clock counts as an outage.
    "MEDIAFLEET_SCHEDULER__OUTAGE_GAP_MS": "3000",
    "MEDIAFLEET_NODE__SLOTS": "2",
}
"""Of twenty heartbeats, so that what happens before its end does not happen by it."""


class Stage:
    """A node with a live and a batch job on it, both at a gate, and a second node that is free."""

    def __init__(self, fleet: FleetProcesses, proxy: Proxy) -> None:
        self.fleet, self.proxy = fleet, proxy
        self.gate = fleet.folder / "gate"
        fleet.start_node("one", via=proxy.url)
        self.live, self.batch = self._begin("live"), self._begin("batch")
        fleet.start_node("two")

    def _begin(self, priority: str) -> str:
        trace = self.fleet.folder / priority
        trace.mkdir()
        params = {"text": "ab", "parts": 1, "gate": str(self.gate), "trace": str(trace)}
        job = self.fleet.post("/api/v1/jobs", {"kind": "relay", "params": params, "priority": priority})["id"]
        self.fleet.wait_stage(job, "waiting")
        return job

    def runs(self, priority: str) -> int:
        """How often the work at the gate was begun."""
        return len(list((self.fleet.folder / priority).iterdir()))

    def wait_live_elsewhere(self) -> None:
        """Wait until the live job runs again; nothing else does, and no lease has ended."""
        wait_for(lambda: self.runs("live") == 2, "the live work to be begun on the other node")
        assert self.runs("batch") == 1, "batch work waits for its node"
        assert "node lost" not in self.fleet.logs()

    def end(self) -> dict[str, Any]:
        """Open the gate; return how often each job's work was given to a node, once all is at rest."""
        self.gate.touch()
        views = {"live": self.live, "batch": self.batch}
        for name, job in views.items():
            view = self.fleet.wait_status(job, "completed", "failed")
            assert view["status"] == "completed", (name, view["error"])
        check_aftermath(self.fleet, [self.live, self.batch])
        return {name: self._attempts(job) for name, job in views.items()}

    def _attempts(self, job: str) -> int:
        tasks = self.fleet.job(job)["tasks"]
        return next(task["attempt"] for task in tasks if task["id"].endswith("part-0"))


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    with running_fleet(folder, **LONG_LEASE) as fleet, running_proxy(fleet.port) as proxy:
        yield Stage(fleet, proxy)


def test_live_work_of_a_killed_node_goes_elsewhere_before_its_lease_ends(stage: Stage) -> None:
    stage.fleet.kill_node("one")
    stage.wait_live_elsewhere()
    assert stage.end() == {"live": 2, "batch": 2}


def test_live_work_behind_a_half_open_link_goes_elsewhere_before_its_lease_ends(stage: Stage) -> None:
    """Nothing closes: the scheduler finds that the node is silent, and a node that is back keeps its other work."""
    stage.proxy.hold("up", "down")
    stage.wait_live_elsewhere()
    assert "node link is silent" in stage.fleet.logs()
    stage.proxy.mend()
    wait_for(lambda: stage.fleet.node_state("one") == "ready", "the node to be back")
    assert stage.end() == {"live": 2, "batch": 1}


def test_live_work_stays_where_it_is_when_a_link_is_only_made_anew(stage: Stage) -> None:
    before = stage.proxy.accepted
    stage.proxy.cut()
    stage.proxy.mend()
    wait_for(lambda: stage.proxy.accepted > before and stage.fleet.node_state("one") == "ready", "a new link")
    assert stage.end() == {"live": 1, "batch": 1}
