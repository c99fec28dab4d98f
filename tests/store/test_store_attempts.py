"""Placing, confirming, finishing and failing attempts."""

from __future__ import annotations

import pytest
from tests_support.store_driver import StoreDriver

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.store import Store, records

NODE, OTHER = "n0-a-1", "n0-b-2"


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


async def status(store: Store, job: str) -> JobStatus:
    view = await store.read.job(job)
    assert view is not None
    return view.status


async def task(store: Store, job: str, name: str) -> tuple[TaskState, int, int]:
    view = await store.read.job(job)
    assert view is not None
    found = next(summary for summary in view.tasks if summary.id == f"{job}.{name}")
    return found.state, found.attempt, found.tries


async def test_no_executor_gets_more_than_its_slots(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=3)
    await driver.join(OTHER, slots=2)
    for _ in range(10):
        await driver.submit_one("noop")
    placed = await driver.place_all()
    assert len(placed) == 5
    assert (await driver.used(f"{NODE}/cpu"), await driver.used(f"{OTHER}/cpu")) == (3, 2)
    assert await driver.place_all() == []


async def test_tenants_take_turns(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=6)
    owner = {await driver.submit_one("noop", tenant=tenant): tenant for tenant in ("loud",) * 5 + ("quiet",) * 2}
    first = [owner[(await driver.place_all(limit=1))[0].job] for _ in range(4)]
    assert sorted(first[:2]) == sorted(first[2:]) == ["loud", "quiet"]
    assert await driver.store.read.count_queued(list(await driver.store.read.queues())) == 3


async def test_an_executor_that_failed_the_task_is_avoided_but_not_refused(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("noop")
    (first,) = await driver.place_all()
    await driver.ack(first)
    assert await driver.fail(first) == "retried"
    await driver.join(OTHER)
    (second,) = await driver.place_all()
    assert second.executor == f"{OTHER}/cpu"
    await driver.ack(second)
    assert await driver.fail(second) == "retried"
    (third,) = await driver.place_all()
    assert third.attempt == 3
    assert await task(driver.store, job, "noop") == (TaskState.DISPATCHED, 3, 2)


async def test_a_confirmation_on_an_old_link_is_refused(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    old = driver.epochs[NODE]
    await driver.join(NODE, announced=(AttemptRef(placed.task, placed.grant),))
    group = records.NodeAttempts(NODE, old, (AttemptRef(placed.task, placed.grant),))
    assert [stop.grant for stop in await driver.store.commit([group])] == [placed.grant]
    assert await driver.ack(placed) == []


async def test_an_unknown_grant_is_told_to_stop(driver: StoreDriver) -> None:
    await driver.join(NODE)
    group = records.NodeAttempts(NODE, driver.epochs[NODE], (AttemptRef("j0-nowhere.noop", "made-up"),))
    assert len(await driver.store.commit([group])) == 1


async def test_the_first_result_wins_and_a_repeat_changes_nothing(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    assert await driver.finish(placed, '{"result":{"n":1}}') == ["accepted"]
    assert await driver.finish(placed, '{"result":{"n":2}}') == ["duplicate"]
    view = await driver.store.read.job(job)
    assert view is not None
    assert view.result == {"n": 1}
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_a_result_before_its_confirmation_counts(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    assert await driver.finish(placed) == ["accepted"]
    assert await driver.ack(placed) == []
    assert await status(driver.store, job) is JobStatus.COMPLETED


async def test_a_late_result_of_a_lost_attempt_wins_and_revokes_the_other(
    driver: StoreDriver, virtual_time: object
) -> None:
    await driver.join(NODE)
    await driver.join(OTHER)
    job = await driver.submit_one("noop")
    (first,) = await driver.place_all()
    await driver.ack(first)
    owner = first.executor.partition("/")[0]
    await driver.store.unlink(owner, driver.epochs[owner], goodbye=True, retention_ms=1000)
    (second,) = await driver.place_all()
    await driver.ack(second)
    finished = await driver.store.finish([records.ResultRecord(first.task, first.grant, "{}", [])])
    assert finished.verdicts == ["accepted"]
    assert [stop.grant for stop in finished.stops] == [second.grant]
    assert await driver.used(second.executor) == 1, "slots stay taken until the node confirms"
    assert await driver.fail(second, how="stopped") == "released"
    assert await driver.used(second.executor) == 0
    assert await driver.finish(second) == ["stale"]
    assert await status(driver.store, job) is JobStatus.COMPLETED


async def test_tries_are_spent_and_the_last_one_fails_the_job(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("noop", max_tries=2)
    for verdict in ("retried", "failed"):
        (placed,) = await driver.place_all()
        await driver.ack(placed)
        assert await driver.fail(placed) == verdict
    view = await driver.store.read.job(job)
    assert view is not None
    assert (view.status, view.error and view.error.message) == (JobStatus.FAILED, "It failed.")
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_a_fault_that_a_retry_cannot_help_fails_at_once(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    assert await driver.fail(placed, retryable=False) == "failed"
    assert await task(driver.store, job, "noop") == (TaskState.FAILED, 1, 1)


async def test_a_rejected_attempt_spends_no_try(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    assert await driver.fail(placed, how="lost") == "lost"
    assert await task(driver.store, job, "noop") == (TaskState.NEW, 1, 0)


async def test_messages_about_unknown_grants_change_nothing(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("noop")
    (placed,) = await driver.place_all()
    stranger = records.PlacedTask(placed.task, "made-up", 1, placed.executor, 1, job, "{}")
    assert await driver.finish(stranger) == ["stale"]
    assert await driver.fail(stranger) == "stale"
    assert await task(driver.store, job, "noop") == (TaskState.DISPATCHED, 1, 0)


async def test_scripts_are_sent_again_when_the_server_forgot_them(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.redis.script_flush()
    await driver.submit_one("noop")
    assert len(await driver.place_all()) == 1
