"""Nodes that listen, as processes: whoever calls them may die, sleep and wake, and so may they."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.cluster_process import ClusterProcesses, running_cluster
from tests_support.fleet_process import free_port, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]


@dataclass
class PushedFleet:
    """Two instances on one store, and one node that both may call."""

    cluster: ClusterProcesses
    port: int

    def start_node(self) -> None:
        """Start the node, and wait until it is linked."""
        cluster, folder = self.cluster, self.cluster.folder / "red"
        words = ("node", "--listen", f"127.0.0.1:{self.port}", "--scheduler", cluster.node_scheduler)
        cluster.nodes["red"] = cluster._start("red", *words, "--data", str(folder), "--name", "red")
        wait_for(lambda: cluster.node_state("red") == "ready", "the node to be ready")

    def node(self) -> Any:
        """Return the node as the API shows it."""
        (view,) = self.cluster.get("/api/v1/nodes")
        return view

    def owner(self) -> str:
        """Return the name of the instance that calls the node; "" of one that is gone."""
        pid = self.node()["instance"].split("-")[1]
        return next((name for name, process in self.cluster.instances.items() if str(process.pid) == pid), "")

    def wait_owner(self, name: str) -> None:
        """Wait until that instance has the link."""
        wait_for(lambda: self.cluster.node_state("red") == "ready" and self.owner() == name, f"{name} to call the node")


@pytest.fixture
def fleet(folder: Path) -> Iterator[PushedFleet]:
    port = free_port()
    settings = {
        "MEDIAFLEET_SCHEDULER__PUSH_NODES": f"127.0.0.1:{port}:7",
        # Presence ends after six of them: an instance must not count as gone because the machine is busy encoding.
        "MEDIAFLEET_SCHEDULER__REAP_MS": "400",
    }
    with running_cluster(folder, "one", "two", settings=settings) as cluster:
        fleet = PushedFleet(cluster, port)
        fleet.start_node()
        yield fleet


def other(name: str) -> str:
    return {"one": "two", "two": "one"}[name]


def encode(cluster: ClusterProcesses, clip: Path) -> str:
    """Begin a transcode that takes a while; return its job."""
    job = cluster.submit("transcode", source=clip, preset="h264", speed="slowest", crf=10, chunks="never")
    cluster.wait_stage(job, "encoding")
    return job


def test_a_node_that_listens_works_for_the_fleet(fleet: PushedFleet) -> None:
    view = fleet.node()
    assert (view["link"], view["state"]) == ("push", "ready")
    assert [pool["priority"] for pool in fleet.cluster.get("/api/v1/pools")] == [7]
    jobs: list[str] = []
    for name in ("one", "two"):
        fleet.cluster.use(name)
        jobs += [fleet.cluster.submit("noop", echo=str(number)) for number in range(20)]
    for job in jobs:
        view = fleet.cluster.wait_status(job, "completed", "failed")
        assert (view["status"], view["tasks"][0]["attempt"]) == ("completed", 1), view["error"]
    check_aftermath(fleet.cluster, fleet.cluster.accepted)


def test_another_instance_takes_the_node_over_and_its_work_goes_on(fleet: PushedFleet, clip: Path) -> None:
    dead = fleet.owner()
    fleet.cluster.use(other(dead))
    job = encode(fleet.cluster, clip)
    fleet.cluster.kill_instance(dead)
    fleet.wait_owner(other(dead))
    view = fleet.cluster.wait_status(job, "completed", "failed")
    assert (view["status"], view["tasks"][0]["attempt"]) == ("completed", 1), view["error"]
    assert len(fleet.cluster.download(view["outputs"][0]["id"])) == view["outputs"][0]["size"]
    check_aftermath(fleet.cluster, fleet.cluster.accepted)


def test_an_instance_that_slept_through_its_claim_does_not_take_the_node_back(fleet: PushedFleet, clip: Path) -> None:
    asleep = fleet.owner()
    awake = other(asleep)
    fleet.cluster.use(awake)
    job = encode(fleet.cluster, clip)
    fleet.cluster.instances[asleep].send_signal(signal.SIGSTOP)
    fleet.wait_owner(awake)
    fleet.cluster.instances[asleep].send_signal(signal.SIGCONT)
    fleet.cluster.use(asleep)
    wait_for(lambda: len(fleet.cluster.get("/api/v1/cluster")["instances"]) == 2, "the sleeper to be back")
    view = fleet.cluster.wait_status(job, "completed", "failed")
    assert (view["status"], view["tasks"][0]["attempt"]) == ("completed", 1), view["error"]
    assert fleet.owner() == awake
    check_aftermath(fleet.cluster, fleet.cluster.accepted)


def test_work_of_a_node_that_was_killed_is_done_when_it_is_back(fleet: PushedFleet, clip: Path) -> None:
    job = encode(fleet.cluster, clip)
    fleet.cluster.kill_node("red")
    wait_for(lambda: fleet.cluster.node_state("red") != "ready", "the loss to be noticed")
    fleet.start_node()
    view = fleet.cluster.wait_status(job, "completed", "failed")
    assert (view["status"], view["tasks"][0]["attempt"]) == ("completed", 2), view["error"]
    check_aftermath(fleet.cluster, fleet.cluster.accepted)


def test_a_node_that_stood_still_keeps_its_work(fleet: PushedFleet, clip: Path) -> None:
    job = encode(fleet.cluster, clip)
    process = fleet.cluster.nodes["red"]
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: fleet.cluster.node_state("red") != "ready", "its silence to be noticed")
    process.send_signal(signal.SIGCONT)
    view = fleet.cluster.wait_status(job, "completed", "failed")
    assert (view["status"], view["tasks"][0]["attempt"]) == ("completed", 1), view["error"]
    check_aftermath(fleet.cluster, fleet.cluster.accepted)


def test_the_end_of_an_instance_hands_its_nodes_on(fleet: PushedFleet) -> None:
    ending = fleet.owner()
    process = fleet.cluster.instances.pop(ending)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    fleet.cluster.use(other(ending))
    fleet.wait_owner(other(ending))
    job = fleet.cluster.submit("noop", echo="x")
    assert fleet.cluster.wait_status(job, "completed", "failed")["status"] == "completed"
    check_aftermath(fleet.cluster, fleet.cluster.accepted)
