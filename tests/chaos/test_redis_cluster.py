"""Two instances of a fleet of two cells on a Redis Cluster, one of whose masters dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot
from tests_support.aftermath import check_aftermath
from tests_support.cluster_process import ClusterProcesses, running_instances
from tests_support.fleet_process import wait_for
from tests_support.redis_cluster import RedisCluster

from mediafleet.domain.cells import home_of_node
from mediafleet.domain.ids import cell_of
from mediafleet.store.keys import Keys

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]
CELLS = ("0", "1")
SLOT = key_slot(Keys("sched", "0").tag.encode())


@pytest.fixture
def redis(folder: Path) -> Iterator[RedisCluster]:
    """Three masters and a replica of the one that has the first cell."""
    (folder / "redis").mkdir()
    with RedisCluster(folder / "redis", replicas=1) as redis:
        yield redis


@pytest.fixture
def fleet(folder: Path, redis: RedisCluster) -> Iterator[ClusterProcesses]:
    settings = {"MEDIAFLEET_STORE__REDIS_URL": redis.url, "MEDIAFLEET_STORE__CELLS": str(len(CELLS))}
    with running_instances(folder, redis, "one", "two", settings=settings) as fleet:
        yield fleet


def start_nodes(fleet: ClusterProcesses) -> None:
    """Start nodes until each cell has one; which one they belong to is drawn with their ids."""
    for number in range(20):
        fleet.start_node(f"node-{number}")
        if {home_of_node(node["id"], CELLS) for node in fleet.get("/api/v1/nodes")} == set(CELLS):
            return


def submit_many(fleet: ClusterProcesses, count: int) -> list[str]:
    return wait_for(lambda: _try_to_submit(fleet, count), "jobs to be accepted")


def _try_to_submit(fleet: ClusterProcesses, count: int) -> list[str] | None:
    try:
        # One by one: a call goes to one cell as a whole.
        return [fleet.submit("noop", echo=str(number)) for number in range(count)]
    except OSError:
        # 503: a cell is away. What came through already is done as well.
        return None


def _use(jobs: list[str], more: list[str]) -> set[str]:
    jobs += more
    return {cell_of(job) for job in jobs}


def test_both_cells_work_through_the_death_of_a_master(fleet: ClusterProcesses, redis: RedisCluster) -> None:
    start_nodes(fleet)
    jobs: list[str] = []
    # Until the instance has looked at what the nodes offer.
    wait_for(lambda: _use(jobs, submit_many(fleet, 4)) == set(CELLS), "jobs in both cells")
    for job in jobs:
        assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
    master = redis.owner(SLOT)
    master.client.wait(1, 5000)
    master.kill()
    # Not only what is asked for: instances, nodes and their leases come back by themselves.
    later = submit_many(fleet, 20)
    for job in later:
        assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
    assert redis.owner(SLOT) is redis.nodes[-1]
    view = fleet.get("/api/v1/cluster")
    assert {cell["cell"] for cell in view["cells"]} == set(CELLS)
    assert len(view["instances"]) == 2  # both, though the store was away
    # Each job once: no cell made one twice, and none is missing.
    page = fleet.get("/api/v1/jobs?limit=500")
    total = page["total"]
    assert fleet.get("/api/v1/stats")["jobs"]["completed"] == total >= len(jobs) + len(later)
    # Beside those that were answered for: one may have been accepted whose answer was lost.
    check_aftermath(fleet, [job["id"] for job in page["jobs"]])
