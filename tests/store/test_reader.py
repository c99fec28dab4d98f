"""What the store answers when it is asked: pages, counts, the fleet, and the stream of events."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest
from tests_support.store_driver import DEFAULT_QUEUE, FADE_MS, RETENTION_MS, StoreDriver, announce, spec
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState
from mediafleet.domain.errors import StoreUnavailable
from mediafleet.domain.event import EventType
from mediafleet.domain.health import Cause
from mediafleet.domain.insight import FleetGauges, OpenTasks, QueueDepth
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.node import NodeState
from mediafleet.domain.room import Room
from mediafleet.domain.rules import ClusterView, FleetRules, InstanceDocument, KindAside
from mediafleet.store import Store
from mediafleet.store.reader import SHOWN_TASKS, Reader
from mediafleet.store.schema import SCHEMA
from mediafleet.store.scripts import as_text

NODE, OTHER = "n0-a-1", "n0-b-2"
ARGUMENTS: dict[str, Any] = {
    "after": "0",
    "artifact_id": "a0-1",
    "batch": "b",
    "artifact_ids": ["a0-1"],
    "block_ms": 1,
    "capability": "kind:noop",
    "cursor": 0,
    "field": "version",
    "job_id": "j0-1",
    "job_ids": ["j0-1"],
    "keys": [("default", "k")],
    "limit": 1,
    "node_id": "n0-a",
    "offset": 0,
    "priority": PriorityClass.BATCH,
    "queues": ["q"],
    "requirements": [],
    "status": None,
    "task": "j0-1.noop",
    "task_ids": ["j0-1.run"],
}
READS = [name for name, _ in inspect.getmembers(Reader, inspect.iscoroutinefunction) if not name.startswith("_")]


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


async def call(reader: Reader, name: str) -> Any:
    """Ask one question with any arguments it needs."""
    method = getattr(reader, name)
    needed = [p.name for p in inspect.signature(method).parameters.values() if p.default is p.empty]
    return await method(**{name: ARGUMENTS[name] for name in needed})


@pytest.mark.parametrize("name", READS)
async def test_every_question_says_so_when_the_server_is_away(lost_store: Store, name: str) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await call(lost_store.read, name)


@pytest.mark.parametrize("name", READS)
async def test_every_question_has_an_answer_in_an_empty_cell(store: Store, name: str) -> None:
    empty: dict[str, Any] = {
        "cluster": ClusterView((), "", 0, 0, FleetRules()),
        "chains": "",
        "config": (0, FleetRules()),
        "count_jobs": dict.fromkeys(JobStatus, 0),
        "count_queued": 0,
        "count_waiting_chains": 0,
        "dead_letters": ([], 0),
        "gauges": FleetGauges(
            dict.fromkeys(PriorityClass, QueueDepth()),
            dict.fromkeys(NodeState, 0),
            0,
            dict.fromkeys(Cause, 0),
            OpenTasks(0, dict.fromkeys(PriorityClass, 0)),
        ),
        "batch": [],
        "job_names": {},
        "log_levels": {},
        # It tells the time; tests/store/test_snapshots.py looks at the rest.
        "fleet_snapshot": ANY,
        "instances": {},
        "job_views": {},
        "jobs": ([], 0),
        "keyed_jobs": [False],
        "artifacts": {},
        "last_event_id": "0-0",
        "pool_set": (0, {}),
        "queue_heads": {},
        "pools_version": 0,
        "queues": {},
        "room": Room(),
        "schema_field": SCHEMA,
        "task_times": {},
        "task_belongings": (frozenset(), frozenset()),
        "unknown_jobs": ["j0-1"],
        "waiting_queues": (0, []),
    }
    single = {"artifact", "dead_letter", "job", "job_document", "kind_aside", "node", "ping", "plan_state"}
    empty["waiting_chains"] = (0, {})
    assert await call(store.read, name) == (None if name in single else empty.get(name, []))


async def test_a_job_that_was_set_aside_is_behind_all_others_until_something_happens_to_it(
    driver: StoreDriver,
) -> None:
    store, read = driver.store, driver.store.read
    first, second = [driver.job_record({"run": ()}, outcome_of="") for _ in range(2)]
    await driver.submit(first, second)
    await driver.join("n0-a-1", slots=2)
    for placed in await driver.place_all():
        await driver.finish(placed)
    assert sorted(await read.dirty_jobs(9)) == [first.id, second.id]
    assert not await store.defer(first.id, 1), "it has moved on since"
    assert await store.defer(first.id, 2)
    assert not await store.defer(first.id, 2), "it was set aside already"
    assert (await read.dirty_jobs(9), await read.jobs_aside(9)) == ([second.id], [first.id])
    assert await read.kind_aside(second.id) is None
    assert await read.kind_aside(first.id) == KindAside("noop", 1, (), 0)
    await announce(store, "i-1")
    doc = as_text(InstanceDocument("0", "host", 1, kinds={"noop": (1, 2)}))
    await store.announce("i-2", doc=doc, ttl_ms=60_000)
    assert await read.kind_aside(first.id) == KindAside("noop", 1, ("i-2",), 2)
    await store.cancel(first.id, cursor=0, sweep=False)
    assert await read.jobs_aside(9) == []


async def test_a_field_that_the_schema_lacks_is_zero(store: Store) -> None:
    assert await store.read.schema_field("no such field") == 0


async def test_a_job_shows_its_tasks_in_the_order_they_were_made(driver: StoreDriver) -> None:
    job = await driver.submit_one("z", "a", "m")
    view = await driver.store.read.job(job)
    assert view is not None
    assert [task.id for task in view.tasks] == [f"{job}.z", f"{job}.a", f"{job}.m"]


async def test_a_job_of_very_many_tasks_shows_only_the_first_ones(driver: StoreDriver) -> None:
    job = await driver.submit_one(*(f"t{number}" for number in range(SHOWN_TASKS + 1)))
    view = await driver.store.read.job(job)
    assert view is not None
    assert len(view.tasks) == SHOWN_TASKS
    assert view.tasks[-1].id == f"{job}.t{SHOWN_TASKS - 1}"


async def test_a_plan_sees_the_final_tasks_of_a_large_job_too(driver: StoreDriver) -> None:
    job = await driver.submit_one(*(f"t{number}" for number in range(SHOWN_TASKS + 2)))
    cursor = (await driver.store.cancel(job, cursor=0, sweep=False)).cursor
    while cursor:
        cursor = (await driver.store.cancel(job, cursor=cursor, sweep=False)).cursor
    state = await driver.store.read.plan_state(job)
    assert state is not None
    assert [task.state for task in state.finished] == [TaskState.CANCELLED] * (SHOWN_TASKS + 2)
    assert (state.status, state.open) == (JobStatus.CANCELLED, 0)


async def test_the_document_of_a_job_is_what_was_submitted(driver: StoreDriver) -> None:
    job = await driver.submit_one("noop")
    document = await driver.store.read.job_document(job)
    assert document is not None
    assert (document.id, document.kind, document.tenant) == (job, "noop", "default")


async def test_pages_go_from_the_newest_job_to_the_oldest_without_gap_or_repeat(driver: StoreDriver) -> None:
    jobs = [await driver.submit_one("noop") for _ in range(5)]
    pages = [await driver.store.read.jobs(status=None, offset=offset, limit=2) for offset in (0, 2, 4, 6)]
    assert [[view.id for view in views] for views, _ in pages] == [jobs[:2:-1], jobs[2:0:-1], jobs[:1], []]
    assert {total for _, total in pages} == {5}


async def test_jobs_can_be_asked_for_by_status_by_kind_and_by_both(driver: StoreDriver) -> None:
    read = driver.store.read
    jobs = [await driver.submit_one("noop") for _ in range(4)]
    other = msgspec.structs.replace(driver.job_record({"noop": ()}), kind="other")
    await driver.submit(other)
    for job in [*jobs[:3], other.id]:
        await driver.store.cancel(job, cursor=0, sweep=False)

    async def ids(status: JobStatus | None, kind: str, **page: int) -> tuple[list[str], int]:
        views, total = await read.jobs(status=status, kind=kind, **({"offset": 0, "limit": 50} | page))
        return [view.id for view in views], total

    assert await ids(JobStatus.CANCELLED, "") == ([other.id, *jobs[2::-1]], 4)
    assert await ids(None, "other") == ([other.id], 1)
    assert await ids(JobStatus.CANCELLED, "noop") == (jobs[2::-1], 3)
    assert await ids(JobStatus.CANCELLED, "noop", offset=1, limit=1) == ([jobs[1]], 3)
    assert await ids(JobStatus.PENDING, "other") == ([], 0)


async def test_jobs_are_counted_by_status(driver: StoreDriver) -> None:
    jobs = [await driver.submit_one("noop") for _ in range(3)]
    await driver.store.cancel(jobs[0], cursor=0, sweep=False)
    counts = await driver.store.read.count_jobs()
    assert {status: count for status, count in counts.items() if count} == {
        JobStatus.PENDING: 2,
        JobStatus.CANCELLED: 1,
    }


async def test_the_job_that_waits_longest_for_its_plan_comes_first(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    await driver.join(NODE, slots=3)
    jobs = [await driver.submit_one("noop", outcome_of="") for _ in range(3)]
    placed = {task.job: task for task in await driver.place_all()}
    for job in reversed(jobs):
        await driver.finish(placed[job])
        virtual_time.advance(1)
    assert await driver.store.read.dirty_jobs(2) == [jobs[2], jobs[1]]


async def test_waiting_tasks_are_counted_over_all_tenants(driver: StoreDriver) -> None:
    read, queue = driver.store.read, DEFAULT_QUEUE.id
    await driver.submit_one("a", "b")
    await driver.submit_one("c", tenant="other")
    assert await read.queues() == {queue: DEFAULT_QUEUE}
    assert await read.count_queued([queue]) == 3
    assert await read.count_queued([queue, "none"]) == 3


async def test_a_queue_waits_while_it_has_tasks_and_the_version_rises_when_that_changes(driver: StoreDriver) -> None:
    read = driver.store.read
    versions: list[int] = []

    async def look() -> list[str]:
        version, queues = await read.waiting_queues()
        versions.append(version)
        return queues

    assert await look() == []
    await driver.submit_one("a")
    assert await look() == [DEFAULT_QUEUE.id]
    await driver.submit_one("b", tenant="other")
    assert await look() == [DEFAULT_QUEUE.id]
    await driver.join(NODE)
    await driver.place_all()
    assert await look() == [DEFAULT_QUEUE.id], "there was room for one of them only"
    await driver.join(OTHER)
    await driver.place_all()
    assert await look() == []
    none, one, same, still, empty = versions
    assert none < one == same == still < empty


async def test_queues_that_wait_longest_come_first(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    later, first = (spec(slots=slots) for slots in (2, 3))
    for queue in (first, later):
        await driver.submit_one("only", spec=queue)
        virtual_time.advance(1)
    await driver.submit_one("another", spec=first)
    assert (await driver.store.read.waiting_queues())[1] == [first.id, later.id]


async def test_the_version_of_the_pools_rises_when_one_comes_or_fades(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    versions = [(await driver.store.read.pool_set())[0]]
    for node in (NODE, OTHER):
        await driver.join(node)
        versions.append((await driver.store.read.pool_set())[0])
    for node in (NODE, OTHER):
        await driver.store.unlink(node, driver.epochs[node], goodbye=True, retention_ms=RETENTION_MS)
        versions.append((await driver.store.read.pool_set())[0])
    virtual_time.advance(FADE_MS - 1)
    await driver.reap()
    versions.append((await driver.store.read.pool_set())[0])
    virtual_time.advance(1)
    await driver.reap()
    version, pools = await driver.store.read.pool_set()
    first, *same = versions
    assert first < min(same) == max(same) < version
    assert pools == {}


async def test_a_pool_whose_last_executor_came_back_does_not_fade(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    await driver.join(NODE)
    before = await driver.store.read.pool_set()
    await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=False, retention_ms=RETENTION_MS)
    virtual_time.advance(FADE_MS - 1)
    await driver.join(NODE)
    virtual_time.advance(FADE_MS)
    await driver.reap()
    assert await driver.store.read.pool_set() == before


async def test_a_pool_shows_what_is_free_in_it(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    await driver.join(OTHER, slots=2)
    await driver.submit_one("a", "b", "c")
    await driver.place_all()
    (pool,) = await driver.store.read.pools()
    assert (pool.executors, pool.slots, pool.free, pool.capabilities) == (2, 2, 1, ("kind:noop",))


async def test_nodes_are_listed_from_the_last_that_registered(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    for node in (NODE, OTHER):
        await driver.join(node)
        virtual_time.advance(1)
    assert [node.id for node in await driver.store.read.nodes()] == [OTHER, NODE]


async def test_a_node_shows_its_executors_and_what_they_run(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    job = await driver.submit_one("a")
    await driver.place_all()
    node = await driver.store.read.node(NODE)
    assert node is not None
    (executor,) = node.executors
    assert (executor.id, executor.used, [work.job for work in executor.running]) == (f"{NODE}/cpu", 1, [job])
    assert node.state is NodeState.READY


async def test_an_artifact_is_in_the_state_it_reached_last(driver: StoreDriver) -> None:
    artifact = Artifact(ArtifactRef("a0-1", "a.mkv"), ArtifactState.OPEN, "0", "default", "local", 1)
    await driver.store.open_artifact("a0-1", doc=as_text(artifact), state="open", retention_ms=RETENTION_MS)
    assert await driver.store.read.artifact("a0-1") == artifact
    await driver.store.complete_artifact("a0-1", doc=as_text(artifact))
    found = await driver.store.read.artifact("a0-1")
    assert found == msgspec.structs.replace(artifact, state=ArtifactState.COMPLETE)


async def test_only_instances_of_this_cell_are_listed(driver: StoreDriver, neighbour: Store) -> None:
    await announce(neighbour, "i-9")
    for instance in ("i-1", "i-2"):
        await announce(driver.store, instance)
    assert sorted(await driver.store.read.live_instances()) == ["i-1", "i-2"]
    await driver.store.retire("i-1")
    assert await driver.store.read.live_instances() == ["i-2"]


async def test_nodes_are_without_instance_only_while_they_are_linked_to_one_that_is_gone(driver: StoreDriver) -> None:
    await announce(driver.store, "i-1")
    for node in (NODE, OTHER):
        await driver.join(node)
    await driver.store.drain(OTHER, draining=True)
    assert await driver.store.read.nodes_without_instance() == []
    await driver.store.retire("i-1")
    found = await driver.store.read.nodes_without_instance()
    assert sorted(found) == [(node, driver.epochs[node]) for node in (NODE, OTHER)]
    await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=False, retention_ms=RETENTION_MS)
    assert [node for node, _ in await driver.store.read.nodes_without_instance()] == [OTHER]


async def test_past_events_come_in_order_and_never_twice(driver: StoreDriver) -> None:
    read = driver.store.read
    jobs = [await driver.submit_one("noop") for _ in range(3)]
    events = await read.past_events("0-0")
    assert [(event.type, event.job) for event in events] == [(EventType.JOB_ACCEPTED, job) for job in jobs]
    assert await read.past_events(events[0].id) == events[1:]
    assert await read.past_events("0-0", count=2) == events[:2]
    assert await read.last_event_id() == events[-1].id
    assert await read.events("0-0", block_ms=1) == events


async def test_an_event_tells_when_of_whom_and_what(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.drain(NODE, draining=True)
    event = (await driver.store.read.past_events("0-0"))[-1]
    assert (event.type, event.node, event.job) == (EventType.NODE_DRAINING, NODE, "")
    assert event.at_ms == int(event.id.partition("-")[0])


async def test_a_reader_that_waits_is_woken_by_the_first_event_and_gets_no_older_one(driver: StoreDriver) -> None:
    await driver.submit_one("noop")
    waiting = asyncio.create_task(driver.store.read.events("$", block_ms=5_000))
    async with asyncio.timeout(10):
        while (await driver.redis.info("clients"))["blocked_clients"] == 0:
            pass
    job = await driver.submit_one("noop")
    assert [event.job for event in await waiting] == [job]


async def test_a_reader_that_waited_in_vain_gets_nothing(store: Store) -> None:
    assert await store.read.events("$", block_ms=1) == []
