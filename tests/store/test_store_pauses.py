"""Pauses of jobs, nodes and the fleet: nothing begins, what was done stays, and all goes on where it was."""

from __future__ import annotations

import pytest
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.pausing import events, held, pause, resume, view
from tests_support.store_driver import DEFAULT_QUEUE, RETENTION_MS, StoreDriver

from mediafleet.domain.event import EventType
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.limits import TaskLimits
from mediafleet.store import Store, records

NODE, OTHER = "n0-a-1", "n0-b-1"


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


# --- a job ---------------------------------------------------------------------------------


async def test_nothing_of_a_paused_job_begins_and_what_runs_finishes(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=4)
    job = await driver.submit_one("a", "b", "c", outcome_of="")
    (running,) = await driver.place_all(limit=1)
    await driver.ack(running)
    assert await pause(driver, job) == []
    paused = await view(driver, job)
    assert (paused.status, paused.finishing, paused.paused_ms is not None) == (JobStatus.PAUSED, 1, True)
    assert await driver.place_all() == []
    assert await driver.finish(running) == ["accepted"]
    assert (await view(driver, job)).finishing == 0
    assert len(await held(driver, job)) == 2
    assert await driver.used(f"{NODE}/cpu") == 0


async def test_a_resumed_job_goes_on_in_the_order_that_its_tasks_had(driver: StoreDriver) -> None:
    early = await driver.submit_one("a")
    late = await driver.submit_one("b")
    await pause(driver, early)
    await driver.join(NODE, slots=1)
    assert await resume(driver, early) == [DEFAULT_QUEUE.id]
    (first,) = await driver.place_all()
    assert first.job == early, "it came back behind one that had come later"
    assert (await view(driver, early)).status is JobStatus.PENDING
    await driver.finish(first)
    assert [placed.job for placed in await driver.place_all()] == [late]


async def test_a_large_job_leaves_its_queue_and_comes_back_in_pieces(driver: StoreDriver) -> None:
    names = [f"t{number}" for number in range(700)]
    job = await driver.submit_one(*names)
    first = await driver.store.pause(job, cursor=0, now=False)
    assert first.cursor == 256
    await pause(driver, job)
    assert set(await held(driver, job)) == set(names)
    assert (await driver.store.read.waiting_queues())[1] == []
    piece = await driver.store.resume(job, first=True)
    assert piece.left
    await resume(driver, job)
    assert await held(driver, job) == []
    assert await driver.store.read.count_queued([DEFAULT_QUEUE.id]) == 700


@pytest.mark.parametrize("is_confirmed", [True, False], ids=["running", "on its way"])
async def test_what_is_stopped_at_once_waits_again_and_no_try_is_spent(
    driver: StoreDriver, *, is_confirmed: bool
) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    if is_confirmed:
        await driver.ack(placed)
    stops = await pause(driver, job, now=True)
    assert [(stop.task, stop.grant, stop.executor) for stop in stops] == [(placed.task, placed.grant, placed.executor)]
    (task,) = (await view(driver, job)).tasks
    assert (task.state, task.tries) == (TaskState.NEW, 0)
    assert await driver.used(f"{NODE}/cpu") == 1, "its slots are free only when its node confirms"
    assert await driver.finish(placed) == ["stale"]
    await resume(driver, job)
    (again,) = await driver.place_all()
    assert again.attempt == 2
    assert await driver.finish(again) == ["accepted"]


async def test_a_node_that_confirms_frees_the_slots_of_what_was_stopped(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await pause(driver, job, now=True)
    assert await driver.fail(placed, how="stopped") == "released"
    assert await driver.used(f"{NODE}/cpu") == 0
    assert await held(driver, job) == ["a"]


async def test_many_pauses_at_once_do_not_make_a_task_wait_longer(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=16)
    job = await driver.submit_one("a")
    for _ in range(6):
        (placed,) = await driver.place_all()
        await pause(driver, job, now=True)
        await driver.fail(placed, how="stopped")
        await resume(driver, job)
    assert [placed.attempt for placed in await driver.place_all()] == [7]


async def test_finished_tasks_keep_their_results_when_the_others_are_stopped(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    job = await driver.submit_one("a", "b")
    done, running = await driver.place_all()
    await driver.finish(done, '{"result":{"n":1}}')
    await pause(driver, job, now=True)
    await resume(driver, job)
    states = {task.id: task.state for task in (await view(driver, job)).tasks}
    assert states == {done.task: TaskState.DONE, running.task: TaskState.NEW}


async def test_a_pause_is_safe_to_repeat_and_stops_what_a_soft_one_left(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a", "b")
    (placed,) = await driver.place_all()
    await pause(driver, job)
    version = (await view(driver, job)).version
    await pause(driver, job)
    assert (await view(driver, job)).version == version
    assert [stop.grant for stop in await pause(driver, job, now=True)] == [placed.grant]
    assert sorted(await held(driver, job)) == ["a", "b"]
    assert await events(driver) == [EventType.JOB_PAUSED]


async def test_a_resume_is_safe_to_repeat(driver: StoreDriver) -> None:
    job = await driver.submit_one("a")
    await pause(driver, job)
    await resume(driver, job)
    version = (await view(driver, job)).version
    await resume(driver, job)
    assert (await view(driver, job)).version == version
    assert await events(driver) == [EventType.JOB_PAUSED, EventType.JOB_RESUMED]


async def test_pausing_raises_the_version_of_a_job_so_that_a_plan_looks_again(driver: StoreDriver) -> None:
    job = driver.job_record({"a": ()}, outcome_of="")
    await driver.submit(job)
    before = await driver.store.read.plan_state(job.id)
    await pause(driver, job.id)
    after = await driver.store.read.plan_state(job.id)
    assert before is not None
    assert after is not None
    assert after.version == before.version + 1
    stale = records.ExpandPiece(job.id, before.version, "", [], last=True, queues={})
    assert not (await driver.store.expand(stale)).applied


async def test_tasks_that_a_plan_adds_to_a_paused_job_are_held(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=4)
    job = driver.job_record({"a": ()}, outcome_of="")
    await driver.submit(job)
    (running,) = await driver.place_all()
    await pause(driver, job.id)
    await driver.finish(running)
    state = await driver.store.read.plan_state(job.id)
    assert state is not None
    more = driver.job_record({"b": ()})
    (task,) = more.tasks
    # As a plan would name it: of the job that is paused.
    added = records.TaskRecord(
        **{name: getattr(task, name) for name in task.__struct_fields__ if name not in {"id", "job"}},
        id=f"{job.id}.b",
        job=job.id,
    )
    piece = records.ExpandPiece(job.id, state.version, "", [added], last=True, queues=driver.queues)
    assert (await driver.store.expand(piece)).applied
    assert await driver.place_all() == []
    assert await held(driver, job.id) == ["b"]
    await resume(driver, job.id)
    assert [placed.task for placed in await driver.place_all()] == [f"{job.id}.b"]


async def test_a_task_that_waits_for_another_is_held_when_that_is_done(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = driver.job_record({"a": (), "b": ("a",)})
    await driver.submit(job)
    (placed,) = await driver.place_all()
    await pause(driver, job.id)
    await driver.finish(placed)
    assert await driver.place_all() == []
    assert await held(driver, job.id) == ["b"]
    await resume(driver, job.id)
    assert len(await driver.place_all()) == 1


async def test_a_retry_of_a_paused_job_waits_until_it_goes_on(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await pause(driver, job)
    assert await driver.fail(placed) == "retried"
    assert await driver.place_all() == []
    assert await held(driver, job) == ["a"]


async def test_a_back_off_that_ends_in_a_pause_waits_for_its_end(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await driver.fail(placed, delays=[1_000])
    await pause(driver, job)
    assert await held(driver, job) == []
    await clockwork.pass_ms(2_000)
    assert await held(driver, job) == ["a"]
    await resume(driver, job)
    assert len(await driver.place_all()) == 1


async def test_a_paused_job_can_be_cancelled_and_leaves_nothing_behind(driver: StoreDriver) -> None:
    job = await driver.submit_one("a", "b")
    await pause(driver, job)
    await driver.store.cancel(job, cursor=0, sweep=False)
    found = await view(driver, job)
    assert (found.status, found.paused_ms) == (JobStatus.CANCELLED, None)
    assert await held(driver, job) == []
    assert (await driver.store.resume(job, first=True)).status == JobStatus.CANCELLED
    await driver.store.retry(job, cursor=0)
    assert (await view(driver, job)).status is JobStatus.PENDING
    assert await driver.store.read.count_queued([DEFAULT_QUEUE.id]) == 2


async def test_a_paused_job_completes_with_its_last_result(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a")
    (placed,) = await driver.place_all()
    await pause(driver, job)
    await driver.finish(placed)
    assert (await view(driver, job)).status is JobStatus.COMPLETED


async def test_a_job_whose_task_started_is_processing_again_when_it_goes_on(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = await driver.submit_one("a", "b")
    (placed,) = await driver.place_all()
    await pause(driver, job)
    await driver.ack(placed)
    about = '{"stage":"encoding"}'
    await driver.store.report([records.ProgressRecord(placed.task, placed.grant, 0.5, "encoding", about, eta_ms=900)])
    found = await view(driver, job)
    assert (found.status, found.progress) == (JobStatus.PAUSED, 0.25)
    assert found.eta_ms is None, "nobody knows when somebody resumes it"
    await resume(driver, job)
    assert (await view(driver, job)).status is JobStatus.PROCESSING


async def test_an_upload_that_completes_in_a_pause_leaves_the_job_paused(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-1", doc="{}", state="open", retention_ms=RETENTION_MS)
    job = await driver.submit_one("a", inputs=["a0-1"])
    await pause(driver, job)
    await driver.store.complete_artifact("a0-1", doc="{}")
    assert (await view(driver, job)).status is JobStatus.PAUSED
    assert await held(driver, job) == ["a"]
    await resume(driver, job)
    assert (await view(driver, job)).status is JobStatus.PENDING


async def test_a_resume_while_an_upload_goes_on_says_uploading(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-1", doc="{}", state="open", retention_ms=RETENTION_MS)
    job = await driver.submit_one("a", inputs=["a0-1"])
    await pause(driver, job)
    await resume(driver, job)
    assert (await view(driver, job)).status is JobStatus.UPLOADING


async def test_of_another_job_nothing_is_held(driver: StoreDriver) -> None:
    paused, other = await driver.submit_one("a"), await driver.submit_one("b")
    await pause(driver, paused)
    await driver.join(NODE, slots=4)
    assert [placed.job for placed in await driver.place_all()] == [other]


async def test_an_unknown_or_ended_job_is_not_paused(driver: StoreDriver) -> None:
    assert (await driver.store.pause("j0-none", cursor=0, now=True)).status == ""
    assert (await driver.store.resume("j0-none", first=True)).status == ""
    job = await driver.submit_one("a")
    await driver.store.cancel(job, cursor=0, sweep=False)
    assert (await driver.store.pause(job, cursor=0, now=False)).status == JobStatus.CANCELLED
    assert (await view(driver, job)).status is JobStatus.CANCELLED


# --- callers that die ----------------------------------------------------------------------


@pytest.mark.parametrize("now", [False, True])
async def test_the_reaper_ends_a_pause_that_its_caller_did_not(clockwork: Clockwork, *, now: bool) -> None:
    driver = clockwork.driver
    await driver.join(NODE, slots=8)
    job = await driver.submit_one(*(f"t{number}" for number in range(300)))
    await driver.store.pause(job, cursor=0, now=now)
    # What no piece has reached yet may begin until then.
    late = await driver.place_all()
    await driver.ack(*late)
    ticks = await clockwork.pass_ms(11_000)
    stopped = {stop.grant for tick in ticks for stop in tick.halted}
    assert stopped == ({placed.grant for placed in late} if now else set())
    assert len(await held(driver, job)) == (300 if now else 300 - len(late))
    assert await driver.place_all() == []


async def test_the_reaper_ends_a_resume_that_its_caller_did_not(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    job = await driver.submit_one(*(f"t{number}" for number in range(300)))
    await pause(driver, job)
    assert (await driver.store.resume(job, first=True)).left
    await clockwork.pass_ms(11_000)
    assert await held(driver, job) == []
    assert await driver.store.read.count_queued([DEFAULT_QUEUE.id]) == 300


async def test_a_pause_that_comes_while_a_job_goes_on_has_the_last_word(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    job = await driver.submit_one(*(f"t{number}" for number in range(300)))
    await pause(driver, job)
    await driver.store.resume(job, first=True)
    await pause(driver, job)
    assert not (await driver.store.resume(job, first=False)).left, "the old resume goes on"
    await clockwork.pass_ms(11_000)
    assert len(await held(driver, job)) == 300


async def test_a_resume_that_comes_while_a_job_is_paused_has_the_last_word(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    job = await driver.submit_one(*(f"t{number}" for number in range(300)))
    piece = await driver.store.pause(job, cursor=0, now=False)
    await resume(driver, job)
    assert (await driver.store.pause(job, cursor=piece.cursor, now=False)).cursor == 0
    await clockwork.pass_ms(11_000)
    assert await driver.store.read.count_queued([DEFAULT_QUEUE.id]) == 300


# --- time ----------------------------------------------------------------------------------


async def test_the_deadline_of_a_job_stands_still_while_it_is_paused(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    job = await driver.submit_one("a", deadline=clockwork.time() + 5_000)
    await clockwork.pass_ms(2_000)
    await pause(driver, job)
    await clockwork.pass_ms(20_000)
    assert (await view(driver, job)).status is JobStatus.PAUSED
    await resume(driver, job)
    await clockwork.pass_ms(2_500)
    assert (await view(driver, job)).status is JobStatus.PENDING
    await clockwork.pass_ms(1_000)
    assert (await view(driver, job)).status is JobStatus.FAILED


async def test_the_deadline_of_a_task_stands_still_while_its_job_is_paused(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    limits = TaskLimits(deadline_ms=clockwork.time() + 5_000)
    job = await driver.submit_one("a", limits=limits)
    await clockwork.pass_ms(4_000)
    await pause(driver, job)
    await clockwork.pass_ms(61_000)
    await resume(driver, job)
    assert (await view(driver, job)).status is JobStatus.PENDING
    await clockwork.pass_ms(500)
    assert (await view(driver, job)).status is JobStatus.PENDING
    await clockwork.pass_ms(61_000)
    assert (await view(driver, job)).status is JobStatus.FAILED


@pytest.mark.parametrize("what", ["job", "fleet"])
async def test_no_task_waits_too_long_for_an_executor_while_it_is_paused(clockwork: Clockwork, what: str) -> None:
    driver = clockwork.driver
    job = await driver.submit_one("a", limits=TaskLimits(queue_ms=3_000))
    await clockwork.pass_ms(2_000)
    if what == "job":
        await pause(driver, job)
    else:
        await driver.store.pause_fleet(paused=True, now=False)
    await clockwork.pass_ms(30_000)
    assert (await clockwork.state(job))[0] is TaskState.NEW
    await resume(driver, job)
    await driver.store.pause_fleet(paused=False, now=False)
    await clockwork.pass_ms(3_000 + 2 * TICK_MS)
    assert (await clockwork.state(job))[0] is TaskState.FAILED
