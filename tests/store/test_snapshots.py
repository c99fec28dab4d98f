"""What explanations are made from, as the store has it."""

from __future__ import annotations

from typing import Any

import pytest
from tests_support.store_driver import DEFAULT_QUEUE, StoreDriver, spec

from mediafleet.domain.errors import StoreUnavailable
from mediafleet.domain.explanation import Absence, FleetSnapshot, JobWhy, Verdict, Waiting
from mediafleet.domain.lifecycle import TaskState
from mediafleet.scheduler.explainer import SHOWN_TASKS, Explainer
from mediafleet.store import Store, health


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    return StoreDriver(store)


async def why(driver: StoreDriver, job: str) -> JobWhy:
    view = await driver.store.read.job(job)
    assert view
    return await Explainer(driver.store).why(view)


async def test_the_snapshot_of_an_empty_cell_is_empty(store: Store) -> None:
    fleet = await store.read.fleet_snapshot([DEFAULT_QUEUE.requirement])
    assert fleet == FleetSnapshot(fleet.now_ms)


async def test_a_snapshot_has_the_executors_of_pools_that_match_only(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=2)
    await driver.join("n0-b-1", slots=2, capabilities=("lang:en",))
    await driver.submit_one("run")
    await driver.place_all()
    fleet = await driver.store.read.fleet_snapshot([DEFAULT_QUEUE.requirement])
    assert {pool.signature.capabilities: pool.used for pool in fleet.pools} == {
        ("kind:noop",): {"n0-a-1/cpu": 1},
        ("lang:en",): {},
    }
    assert (fleet.running, fleet.waiting) == ({"default": 1}, ())


@pytest.mark.parametrize("absence", [Absence.DRAINING, Absence.UNLINKED, Absence.OFFLINE])
async def test_a_snapshot_has_the_executors_that_are_away(driver: StoreDriver, absence: Absence) -> None:
    await driver.join("n0-a-1")
    if absence is Absence.DRAINING:
        await driver.store.drain("n0-a-1", draining=True)
    else:
        goodbye = absence is Absence.OFFLINE
        await driver.store.unlink("n0-a-1", driver.epochs["n0-a-1"], goodbye=goodbye, retention_ms=60_000)
    fleet = await driver.store.read.fleet_snapshot([DEFAULT_QUEUE.requirement])
    assert [(one.executor, one.absence) for one in fleet.absent] == [("n0-a-1/cpu", absence)]


async def test_a_snapshot_has_what_is_held_and_for_which_queue(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=2)
    await driver.submit_one("run")
    await driver.place_all()
    wide = spec(slots=2)
    job = await driver.submit_one("run", spec=wide)
    for _ in range(2):
        await driver.place_waiting(hold_after_ms=0)
    fleet = await driver.store.read.fleet_snapshot([wide.requirement])
    assert [(one.executor, one.absence, one.held_for, one.used) for one in fleet.absent] == [
        ("n0-a-1/cpu", Absence.HELD, wide.id, 1)
    ]
    assert "It is held for tasks like this one" in str((await why(driver, job)).tasks[0].explanation)


async def test_a_task_waits_for_another_task_until_that_is_done(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    submitted = await driver.submit(driver.job_record({"first": (), "second": ("first",)}))
    job = submitted.jobs[0].id
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    found = await why(driver, job)
    assert found.sentence == f"The task second waits: It waits for {job}.first to be done."
    # Those that wait stand first.
    assert [(task.state, task.sentence) for task in found.tasks[1:]] == [
        (TaskState.ACKED, "It runs on n0-a-1/cpu, attempt 1.")
    ]
    await driver.finish(placed)
    (second, *_) = (await why(driver, job)).tasks
    assert second.explanation
    assert second.explanation.waits_for is Waiting.NOTHING


async def test_a_task_waits_for_an_upload(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-x", doc="{}", state="open", retention_ms=60_000)
    job = await driver.submit_one("run", inputs=["a0-x"])
    assert (await why(driver, job)).sentence == "The task run waits: It waits for the upload of a0-x."


async def test_a_task_that_failed_waits_until_it_is_tried_again(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    job = await driver.submit_one("run")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.fail(placed, delays=[5_000])
    (task,) = (await why(driver, job)).tasks
    assert task.explanation
    assert task.explanation.waits_for is Waiting.BACK_OFF
    assert task.explanation.starts_ms == int(await driver.redis.zscore(driver.store.keys.due, f"hold|{job}.run"))
    assert task.sentence.endswith("It failed before: It failed.")


async def test_what_a_tenant_had_in_another_queue_counts_for_its_turn(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=1)
    await driver.submit_one("run", tenant="a")
    other = spec("kind:noop", policy="pack")
    late, early = [await driver.submit_one("run", spec=other, tenant=tenant) for tenant in ("a", "b")]
    await driver.place_all()
    turns = [(await why(driver, job)).tasks[0].explanation for job in (late, early)]
    assert [found.turn.tenant for found in turns if found and found.turn] == [2, 1]


async def test_a_job_of_many_tasks_is_explained_in_part(driver: StoreDriver) -> None:
    job = await driver.submit_one(*(f"t{number}" for number in range(SHOWN_TASKS + 5)))
    found = await why(driver, job)
    assert (len(found.tasks), found.tasks_left_out) == (SHOWN_TASKS, 5)


async def test_a_job_that_is_over_has_one_sentence(driver: StoreDriver) -> None:
    job = await driver.submit_one("run")
    await driver.store.cancel(job, cursor=0, sweep=False)
    found = await why(driver, job)
    assert found.sentence == "The job is cancelled."
    assert [(task.sentence, task.explanation) for task in found.tasks] == [("It was cancelled.", None)]


async def test_a_task_that_its_job_ended_before_is_not_said_to_wait(driver: StoreDriver) -> None:
    job = await driver.submit_one(*(f"t{number}" for number in range(SHOWN_TASKS)))
    await driver.redis.hset(driver.store.keys.job(job), "status", "failed")
    assert {task.sentence for task in (await why(driver, job)).tasks} == {"It never began, and the job is over."}


async def test_asking_writes_nothing(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    job = await driver.submit_one("run")
    before = {name: await driver.redis.dump(name) for name in await driver.key_names()}
    await why(driver, job)
    assert {name: await driver.redis.dump(name) for name in await driver.key_names()} == before


async def test_a_store_that_is_away_is_said_to_be(lost_store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        await lost_store.read.fleet_snapshot([])
    with pytest.raises(StoreUnavailable):
        await lost_store.read.task_snapshots(["j0-a.run"])


async def test_a_pool_whose_executors_have_left_is_not_shown(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", live_reserve=1, priority=3, slots=2)
    (pool,) = await driver.store.read.pools()
    assert (pool.live_reserve, pool.priority) == (1, 3)
    await driver.store.drain("n0-a-1", draining=True)
    assert await driver.store.read.pools() == []


@pytest.mark.parametrize(
    ("standing", "absence", "reason"),
    [
        ({"pressed": "disk 99% in use"}, Absence.DEGRADED, "disk 99% in use"),
        ({"warming": True}, Absence.WARMUP, "finding out"),
    ],
)
async def test_a_snapshot_says_why_a_node_takes_nothing(
    driver: StoreDriver, standing: dict[str, Any], absence: Absence, reason: str
) -> None:
    await driver.join("n0-a-1", **standing)
    (one,) = (await driver.store.read.fleet_snapshot([DEFAULT_QUEUE.requirement])).absent
    assert one.absence is absence
    assert reason in one.reason


async def test_a_job_says_what_an_executor_lacked_that_it_needs(driver: StoreDriver) -> None:
    await driver.join("n0-a-1")
    job = await driver.submit_one("run")
    (placed,) = await driver.place_all()
    await driver.fail(placed, how="lost")
    report = health.MissingReport("n0-a-1", placed.task, placed.grant, "kind:noop", "No model.")
    await driver.store.withhold([report], span_ms=1_000, longest_ms=1_000)
    (task,) = (await why(driver, job)).tasks
    assert task.explanation
    (executor,) = task.explanation.executors
    assert (executor.verdict, "No model" in executor.reason) == (Verdict.WITHHELD, True)
