"""The time limits of tasks: each ends what it is for, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.store_driver import DEFAULT_QUEUE, LEASE_MS, RESERVE_MS, StoreDriver

from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.limits import USUAL, TaskLimits, encode_limits, show_limits
from mediafleet.store import Store, records

NODE, OTHER = "n0-a-1", "n0-b-1"


async def report(driver: StoreDriver, placed: records.PlacedTask, fraction: float, stage: str = "encoding") -> None:
    """Let a node report progress, and that it lives."""
    about = f'{{"stage":"{stage}"}}'
    await driver.store.report([records.ProgressRecord(placed.task, placed.grant, fraction, stage, about)])


async def begun(driver: StoreDriver, **limits: int) -> tuple[str, records.PlacedTask]:
    """Return a job whose task runs under these limits."""
    job = await driver.submit_one("noop", limits=TaskLimits(**limits))
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    return job, placed


async def error_of(store: Store, job: str) -> str:
    view = await store.read.job(job)
    assert view is not None
    error = view.tasks[0].error
    return error.code if error else ""


async def due(driver: StoreDriver) -> set[str]:
    """Return the first words of what is timed."""
    return {entry.decode().partition("|")[0] for entry in await driver.redis.zrange(driver.store.keys.due, 0, -1)}


# --- accept --------------------------------------------------------------------------------


@pytest.mark.parametrize("accept_ms", [2_000, 9_000])
async def test_a_placed_task_waits_for_its_node_as_long_as_it_says(clockwork: Clockwork, accept_ms: int) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop", limits=TaskLimits(accept_ms=accept_ms))
    await clockwork.driver.place_all()
    await clockwork.pass_ms(accept_ms - TICK_MS)
    assert (await clockwork.state(job))[0] is TaskState.DISPATCHED
    await clockwork.pass_ms(2 * TICK_MS)
    assert await clockwork.state(job) == (TaskState.NEW, 1, 0), "no try is spent"


# --- queue ---------------------------------------------------------------------------------


async def test_a_task_that_waits_too_long_for_an_executor_fails_its_job(clockwork: Clockwork) -> None:
    job = await clockwork.driver.submit_one("noop", limits=TaskLimits(queue_ms=3_000))
    await clockwork.pass_ms(2_500)
    assert (await clockwork.state(job))[0] is TaskState.NEW
    ticks = await clockwork.pass_ms(1_000)
    assert [tick.expired for tick in ticks if tick.expired] == [{"queued": 1}]
    view = await clockwork.store.read.job(job)
    assert view is not None
    assert (view.status, view.tasks[0].state, await error_of(clockwork.store, job)) == (
        JobStatus.FAILED,
        TaskState.FAILED,
        "queue-timeout",
    )
    await clockwork.driver.join(NODE)
    assert await clockwork.driver.place_all() == [], "nothing of it is left in the queue"


async def test_a_task_that_got_an_executor_does_not_wait_any_more(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job, placed = await begun(clockwork.driver, queue_ms=2_000)
    report = records.NodeReport(NODE, clockwork.driver.epochs[NODE], "{}", ())
    await clockwork.store.renew([report], lease_ms=LEASE_MS)
    await clockwork.pass_ms(4_000)
    assert (await clockwork.state(job))[0] is TaskState.ACKED
    assert await clockwork.driver.finish(placed) == ["accepted"]


async def test_a_task_that_comes_back_begins_to_wait_anew(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job, placed = await begun(clockwork.driver, queue_ms=2_000)
    await clockwork.pass_ms(1_500)
    await clockwork.driver.fail(placed, delays=[1_000])
    await clockwork.pass_ms(2_500)
    assert (await clockwork.state(job))[0] is TaskState.NEW, "the back-off is no waiting"
    await clockwork.pass_ms(1_500)
    assert (await clockwork.state(job))[0] is TaskState.FAILED


async def test_time_in_which_nobody_could_place_is_no_waiting(clockwork: Clockwork) -> None:
    job = await clockwork.driver.submit_one("noop", limits=TaskLimits(queue_ms=2_000))
    clockwork.time.advance(10 * LEASE_MS)
    assert (await clockwork.driver.reap()).grace
    assert (await clockwork.state(job))[0] is TaskState.NEW
    await clockwork.driver.join(NODE)
    assert len(await clockwork.driver.place_all()) == 1


# --- progress ------------------------------------------------------------------------------


async def pass_alive(clockwork: Clockwork, placed: records.PlacedTask, ms: int) -> list[records.Stop]:
    """Let time pass on a node that lives and says what it runs; return whom it was told to stop."""
    stops: list[records.Stop] = []
    for _ in range(0, ms, TICK_MS):
        running = (records.AttemptRef(placed.task, placed.grant),)
        epoch = clockwork.driver.epochs[placed.executor.partition("/")[0]]
        node = placed.executor.partition("/")[0]
        await clockwork.store.renew([records.NodeReport(node, epoch, "{}", running)], lease_ms=LEASE_MS)
        stops += [stop for tick in await clockwork.pass_ms(TICK_MS) for stop in tick.stops]
    return stops


async def test_an_attempt_that_stands_still_is_stopped_and_tried_on_another_node(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE, slots=2)
    job, placed = await begun(driver, progress_ms=3_000)
    await driver.join(OTHER, slots=1)
    stops = await pass_alive(clockwork, placed, 3_500)
    assert [(stop.task, stop.grant, stop.executor) for stop in stops] == [(placed.task, placed.grant, placed.executor)]
    assert await clockwork.state(job) == (TaskState.NEW, 1, 1)
    assert await error_of(clockwork.store, job) == "stalled"
    assert await driver.used(f"{NODE}/cpu") == 1, "its slot is free when the node confirms"
    await clockwork.pass_ms(TICK_MS)
    (again,) = await driver.place_all()
    assert again.executor == f"{OTHER}/cpu"
    assert await driver.finish(placed) == ["stale"], "what it gives after all is not taken"
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_progress_puts_the_end_off_and_mere_talk_does_not(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    job, placed = await begun(driver, progress_ms=2_000)
    for step in range(1, 5):
        await report(driver, placed, step / 10)
        assert await pass_alive(clockwork, placed, 1_500) == []
    await report(driver, placed, 0.4, stage="verifying")
    assert await pass_alive(clockwork, placed, 1_500) == [], "another stage is progress"
    await report(driver, placed, 0.4, stage="verifying")
    assert len(await pass_alive(clockwork, placed, 1_000)) == 1, "the same again is none"
    assert (await clockwork.state(job))[2] == 1


async def test_a_task_that_stalls_each_time_is_a_dead_letter_that_says_so(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    job = await driver.submit_one("noop", limits=TaskLimits(progress_ms=2_000), max_tries=1)
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await pass_alive(clockwork, placed, 2_500)
    (letter,), _ = await clockwork.store.read.dead_letters(offset=0, limit=5)
    assert letter.job == job
    assert (letter.error and letter.error.code) == "stalled"
    assert [end.how for end in letter.ends] == ["stalled"]


# --- deadline ------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["waits", "placed", "runs", "held"])
async def test_a_task_past_its_deadline_fails_wherever_it_stands(clockwork: Clockwork, stage: str) -> None:
    driver = clockwork.driver
    deadline = clockwork.time() + 3_000
    held: dict[str, Any] = {"not_before": clockwork.time() + 60_000} if stage == "held" else {}
    if stage in {"placed", "runs"}:
        await driver.join(NODE)
    job = await driver.submit_one("noop", limits=TaskLimits(deadline_ms=deadline), **held)
    placed = await driver.place_all()
    if stage == "runs":
        await driver.ack(*placed)
    await clockwork.pass_ms(2_500)
    assert (await clockwork.state(job))[0] is not TaskState.FAILED
    ticks = await clockwork.pass_ms(1_000)
    assert (await clockwork.state(job))[0] is TaskState.FAILED
    assert await error_of(clockwork.store, job) == "deadline-exceeded"
    assert [stop.grant for tick in ticks for stop in tick.stops] == [task.grant for task in placed]
    for task in placed:
        assert await driver.fail(task, how="stopped") == "released"
        assert await driver.used(task.executor) == 0


async def test_a_task_that_a_plan_adds_after_its_deadline_fails_at_once(clockwork: Clockwork) -> None:
    job = await clockwork.driver.submit_one("noop", limits=TaskLimits(deadline_ms=1))
    await clockwork.pass_ms(TICK_MS)
    assert (await clockwork.state(job))[0] is TaskState.FAILED


async def test_a_retry_before_the_deadline_keeps_it(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    job = await driver.submit_one("noop", limits=TaskLimits(deadline_ms=clockwork.time() + 3_000))
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.fail(placed, retryable=False)
    assert "task-deadline" not in await due(driver)
    await clockwork.store.retry(job, cursor=0)
    await clockwork.pass_ms(3_500)
    assert await error_of(clockwork.store, job) == "deadline-exceeded"


async def test_a_retry_after_the_deadline_goes_on_without_one(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    job = await driver.submit_one("noop", limits=TaskLimits(deadline_ms=clockwork.time() + 1_000))
    await clockwork.pass_ms(2_000)
    await clockwork.store.retry(job, cursor=0)
    await driver.join(NODE)
    (placed,) = await driver.place_all()
    await clockwork.pass_ms(2_000)
    assert (await clockwork.state(job))[0] is TaskState.DISPATCHED
    assert await driver.finish(placed) == ["accepted"]


# --- what is left, and what it costs ---------------------------------------------------------

ALL = {"accept_ms": 60_000, "queue_ms": 60_000, "progress_ms": 60_000}


@pytest.mark.parametrize("end", ["finish", "cancel", "fail"])
async def test_a_task_that_is_final_leaves_no_timer(clockwork: Clockwork, end: str) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    limits = TaskLimits(**ALL, deadline_ms=clockwork.time() + 60_000)
    job = await driver.submit_one("noop", limits=limits, total_ms=60_000)
    waiting = await driver.submit_one("noop", limits=limits)
    (placed,) = await driver.place_all(limit=1)
    await driver.ack(placed)
    assert {"deadline", "stalled", "task-deadline", "queued"} <= await due(driver)
    await clockwork.store.cancel(waiting, cursor=0, sweep=False)
    if end == "finish":
        await driver.finish(placed)
    elif end == "fail":
        await driver.fail(placed, retryable=False)
    else:
        await clockwork.store.cancel(job, cursor=0, sweep=False)
    assert await due(driver) == {"job", "node"}


async def test_a_task_without_limits_is_stored_and_timed_as_before(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    job = await driver.submit_one("noop")
    rule = (await driver.redis.hget(clockwork.store.keys.task(f"{job}.noop"), "rule")).decode()
    assert rule.count("|") == 6
    assert await due(driver) == {"node"}
    (placed,) = await driver.place_all()
    assert await due(driver) == {"node", "reserve"}
    await driver.ack(placed)
    assert await due(driver) == {"node"}


async def test_limits_are_read_back_as_they_were_written(clockwork: Clockwork) -> None:
    """The reservation of a task with every limit ends after its own time, not after a neighbour's."""
    await clockwork.driver.join(NODE)
    limits = TaskLimits(accept_ms=1_000, queue_ms=7_000, progress_ms=8_000, deadline_ms=clockwork.time() + 90_000)
    assert encode_limits(limits) == f"1000,7000,8000,{limits.deadline_ms}"
    job = await clockwork.driver.submit_one("noop", limits=limits)
    (placed,) = (await clockwork.driver.place(DEFAULT_QUEUE)).assignments
    score = await clockwork.driver.redis.zscore(clockwork.store.keys.due, f"reserve|{placed.task}|{placed.grant}")
    assert score == clockwork.time() + 1_000 != clockwork.time() + RESERVE_MS
    assert placed.job == job
    assert msgspec.json.decode(placed.doc)["name"] == "noop"


async def test_a_job_shows_the_limits_that_hold_for_each_of_its_tasks(clockwork: Clockwork) -> None:
    limits = TaskLimits(max_tries=2, total_ms=60_000, queue_ms=9_000)
    job = await clockwork.driver.submit_one("noop", limits=limits, max_tries=2, total_ms=60_000)
    plain = await clockwork.driver.submit_one("noop")
    shown: list[dict[str, int]] = []
    for one in (job, plain):
        view = await clockwork.store.read.job(one)
        assert view is not None
        shown.append(view.tasks[0].limits)
    assert shown == [show_limits(limits), show_limits(USUAL)]
