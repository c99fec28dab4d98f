"""What several instances must agree on: where artifacts are, and which of two equal submissions was first."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.cluster_process import ClusterProcesses, running_cluster

from mediafleet.domain.live_key import live_key

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]
KEYS = 20


@pytest.fixture
def cluster(folder: Path) -> Iterator[ClusterProcesses]:
    """Two instances on one store."""
    with running_cluster(folder, "one", "two") as cluster:
        yield cluster


def test_an_instance_with_an_artifact_root_of_its_own_does_not_start(cluster: ClusterProcesses) -> None:
    cluster.environment["MEDIAFLEET_ARTIFACTS__ROOT"] = str(cluster.folder / "elsewhere")
    words = ("scheduler", "--data", str(cluster.folder / "three"), "--port", "0")
    process: subprocess.Popen[bytes] = cluster._start("three", *words)
    assert process.wait(60) != 0
    said = (cluster.folder / "three.log").read_text()
    assert "keeps its artifacts elsewhere" in said
    assert "artifacts.root" in said
    assert "Traceback" not in said
    assert len(cluster.get("/api/v1/cluster")["instances"]) == 2, "the others go on"
    check_aftermath(cluster, cluster.accepted)


def test_one_key_at_both_instances_in_the_same_moment_is_one_job(cluster: ClusterProcesses) -> None:
    ready = threading.Barrier(2)
    answers: dict[str, list[tuple[int, str]]] = {"one": [], "two": []}

    def hammer(name: str) -> None:
        for number in range(KEYS):
            body = {"kind": "noop", "idempotency_key": live_key("default", "s0-x", number)}
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(
                f"{cluster.url_of(name)}/api/v1/jobs", json.dumps(body).encode(), headers, method="POST"
            )
            ready.wait(30)
            with urllib.request.urlopen(request, timeout=30) as response:
                answers[name].append((response.status, json.load(response)["id"]))

    threads = [threading.Thread(target=hammer, args=(name,)) for name in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pairs = list(zip(answers["one"], answers["two"], strict=True))
    assert len(pairs) == KEYS
    for (status, job), (other_status, other_job) in pairs:
        assert job == other_job
        assert sorted([status, other_status]) == [200, 201], "exactly one of them was first"
    assert cluster.get("/api/v1/jobs")["total"] == KEYS
    cluster.start_node("red")
    check_aftermath(cluster, [job for _, job in answers["one"]])
