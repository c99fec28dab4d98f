"""A server at `maxmemory`: what was accepted goes on to its end, what would take in more is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests_support.store_driver import LEASE_MS, RETENTION_MS, RULES, StoreDriver, announce

from mediafleet.domain.errors import StoreUnavailable
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.rules import FleetRules, Lead
from mediafleet.store import Store, cell_records, records
from mediafleet.store.inbox import Inbox

NODE = "n0-a-1"


@pytest.fixture
async def driver(store: Store) -> AsyncIterator[StoreDriver]:
    """A driver of a server that has room, unless the test takes it away."""
    driver = StoreDriver(store)
    yield driver
    await driver.redis.config_set("maxmemory", "0")


async def fill(driver: StoreDriver) -> None:
    """Let the server have no room."""
    await driver.redis.config_set("maxmemory", "1")


async def test_accepted_work_goes_all_its_way_while_the_server_is_full(driver: StoreDriver) -> None:
    job = (await driver.submit(driver.job_record({"a": (), "b": ("a",)}))).jobs[0].id
    await fill(driver)
    await driver.join(NODE)
    for _ in range(2):
        (placed,) = await driver.place_all()
        assert await driver.ack(placed) == []
        report = records.NodeReport(NODE, driver.epochs[NODE], "{}", (AttemptRef(placed.task, placed.grant),))
        assert (await driver.store.renew([report], lease_ms=LEASE_MS)).unknown == []
        await driver.store.report([records.ProgressRecord(placed.task, placed.grant, 0.5, "half", "{}")])
        assert await driver.finish(placed) == ["accepted"]
    view = await driver.store.read.job(job)
    assert view is not None
    assert view.status is JobStatus.COMPLETED
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_a_plan_goes_on_while_the_server_is_full(driver: StoreDriver) -> None:
    job = (await driver.submit(driver.job_record({}, outcome_of=""))).jobs[0].id
    await fill(driver)
    assert await driver.store.read.dirty_jobs(10) == [job]
    state = await driver.store.read.plan_state(job)
    assert state is not None
    tasks = driver.job_record({"a": ()}).tasks
    piece = records.ExpandPiece(
        job, state.version, "a", [_of_job(task, job) for task in tasks], last=True, queues=driver.queues
    )
    assert (await driver.store.expand(piece)).applied


def _of_job(task: records.TaskRecord, job: str) -> records.TaskRecord:
    return msgspec.structs.replace(task, id=f"{job}.{task.name}", job=job)


async def test_what_nodes_make_is_taken_while_the_server_is_full(driver: StoreDriver) -> None:
    await fill(driver)
    about: dict[str, Any] = {"doc": "{}", "state": "open", "retention_ms": RETENTION_MS}
    await driver.store.open_artifact("a0-made", **about, is_output=True)
    assert await driver.store.prolong_artifact("a0-made", retention_ms=RETENTION_MS)
    assert (await driver.store.complete_artifact("a0-made", doc="{}")).completed
    with pytest.raises(StoreUnavailable, match="memory limit"):
        await driver.store.open_artifact("a0-given", **about)


async def test_nothing_new_is_accepted_while_the_server_is_full(driver: StoreDriver) -> None:
    await fill(driver)
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        await driver.submit_one("a")
    assert await driver.key_names() <= {driver.store.keys.schema}, "and nothing of it is left"


async def test_a_cluster_holds_together_while_the_server_is_full(driver: StoreDriver) -> None:
    """Presence and lead are renewed, messages arrive, links close, jobs are cancelled, leases end."""
    job = await driver.submit_one("a", "b")
    await driver.join(NODE, slots=2, instance="i-1")
    placed = await driver.place_all()
    await driver.ack(*placed)
    inbox = Inbox(driver.store, "i-1")
    assert await inbox.read(count=1, block_ms=1) == []
    await fill(driver)
    membership = await announce(driver.store, "i-1")
    assert membership.leader == "i-1"
    sent = await driver.store.forward([cell_records.Message(NODE, "frame", "{}")], instance="i-2")
    assert sent.sent == 1
    ((position, _),) = await inbox.read(count=1, block_ms=1)
    await inbox.acknowledge([position])
    assert (await driver.store.cancel(job, cursor=0, sweep=False)).status == "processing"
    assert len((await driver.store.read.waiting_queues())[1]) == 0
    assert (await driver.store.read.pool_set())[0] > 0
    await driver.store.drain(NODE, draining=True)
    unlinked = await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=True, retention_ms=RETENTION_MS)
    assert unlinked.current
    await driver.store.reap(RULES)
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_rules_wait_until_there_is_room(driver: StoreDriver) -> None:
    membership = await announce(driver.store, "i-1")
    await fill(driver)
    with pytest.raises(StoreUnavailable):
        await driver.store.configure(Lead("i-1", membership.epoch), FleetRules(batch_every=7))
