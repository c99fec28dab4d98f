"""The store away, full, unwilling, emptied of scripts, cut at its tail; and instances of two versions."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.cluster_process import ClusterProcesses, running_cluster
from tests_support.fleet_process import FleetProcesses, free_port, let_time_pass, wait_for
from tests_support.redis_server import KEEPS_ALL

import mediafleet
from mediafleet.store.scripts import load_script

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

LONGER_THAN_ALL_LEASES_S = 3.5


@pytest.fixture
def cluster(folder: Path) -> Iterator[ClusterProcesses]:
    """One instance on a store that survives its own end."""
    with running_cluster(folder, "one", store_options=KEEPS_ALL) as cluster:
        yield cluster


def ask(fleet: FleetProcesses, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    """Return status, header fields and content of an answer, whatever it is."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(fleet.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, json.load(error)


def submit_noop(fleet: FleetProcesses, echo: str = "x") -> tuple[int, dict[str, str], Any]:
    """Try to submit a job."""
    return ask(fleet, "/api/v1/jobs", {"kind": "noop", "params": {"echo": echo}})


def check_refused(fleet: FleetProcesses, *words: str) -> None:
    """See that a submission is refused with a sentence that has these words, and told when to come again."""
    status, headers, problem = submit_noop(fleet)
    assert (status, problem["code"], problem["retryable"]) == (503, "store-unavailable", True)
    assert int(headers["retry-after"]) > 0
    assert all(word in problem["detail"] for word in words), problem["detail"]


def complete(fleet: FleetProcesses, *jobs: str) -> list[Any]:
    """Wait until all jobs have completed; return their views."""
    views = [fleet.wait_status(job, "completed", "failed") for job in jobs]
    assert [view["error"] for view in views] == [None] * len(jobs)
    return views


def test_an_outage_longer_than_every_lease_stops_submissions_and_no_work(
    cluster: ClusterProcesses, folder: Path
) -> None:
    gate, trace = folder / "gate", folder / "trace"
    trace.mkdir()
    cluster.start_node("red")
    instance = cluster.instances["one"].pid
    job = cluster.submit("relay", text="abcd", parts=1, gate=str(gate), trace=str(trace))
    cluster.wait_stage(job, "waiting")
    cluster.store.kill()
    check_refused(cluster, "cannot be reached")
    status, headers, problem = ask(cluster, "/ready")
    assert (status, problem["code"]) == (503, "store-unavailable")
    assert int(headers["retry-after"]) > 0
    assert ask(cluster, "/health")[0] == 200, "the process is well; only its store is away"
    # The node goes on meanwhile, and keeps what it cannot hand over.
    gate.touch()
    let_time_pass(LONGER_THAN_ALL_LEASES_S)
    cluster.store.start()
    wait_for(lambda: ask(cluster, "/ready")[0] == 200, "service to resume")
    (view,) = complete(cluster, job)
    assert {task["attempt"] for task in view["tasks"]} == {1}
    assert len(list(trace.iterdir())) == 1, "what survived the outage is not run again"
    after = submit_noop(cluster)[2]["id"]
    complete(cluster, after)
    assert cluster.instances["one"].pid == instance
    assert cluster.instances["one"].poll() is None, "service resumed without a restart"
    assert cluster.logs().count("the store is away") < 40, "an outage is one line a part, not one a try"
    check_aftermath(cluster, [job, after])


def test_scripts_come_back_by_themselves_after_script_flush(cluster: ClusterProcesses) -> None:
    cluster.start_node("red")
    client = cluster.store_client()
    jobs: list[str] = []
    for number in range(40):
        client.script_flush()
        jobs.append(cluster.submit("noop", echo=str(number)))
    client.script_flush()
    complete(cluster, *jobs)
    client.close()
    check_aftermath(cluster, jobs)


def test_a_full_store_refuses_submissions_and_finishes_what_it_has(cluster: ClusterProcesses, folder: Path) -> None:
    gate = folder / "gate"
    cluster.start_node("red")
    working = cluster.submit("relay", text="abcd", parts=2, gate=str(gate))
    cluster.wait_stage(working, "waiting")
    queued = cluster.submit("noop", echo="queued")
    client = cluster.store_client()
    client.config_set("maxmemory", 1)
    check_refused(cluster, "memory limit", "maxmemory")
    gate.touch()
    # Its tasks after the gate are placed, run, published and joined, all of it while the store is full.
    complete(cluster, working, queued)
    assert client.config_get("maxmemory")["maxmemory"] == "1"
    assert cluster.node_state("red") == "ready", "leases go on"
    check_refused(cluster, "maxmemory")
    client.config_set("maxmemory", 0)
    after = submit_noop(cluster)[2]["id"]
    complete(cluster, after)
    client.close()
    check_aftermath(cluster, [working, queued, after])


def log_of(cluster: ClusterProcesses) -> Path:
    """Return the append-only file that is written to; from Redis 7 on it is one of several."""
    folder = cluster.store.folder
    (log,) = [*folder.glob("appendonlydir/*.incr.aof"), *folder.glob("appendonly.aof")]
    return log


def go_back(cluster: ClusterProcesses, size: int) -> None:
    """Start the store again with no more than so many bytes of its log: the disk had not taken the rest."""
    cluster.store.kill()
    with log_of(cluster).open("r+b") as file:
        file.truncate(size)
    cluster.store.start()
    wait_for(lambda: ask(cluster, "/ready")[0] == 200, "service to resume")


def test_a_cut_tail_of_the_append_only_file_costs_only_the_tail(cluster: ClusterProcesses, folder: Path) -> None:
    """The store goes back in time: jobs of the tail are gone, grants of the tail are refused, all else is done once."""
    gate = folder / "gate"
    cluster.start_node("red")
    before = [cluster.submit("noop", echo=str(number)) for number in range(10)]
    complete(cluster, *before)
    working = cluster.submit("relay", text="abcd", parts=1, gate=str(gate))
    cluster.wait_stage(working, "waiting")
    size = log_of(cluster).stat().st_size
    tail = [cluster.submit("noop", echo=str(number)) for number in range(10)]
    # In the middle of a command, that is: such a file is loaded up to its last whole step.
    go_back(cluster, (2 * size + log_of(cluster).stat().st_size) // 3 - 7)
    gate.touch()
    known = [job for job in tail if ask(cluster, f"/api/v1/jobs/{job}")[0] == 200]
    assert known == tail[: len(known)], "what is lost is the end, and nothing before it"
    assert len(known) < len(tail)
    complete(cluster, *before, working, *known)
    check_aftermath(cluster, [*before, working, *known])


def test_grants_from_after_the_point_that_a_store_went_back_to_are_refused(
    cluster: ClusterProcesses, folder: Path
) -> None:
    """The node works on, under a grant that nobody knows any more; the task is placed anew and done once."""
    gate, trace = folder / "gate", folder / "trace"
    trace.mkdir()
    first = cluster.submit("relay", text="abcd", parts=1, gate=str(gate), trace=str(trace))
    size = log_of(cluster).stat().st_size
    cluster.start_node("red")
    cluster.wait_stage(first, "waiting")
    go_back(cluster, size)
    wait_for(lambda: len(list(trace.iterdir())) == 2, "the work to be placed anew")
    gate.touch()
    complete(cluster, first)
    check_aftermath(cluster, [first])


def newer_package(folder: Path) -> Path:
    """Return a copy of this package whose scripts are a version on: fields were added, in replies and in tasks."""
    copy = folder / "newer" / "mediafleet"
    shutil.copytree(Path(mediafleet.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    base = copy / "store" / "scripts" / "includes" / "base.lua"
    text = base.read_text()
    assert "local function reply(value)\n" in text
    base.write_text(text.replace("local function reply(value)\n", "local function reply(value)\n  value.added = 1\n"))
    grown = copy / "store" / "scripts" / "place.lua"
    text = grown.read_text()
    assert "'attempt', attempt, " in text
    grown.write_text(text.replace("'attempt', attempt, ", "'attempt', attempt, 'added', '1', "))
    return copy.parent


def test_two_versions_of_a_script_work_on_one_store_at_once(folder: Path) -> None:
    with running_cluster(folder, "old") as cluster:
        cluster.ports["new"] = free_port()
        cluster.start_instance("new", PYTHONPATH=str(newer_package(folder)))
        cluster.start_node("red", via=cluster.url_of("old"))
        cluster.start_node("blue", via=cluster.url_of("new"))
        jobs: list[str] = []
        for number in range(40):
            cluster.use(("old", "new")[number % 2])
            jobs.append(cluster.submit("relay", text="ab") if number < 6 else cluster.submit("noop"))
        complete(cluster, *jobs)
        client = cluster.store_client()
        newer = (folder / "newer/mediafleet/store/scripts/place.lua").read_text()
        assert newer != (Path(mediafleet.__file__).parent / "store/scripts/place.lua").read_text()
        added = [key for key in client.scan_iter(match="sched:{0}:task:*") if client.hexists(key, "added")]
        plain = [key for key in client.scan_iter(match="sched:{0}:task:*") if not client.hexists(key, "added")]
        assert added, "the newer version placed something"
        assert plain, "and so did the older one"
        assert client.script_exists(sha1(load_script("place").encode(), usedforsecurity=False).hexdigest()) == [True]
        client.close()
        check_aftermath(cluster, jobs)
        # An upgrade ends with the older one's death; what it had goes on.
        cluster.kill_instance("old")
        cluster.use("new")
        last = cluster.submit("noop", echo="last")
        complete(cluster, last)
