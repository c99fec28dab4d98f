"""Instances come and go; what one accepted is done all the same, once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.cluster_process import ClusterProcesses, running_cluster
from tests_support.fleet_process import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]


@pytest.fixture
def cluster(folder: Path) -> Iterator[ClusterProcesses]:
    """Two instances on one store."""
    with running_cluster(folder, "one", "two") as cluster:
        yield cluster


def leader(cluster: ClusterProcesses) -> Any:
    """Return what the present instance says of all."""
    return cluster.get("/api/v1/cluster")


def wait_leader(cluster: ClusterProcesses, *, not_of: int) -> Any:
    """Wait for a leader of another epoch."""
    return wait_for(
        lambda: view if (view := leader(cluster))["epoch"] != not_of and view["leader"] else None, "a new leader"
    )


def test_nodes_of_a_killed_instance_work_on_through_another(cluster: ClusterProcesses) -> None:
    for name in ("red", "blue"):
        cluster.start_node(name)
    owner = {view["id"]: view["nodes"] for view in leader(cluster)["instances"]}
    assert sorted(owner.values()) == [0, 2], "both dialled the first address"
    cluster.kill_instance("one")
    cluster.use("two")
    jobs = [cluster.submit("noop", echo=str(number)) for number in range(20)]
    for job in jobs:
        assert cluster.wait_status(job, "completed", "failed")["status"] == "completed"
    # One of them may have done all of it before the other had dialled.
    for name in ("red", "blue"):
        wait_for(lambda name=name: cluster.node_state(name) == "ready", f"{name} at the other instance")
    check_aftermath(cluster, cluster.accepted)


def test_a_job_handed_to_an_instance_that_dies_is_done(cluster: ClusterProcesses) -> None:
    cluster.use("one")
    jobs = [cluster.submit("noop", echo=str(number)) for number in range(50)]
    cluster.start_node("red")
    cluster.kill_instance("one")
    cluster.use("two")
    for job in jobs:
        view = cluster.wait_status(job, "completed", "failed")
        assert (view["status"], view["result"]) == ("completed", {"echo": view["params"]["echo"]})
    check_aftermath(cluster, cluster.accepted)


def test_a_transcode_outlives_the_instance_that_took_it(cluster: ClusterProcesses, clip: Path) -> None:
    cluster.start_node("red")
    cluster.use("one")
    job = cluster.submit("transcode", source=clip, preset="h264", speed="slowest", crf=10, chunks="never")
    cluster.wait_stage(job, "encoding")
    cluster.kill_instance("one")
    cluster.use("two")
    view = cluster.wait_status(job, "completed", "failed")
    assert (view["status"], view["tasks"][0]["attempt"]) == ("completed", 1), view["error"]
    assert len(cluster.download(view["outputs"][0]["id"])) == view["outputs"][0]["size"]
    check_aftermath(cluster, cluster.accepted)


def test_a_new_leader_has_a_higher_epoch_and_the_same_rules(cluster: ClusterProcesses) -> None:
    before = leader(cluster)
    (led,) = [name for name in ("one", "two") if before["leader"].split("-")[1] == str(cluster.instances[name].pid)]
    other = "two" if led == "one" else "one"
    cluster.kill_instance(led)
    cluster.use(other)
    after = wait_leader(cluster, not_of=before["epoch"])
    assert (after["epoch"], after["config_version"]) == (before["epoch"] + 1, before["config_version"])
    cluster.start_instance(led)
    cluster.use(other)
    assert leader(cluster)["leader"] == after["leader"], "who comes back does not take the lead from another"
    check_aftermath(cluster, cluster.accepted)


def test_a_leader_that_was_stopped_and_wakes_up_leads_no_more(cluster: ClusterProcesses) -> None:
    before = leader(cluster)
    (led,) = [name for name in ("one", "two") if before["leader"].split("-")[1] == str(cluster.instances[name].pid)]
    other = "two" if led == "one" else "one"
    cluster.instances[led].send_signal(signal.SIGSTOP)
    cluster.use(other)
    after = wait_leader(cluster, not_of=before["epoch"])
    cluster.instances[led].send_signal(signal.SIGCONT)
    cluster.use(led)
    wait_for(lambda: len(leader(cluster)["instances"]) == 2, "the stopped instance to be back")
    assert leader(cluster)["leader"] == after["leader"]
    cluster.start_node("red")
    job = cluster.submit("noop", echo="x")
    assert cluster.wait_status(job, "completed", "failed")["status"] == "completed"
    check_aftermath(cluster, cluster.accepted)
