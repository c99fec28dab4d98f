"""The store behind Sentinel: its primary dies under load, or forgets what its replicas never had."""

from __future__ import annotations

import signal
import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.cluster_process import ClusterProcesses, running_instances
from tests_support.fleet_process import wait_for
from tests_support.sentinel_servers import SentinelServers, running_sentinels

from mediafleet.cli.check import look_at_store
from mediafleet.ops.settings import Settings, StoreSettings
from mediafleet.store.replication import UNSAFE

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

BEFORE, IN_ALL = 40, 100


@pytest.fixture
def store(folder: Path, request: pytest.FixtureRequest) -> Iterator[SentinelServers]:
    """Three servers and three sentinels; the marker `min_replicas` says how many must confirm writes."""
    with running_sentinels(folder, min_replicas=request.param) as store:
        yield store


def submit(cluster: ClusterProcesses, number: int) -> str:
    """Submit a job until it is accepted, as clients do: with a key of its own, so that it is accepted once."""
    refusals: list[tuple[int, bool]] = []

    def attempt() -> str:
        body = {"kind": "noop", "params": {"echo": str(number)}, "idempotency_key": f"key-{number}"}
        try:
            return cluster.post("/api/v1/jobs", body)["id"]
        except urllib.error.HTTPError as refused:
            with refused as answer:
                refusals.append((answer.code, bool(answer.headers["Retry-After"])))
        return ""

    job = wait_for(attempt, f"job {number} to be accepted")
    assert set(refusals) <= {(503, True)}, "an outage is told as one, and when to come again"
    return job


def settings_of(store: SentinelServers) -> Settings:
    """Return the settings of an instance on the store."""
    return replace(Settings(), store=StoreSettings(redis_url=store.url))


@pytest.mark.parametrize("store", [1], indirect=True)
def test_a_fail_over_under_load_costs_no_job_and_no_restart(store: SentinelServers, folder: Path) -> None:
    with running_instances(folder, store, "one", "two", MEDIAFLEET_NODE__SLOTS="4") as cluster:
        cluster.start_node("red")
        cluster.start_node("blue")
        jobs = [submit(cluster, number) for number in range(BEFORE)]
        old = store.primary()
        store.kill(old)
        jobs += [submit(cluster, number) for number in range(BEFORE, IN_ALL)]
        assert store.primary() != old
        # Replication is behind by what was under way. Who has a key asks again, and gets the same job where it is known.
        again = [submit(cluster, number) for number in range(IN_ALL)]
        kept = [job for job, now in zip(jobs, again, strict=True) if job == now]
        assert len(kept) > IN_ALL - BEFORE, "only the end of what came before may be lost"
        assert jobs[BEFORE:] == again[BEFORE:]
        for job in again:
            assert cluster.wait_status(job, "completed", "failed")["status"] == "completed"
        assert all(process.poll() is None for process in cluster.started())
        # What a server had not been given before it died may be the last registration of a node, which then comes again.
        for node in ("red", "blue"):
            wait_for(lambda node=node: cluster.node_state(node) == "ready", f"{node} to be linked")
        # The one that was killed comes back as a replica, and changes nothing.
        store.start_server(old)
        wait_for(lambda: (store.ask(old, "ROLE") or [b""])[0] == b"slave", "the old primary to follow the new one")
        again.append(submit(cluster, IN_ALL))
        assert cluster.wait_status(again[-1], "completed", "failed")["status"] == "completed"
        check_aftermath(cluster, again)


@pytest.mark.parametrize("store", [0], indirect=True)
async def test_grants_that_a_fail_over_forgot_are_refused(store: SentinelServers, folder: Path) -> None:
    """Without `min-replicas-to-write` a primary goes on alone: what it says then is forgotten, and `check` says so."""
    assert [(one.topic, one.text) for one in await look_at_store(settings_of(store))][1:] == [("fail-over", UNSAFE)]
    gate, trace = folder / "gate", folder / "trace"
    trace.mkdir()
    with running_instances(folder, store, "one") as cluster:
        job = cluster.submit("relay", text="ab", parts=1, gate=str(gate), trace=str(trace))
        first, *replicas = store.servers
        assert store.ask(first, "WAIT", 2, 2000) == 2
        for replica in replicas:
            store.signal(replica, signal.SIGSTOP)
        store.ask(first, "CLIENT", "KILL", "TYPE", "replica")
        cluster.start_node("red")
        cluster.wait_stage(job, "waiting")
        store.kill(first)
        for replica in replicas:
            store.signal(replica, signal.SIGCONT)
        wait_for(lambda: store.primary() not in {0, first}, "a new primary")
        # The node still works under a grant that the new primary has never heard of; the task is placed anew.
        wait_for(lambda: len(list(trace.iterdir())) > 1, "the work to begin again")
        gate.touch()
        assert cluster.wait_status(job, "completed", "failed")["status"] == "completed"
        check_aftermath(cluster, [job])


@pytest.mark.parametrize("store", [1], indirect=True)
async def test_a_primary_without_replicas_takes_nothing_that_it_could_forget(
    store: SentinelServers, folder: Path
) -> None:
    assert [(one.topic, one.is_good) for one in await look_at_store(settings_of(store))][1:] == [("fail-over", True)]
    with running_instances(folder, store, "one") as cluster:
        for replica in store.servers[1:]:
            store.signal(replica, signal.SIGSTOP)
        store.ask(store.servers[0], "CLIENT", "KILL", "TYPE", "replica")
        with pytest.raises(urllib.error.HTTPError) as refused:
            cluster.submit("noop", echo="x")
        with refused.value as answer:
            assert (answer.code, b"too few replicas" in answer.read()) == (503, True)
        for replica in store.servers[1:]:
            store.signal(replica, signal.SIGCONT)
        cluster.start_node("red")
        job = submit(cluster, 1)
        assert cluster.wait_status(job, "completed", "failed")["status"] == "completed"
        check_aftermath(cluster, [job])
