"""Jobs that wait for jobs: begun when those completed, failed when one of those did not."""

from __future__ import annotations

import itertools

import pytest
from tests_support.clockwork import Clockwork
from tests_support.store_driver import DEFAULT_QUEUE, RETENTION_MS, StoreDriver

from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.store import records

NODE = "n0-a-1"
MANY = 300
"""More than one script call lets go on."""


@pytest.fixture
async def driver(clockwork: Clockwork) -> StoreDriver:
    """A store whose time stands still, with a node of four slots."""
    await clockwork.driver.join(NODE, slots=4)
    return clockwork.driver


async def view_of(driver: StoreDriver, job: str) -> JobView:
    view = await driver.store.read.job(job)
    assert view is not None
    return view


async def submit(driver: StoreDriver, *after: str, names: tuple[str, ...] = ("a",)) -> str:
    return await driver.submit_one(*names, after=list(after))


async def begin(driver: StoreDriver) -> list[records.PlacedTask]:
    placed = await driver.place_all()
    await driver.ack(*placed)
    return placed


async def work_off(driver: StoreDriver) -> list[str]:
    """Do all that can be placed; return the jobs in their order."""
    order: list[str] = []
    while placed := await begin(driver):
        for task in placed:
            await driver.finish(task)
            order.append(task.job)
    return order


async def fail_job(driver: StoreDriver) -> None:
    """Fail the one task that can be placed for good."""
    (task,) = await begin(driver)
    assert await driver.fail(task, retryable=False) == "failed"


async def test_a_job_begins_in_the_step_that_completes_the_last_one_it_waits_for(driver: StoreDriver) -> None:
    one, other = await submit(driver), await submit(driver)
    job = await submit(driver, one, other)
    waiting = await view_of(driver, job)
    assert (waiting.status, waiting.after, waiting.waits_for) == (JobStatus.PENDING, (one, other), (one, other))
    first, second = await begin(driver)
    await driver.finish(first)
    assert (await view_of(driver, job)).waits_for == (second.job,)
    assert await driver.place_all() == []
    finished = await driver.store.finish([records.ResultRecord(second.task, second.grant, "{}", [])])
    assert finished.queues, "nobody is told to place the job"
    assert [task.job for task in await driver.place_all()] == [job]
    begun = await view_of(driver, job)
    assert (begun.after, begun.waits_for) == ((one, other), ())


async def test_a_job_that_has_completed_is_not_waited_for(driver: StoreDriver) -> None:
    one = await submit(driver)
    await work_off(driver)
    submitted = await driver.submit(driver.job_record({"a": ()}, after=[one]))
    assert (submitted.jobs[0].after, submitted.jobs[0].awaits) == (one, "")
    assert await work_off(driver) == [submitted.jobs[0].id]


async def test_jobs_of_one_call_may_wait_for_earlier_ones_of_it(driver: StoreDriver) -> None:
    one = driver.job_record({"a": ()})
    other = driver.job_record({"a": ()}, after=[one.id])
    third = driver.job_record({"a": (), "b": ("a",)}, after=[one.id, other.id])
    await driver.submit(one, other, third)
    assert await work_off(driver) == [one.id, other.id, third.id, third.id]
    assert (await view_of(driver, third.id)).status is JobStatus.COMPLETED


async def test_a_repeated_job_of_a_call_is_waited_for_as_the_first_one(driver: StoreDriver) -> None:
    first = (await driver.submit(driver.job_record({"a": ()}, key="k"))).jobs[0].id
    again = driver.job_record({"a": ()}, key="k")
    new = driver.job_record({"a": ()}, after=[again.id])
    submitted = await driver.submit(again, new)
    assert [(job.id, job.created) for job in submitted.jobs] == [(first, False), (new.id, True)]
    assert submitted.jobs[1].awaits == first
    assert await work_off(driver) == [first, new.id]


async def test_a_call_that_waits_for_an_unknown_job_is_not_accepted_at_all(driver: StoreDriver) -> None:
    good, bad = driver.job_record({"a": ()}), driver.job_record({"a": ()}, after=["j0-none"])
    submitted = await driver.submit(good, bad)
    assert (submitted.unknown, submitted.jobs) == ("j0-none", [])
    assert (await driver.store.read.jobs(status=None, offset=0, limit=10))[1] == 0


async def test_a_repeated_submission_is_answered_when_what_it_waited_for_is_gone(driver: StoreDriver) -> None:
    one = await submit(driver)
    first = (await driver.submit(driver.job_record({"a": ()}, key="k", after=[one]))).jobs[0].id
    await work_off(driver)
    assert await driver.store.forget(one, inputs=[])
    again = await driver.submit(driver.job_record({"a": ()}, key="k", after=[one]))
    assert [(job.id, job.created) for job in again.jobs] == [(first, False)]


@pytest.mark.parametrize(("cancelled", "how"), [(False, "failed"), (True, "was cancelled")])
async def test_a_job_fails_with_what_it_waits_for(driver: StoreDriver, *, cancelled: bool, how: str) -> None:
    one = await submit(driver)
    job = await submit(driver, one)
    third = await submit(driver, job)
    if cancelled:
        await driver.store.cancel(one, cursor=0, sweep=False)
    else:
        await fail_job(driver)
    assert not (await driver.reap()).more, "those that wait for one that fails now fail with it"
    for name, parent, sentence in ((job, one, how), (third, job, "failed")):
        failed = await view_of(driver, name)
        assert (failed.status, failed.waits_for) == (JobStatus.FAILED, ())
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == ("dependency-failed", f"{parent} {sentence}")
    assert await driver.place_all() == []
    assert sorted(await driver.store.read.dirty_jobs(10)) == sorted({job, third})


async def test_a_job_that_waits_for_one_that_has_failed_fails_at_the_next_tick(driver: StoreDriver) -> None:
    one = await submit(driver)
    await fail_job(driver)
    job = await submit(driver, one)
    assert await driver.place_all() == []
    await driver.reap()
    assert (await view_of(driver, job)).status is JobStatus.FAILED


async def test_a_retry_before_anybody_looked_lets_others_wait_on(driver: StoreDriver) -> None:
    one = await submit(driver)
    job = await submit(driver, one)
    await fail_job(driver)
    await driver.store.retry(one, cursor=0)
    await driver.reap()
    assert (await view_of(driver, job)).waits_for == (one,)
    assert await work_off(driver) == [one, job]


async def test_a_job_that_failed_with_another_waits_for_it_again_when_both_are_retried(driver: StoreDriver) -> None:
    one = await submit(driver)
    job = await submit(driver, one, names=("a", "b"))
    await fail_job(driver)
    await driver.reap()
    await driver.store.cancel(job, cursor=0, sweep=True)
    await driver.store.retry(one, cursor=0)
    await driver.store.retry(job, cursor=0)
    assert (await view_of(driver, job)).waits_for == (one,)
    assert await work_off(driver) == [one, job, job]
    assert (await view_of(driver, job)).status is JobStatus.COMPLETED


async def test_a_retry_begins_at_once_when_what_it_waited_for_has_completed(driver: StoreDriver) -> None:
    one = await submit(driver)
    job = await submit(driver, one)
    await driver.store.cancel(job, cursor=0, sweep=False)
    await work_off(driver)
    await driver.store.retry(job, cursor=0)
    assert await work_off(driver) == [job]


async def test_a_retry_fails_again_while_what_it_waits_for_has_failed_or_gone(driver: StoreDriver) -> None:
    one = await submit(driver)
    job = await submit(driver, one)
    await driver.store.cancel(one, cursor=0, sweep=False)
    for how in ("was cancelled", "is gone"):
        await driver.reap()
        failed = await view_of(driver, job)
        assert failed.error is not None
        assert failed.error.message == f"{one} {how}"
        await driver.store.forget(one, inputs=[])
        await driver.store.retry(job, cursor=0)
    assert await driver.place_all() == []


async def test_a_job_without_tasks_is_planned_only_when_it_goes_on(driver: StoreDriver) -> None:
    one = await submit(driver)
    job = await driver.submit_one(after=[one], outcome_of="")
    assert await driver.store.read.dirty_jobs(10) == []
    # A planner that saw it in the moment before it waited, or a chain that was to be decided anew.
    expanded = await driver.store.expand(records.ExpandPiece(job, 1, "", [], last=True, queues={}))
    assert not expanded.applied
    await work_off(driver)
    assert await driver.store.read.dirty_jobs(10) == [job]


async def test_tasks_that_wait_for_more_than_the_job_go_on_waiting_for_that(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
    one = await submit(driver)
    job = await driver.submit_one("a", inputs=["a0-up"], after=[one])
    assert await work_off(driver) == [one]
    await driver.store.complete_artifact("a0-up", doc="{}")
    assert await work_off(driver) == [job]


async def test_many_that_wait_for_one_go_on_in_bounded_steps(driver: StoreDriver) -> None:
    one = await submit(driver)
    for start in range(0, MANY, 100):
        await driver.submit(*(driver.job_record({"a": ()}, after=[one]) for _ in range(start, start + 100)))
    await work_off_one(driver)
    waiting = len(await driver.redis.smembers(f"{driver.store.keys.job(one)}:followers"))
    assert 0 < waiting < MANY
    await driver.store.forget(one, inputs=[])
    assert await driver.store.read.job(one), "it went before all knew how it ended"
    while (await driver.reap()).more:
        pass
    assert await driver.redis.zcard(driver.store.keys.queue_tenant(DEFAULT_QUEUE.id, "default")) == MANY


async def test_jobs_that_complete_together_are_taken_out_of_what_waits_for_them_together(driver: StoreDriver) -> None:
    leaders = [await submit(driver) for _ in range(4)]
    job = await submit(driver, *leaders)
    placed = {task.job: task for task in await begin(driver)}
    done = [placed[leader] for leader in leaders[::3]]
    await driver.store.finish([records.ResultRecord(task.task, task.grant, "{}", []) for task in done])
    assert (await view_of(driver, job)).waits_for == tuple(leaders[1:3])
    done = [placed[leader] for leader in leaders[1:3]]
    await driver.store.finish([records.ResultRecord(task.task, task.grant, "{}", []) for task in done])
    assert (await view_of(driver, job)).waits_for == ()
    assert [task.job for task in await begin(driver)] == [job]


async def test_each_of_many_that_wait_for_many_is_looked_at_once(driver: StoreDriver) -> None:
    """Some hundred pairs a call, as many of them as there are: what looks at each pair by itself never ends."""
    await driver.join("n0-b-1", slots=60)
    leaders = [driver.job_record({"a": ()}) for _ in range(60)]
    await driver.submit(*leaders)
    names = [leader.id for leader in leaders]
    await driver.submit(*(driver.job_record({"a": ()}, after=names) for _ in range(100)))
    placed = await begin(driver)
    assert len(placed) == len(leaders)
    await driver.store.finish([records.ResultRecord(task.task, task.grant, "{}", []) for task in placed])
    queue = driver.store.keys.queue_tenant(DEFAULT_QUEUE.id, "default")
    begun = [await driver.redis.zcard(queue)]
    while begun[-1] < 100:
        await driver.reap()
        begun.append(await driver.redis.zcard(queue))
    assert len(begun) <= 8
    assert all(after - before <= 40 for before, after in itertools.pairwise(begun)), "one call did too much"


async def work_off_one(driver: StoreDriver) -> None:
    (task,) = await begin(driver)
    await driver.finish(task)


async def test_a_cancelled_job_is_not_begun_by_what_it_waited_for(driver: StoreDriver) -> None:
    one = await submit(driver)
    job = await submit(driver, one)
    await driver.store.cancel(job, cursor=0, sweep=False)
    assert await work_off(driver) == [one]
    view = await view_of(driver, job)
    assert (view.status, view.tasks[0].state) == (JobStatus.CANCELLED, TaskState.CANCELLED)


async def test_nothing_is_left_of_jobs_that_waited_once_they_are_forgotten(driver: StoreDriver) -> None:
    before = await driver.key_names()
    one = await submit(driver)
    job = await submit(driver, one)
    await work_off(driver)
    for name in (job, one):
        assert await driver.store.forget(name, inputs=[])
    left = {name for name in await driver.key_names() - before if ":vtime:" not in name and ":vclock:" not in name}
    assert {name.rpartition(":")[2] for name in left} <= {"events", "since-batch", "version", "waiting:version"}
