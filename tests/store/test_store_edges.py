"""Where two things happen at once, or one happens half: what the scripts must not do then."""

from __future__ import annotations

import pytest
from tests_support.store_driver import LEASE_MS, RESERVE_MS, RETENTION_MS, RULES, StoreDriver
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.node import NodeState
from mediafleet.store import Store, records
from mediafleet.store.store import PIECE

NODE, OTHER = "n0-a-1", "n0-b-2"
MANY = PIECE + 3


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


async def view_of(driver: StoreDriver, job: str) -> JobView:
    view = await driver.store.read.job(job)
    assert view is not None
    return view


async def states(driver: StoreDriver, job: str) -> list[TaskState]:
    return [task.state for task in (await view_of(driver, job)).tasks]


async def run_one(driver: StoreDriver, *names: str) -> tuple[str, list[records.PlacedTask]]:
    job = await driver.submit_one(*(names or ("noop",)))
    placed = await driver.place_all()
    await driver.ack(*placed)
    return job, placed


async def settle_grace(driver: StoreDriver, time: VirtualTime) -> None:
    """Let the grace of the first tick pass, with ticks."""
    await driver.reap()
    for _ in range(LEASE_MS // 1000):
        time.advance(1000)
        await driver.reap()


async def test_a_sweep_that_comes_after_a_retry_ends_nothing(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    job, placed = await run_one(driver, "a", "b")
    await driver.fail(placed[0], retryable=False)
    assert (await view_of(driver, job)).status is JobStatus.FAILED
    await driver.store.retry(job, cursor=0)
    swept = await driver.store.cancel(job, cursor=0, sweep=True)
    assert swept.stops == []
    assert TaskState.CANCELLED not in await states(driver, job)
    await driver.finish(placed[1])
    for task in await driver.place_all():
        await driver.ack(task)
        await driver.finish(task)
    assert (await view_of(driver, job)).status is JobStatus.COMPLETED


async def test_a_cancellation_overtaken_by_a_retry_goes_no_further(driver: StoreDriver) -> None:
    job = await driver.submit_one(*(f"t{n}" for n in range(MANY)))
    first = await driver.store.cancel(job, cursor=0, sweep=False)
    assert first.cursor == PIECE
    revived = await driver.store.retry(job, cursor=0)
    await driver.store.retry(job, cursor=revived.cursor)
    late = await driver.store.cancel(job, cursor=first.cursor, sweep=False)
    assert (late.cursor, set(await states(driver, job))) == (0, {TaskState.NEW})


async def test_a_retry_overtaken_by_a_cancellation_revives_no_more(driver: StoreDriver) -> None:
    job = await driver.submit_one(*(f"t{n}" for n in range(MANY)))
    await cancel_all(driver, job)
    first = await driver.store.retry(job, cursor=0)
    await cancel_all(driver, job)
    assert (await driver.store.retry(job, cursor=first.cursor)).cursor == 0
    assert set(await states(driver, job)) == {TaskState.CANCELLED}
    assert (await view_of(driver, job)).status is JobStatus.CANCELLED
    assert await driver.place_all() == []


async def cancel_all(driver: StoreDriver, job: str) -> None:
    cursor = (await driver.store.cancel(job, cursor=0, sweep=False)).cursor
    while cursor:
        cursor = (await driver.store.cancel(job, cursor=cursor, sweep=False)).cursor


async def test_a_retry_that_broke_off_is_ended_by_the_reaper(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    """The instance died between two pieces."""
    job = await driver.submit_one(*(f"t{n}" for n in range(MANY)))
    await cancel_all(driver, job)
    await driver.store.retry(job, cursor=0)
    assert TaskState.CANCELLED in await states(driver, job)
    for _ in range(12):
        virtual_time.advance(1000)
        await driver.reap()
    assert set(await states(driver, job)) == {TaskState.NEW}
    assert await driver.store.read.dirty_jobs(10) == [job]
    state = await driver.store.read.plan_state(job)
    assert state is not None
    assert state.open == MANY


async def test_a_back_off_ends_during_a_grace(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await driver.reap()
    await driver.join(NODE)
    _, (placed,) = await run_one(driver)
    await driver.fail(placed, delays=[200])
    virtual_time.advance(500)
    tick = await driver.reap()
    assert tick.grace
    assert tick.queues
    assert len(await driver.place_all()) == 1


async def test_a_lease_that_ended_in_a_grace_ends_with_it(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await driver.reap()
    await driver.join(NODE)
    await driver.submit_one("noop")
    await driver.place_all()
    held: list[int] = []
    for _ in range(LEASE_MS // 1000):
        held.append(await driver.used(f"{NODE}/cpu"))
        virtual_time.advance(1000)
        await driver.reap()
    assert set(held) == {1}, f"a reservation of {RESERVE_MS} ms ended inside the grace"
    assert await driver.used(f"{NODE}/cpu") == 0


@pytest.mark.parametrize("last", ["registered", "renewed"])
async def test_a_node_keeps_its_work_for_as_long_as_its_own_link_allows(
    driver: StoreDriver, virtual_time: VirtualTime, last: str
) -> None:
    await driver.reap()
    await driver.join(NODE, lease_ms=3 * LEASE_MS)
    _, (placed,) = await run_one(driver)
    if last == "renewed":
        report = records.NodeReport(NODE, driver.epochs[NODE], "{}", (AttemptRef(placed.task, placed.grant),))
        await driver.store.renew([report], lease_ms=LEASE_MS)
    used: list[int] = []
    for _ in range(0, 3 * LEASE_MS - 1_000, 1_000):
        used.append(await driver.used(f"{NODE}/cpu"))
        virtual_time.advance(1_000)
        await driver.reap()
    assert set(used) == {1}
    virtual_time.advance(2_000)
    await driver.reap()
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_an_entry_of_a_newer_version_does_not_stop_the_reaper(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    await settle_grace(driver, virtual_time)
    await driver.redis.zadd(driver.store.keys.due, {"unheard-of|x": 1, "?": 2})
    await driver.join(NODE)
    _, (placed,) = await run_one(driver)
    await driver.fail(placed, delays=[100])
    virtual_time.advance(500)
    assert (await driver.reap()).queues
    assert {b"unheard-of|x", b"?"} <= set(await driver.redis.zrange(driver.store.keys.due, 0, -1))


async def test_many_children_are_all_woken_in_one_tick(driver: StoreDriver) -> None:
    names: dict[str, tuple[str, ...]] = {"root": ()} | {f"t{n}": ("root",) for n in range(3 * PIECE)}
    await driver.join(NODE)
    await driver.submit(driver.job_record(names))
    (root,) = await driver.place_all()
    await driver.finish(root)
    for _ in range(10):
        if not (await driver.reap()).more:
            break
    queue = (await driver.store.read.queues()).keys()
    assert await driver.store.read.count_queued(list(queue)) == 3 * PIECE


async def test_a_heartbeat_of_an_unlinked_node_asks_it_to_register(driver: StoreDriver) -> None:
    """Another instance took this one for dead: the node must not stay outside its pool for ever."""
    await driver.join(NODE)
    epoch = driver.epochs[NODE]
    await driver.store.unlink(NODE, epoch, goodbye=False, retention_ms=RETENTION_MS)
    report = records.NodeReport(NODE, epoch, "{}", ())
    assert (await driver.store.renew([report], lease_ms=LEASE_MS)).unknown == [NODE]
    node = await driver.store.read.node(NODE)
    assert node is not None
    assert node.state is NodeState.UNLINKED


async def test_lost_work_that_has_no_room_any_more_is_not_taken_up_again(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    """The slot of a lost attempt was given to another task meanwhile; its result, if there is one, still counts."""
    await settle_grace(driver, virtual_time)
    await driver.join(NODE)
    await driver.submit_one("noop")
    (lost,) = await driver.place_all()
    for _ in range(RESERVE_MS // 1000 + 1):
        virtual_time.advance(1000)
        await driver.reap()
    (again,) = await driver.place_all()
    await driver.ack(again)
    second = AttemptRef(again.task, again.grant)
    admitted = await driver.join(NODE, announced=(AttemptRef(lost.task, lost.grant), second))
    assert set(admitted.keep) >= {second}
    assert await driver.used(f"{NODE}/cpu") == 1
    assert await driver.finish(lost) == ["accepted"]
    assert await driver.fail(again, how="stopped") == "released"
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_work_taken_up_again_has_its_time_limit_again(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await settle_grace(driver, virtual_time)
    await driver.join(NODE)
    await driver.submit_one("noop", total_ms=2_000)
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=True, retention_ms=RETENTION_MS)
    attempt = AttemptRef(placed.task, placed.grant)
    assert (await driver.join(NODE, announced=(attempt,))).keep == (attempt,)
    virtual_time.advance(2_500)
    assert [stop.grant for stop in (await driver.reap()).stops] == [placed.grant]


async def test_a_job_is_kept_until_its_tasks_are_swept_and_its_nodes_confirmed(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    job, placed = await run_one(driver, "a", "b")
    await driver.fail(placed[0], retryable=False)
    assert await driver.store.forget(job, inputs=[])
    assert (await view_of(driver, job)).status is JobStatus.FAILED, "one task is still open"
    await driver.store.cancel(job, cursor=0, sweep=True)
    assert await driver.store.forget(job, inputs=[])
    assert await driver.store.read.job(job) is not None, "the node has not confirmed that it stopped"
    assert await driver.fail(placed[1], how="stopped") == "released"
    assert await driver.store.forget(job, inputs=[])
    assert await driver.store.read.job(job) is None
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_a_revived_job_whose_upload_is_still_open_says_so(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
    job = await driver.submit_one("noop", inputs=["a0-up"])
    await cancel_all(driver, job)
    await driver.store.retry(job, cursor=0)
    assert (await view_of(driver, job)).status is JobStatus.UPLOADING
    await driver.join(NODE)
    assert await driver.place_all() == []
    assert (await driver.store.complete_artifact("a0-up", doc="{}")).completed
    assert len(await driver.place_all()) == 1


async def test_a_task_named_twice_as_dependency_is_waited_for_once(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit(driver.job_record({"a": (), "b": ("a", "a")}))
    (first,) = await driver.place_all()
    await driver.finish(first)
    assert [task.task.partition(".")[2] for task in await driver.place_all()] == ["b"]


async def test_progress_of_a_task_whose_job_has_failed_does_not_revive_the_job(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    job, placed = await run_one(driver, "a", "b")
    await driver.fail(placed[0], retryable=False)
    await driver.store.report([records.ProgressRecord(placed[1].task, placed[1].grant, 0.5, "encoding", "{}")])
    assert (await view_of(driver, job)).status is JobStatus.FAILED


async def test_a_full_server_still_takes_results_and_failures(driver: StoreDriver) -> None:
    """What frees memory must go on at `maxmemory`, or the server could never recover."""
    await driver.join(NODE, slots=2)
    job, placed = await run_one(driver, "a", "b")
    try:
        await driver.redis.config_set("maxmemory", "1")
        assert await driver.finish(placed[0]) == ["accepted"]
        assert await driver.fail(placed[1], retryable=False) == "failed"
        await driver.store.reap(RULES)
    finally:
        await driver.redis.config_set("maxmemory", "0")
    assert (await view_of(driver, job)).status is JobStatus.FAILED
    assert await driver.used(f"{NODE}/cpu") == 0
