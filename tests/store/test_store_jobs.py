"""Accepting, planning, cancelling and reviving jobs; the artifacts they use."""

from __future__ import annotations

import msgspec
import pytest
from tests_support.store_driver import DEFAULT_QUEUE, RETENTION_MS, StoreDriver
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.errors import ConfigError, ErrorInfo
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.store import Store, records
from mediafleet.store.scripts import as_text

NODE = "n0-a-1"
ERROR = as_text(ErrorInfo("upload-aborted", "The upload broke off."))


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


async def view_of(driver: StoreDriver, job: str) -> JobView:
    view = await driver.store.read.job(job)
    assert view is not None
    return view


async def work_off(driver: StoreDriver) -> list[str]:
    """Place, confirm and finish what can be; return the names of the tasks in order."""
    names: list[str] = []
    while placed := await driver.place_all():
        for task in placed:
            await driver.ack(task)
            await driver.finish(task)
            names.append(task.task.partition(".")[2])
    return names


def piece(job: str, version: int, tasks: list[records.TaskRecord], **changes: object) -> records.ExpandPiece:
    fields: dict[str, object] = {
        "job": job,
        "version": version,
        "outcome_of": "",
        "tasks": tasks,
        "last": True,
        "queues": {DEFAULT_QUEUE.id: as_text(DEFAULT_QUEUE)},
    }
    return records.ExpandPiece(**(fields | changes))  # pyright: ignore[reportArgumentType] - the fields are named above


async def test_a_second_submission_with_the_same_key_returns_the_first_job(driver: StoreDriver) -> None:
    first = (await driver.submit(driver.job_record({"noop": ()}, key="k"))).jobs[0]
    second = (await driver.submit(driver.job_record({"noop": ()}, key="k"))).jobs[0]
    other = (await driver.submit(driver.job_record({"noop": ()}, key="k", tenant="else"))).jobs[0]
    assert (first.created, second.created, other.created) == (True, False, True)
    assert second.id == first.id != other.id
    _, total = await driver.store.read.jobs(status=None, offset=0, limit=10)
    assert total == 2


async def test_a_bulk_with_a_missing_input_is_not_accepted_at_all(driver: StoreDriver) -> None:
    good, bad = driver.job_record({"noop": ()}), driver.job_record({"noop": ()}, inputs=["a0-gone"])
    submitted = await driver.submit(good, bad)
    assert (submitted.missing, submitted.jobs) == ("a0-gone", [])
    assert (await driver.store.read.jobs(status=None, offset=0, limit=10))[1] == 0
    assert await driver.store.read.queues() == {}


async def test_a_job_waits_for_its_open_upload(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
    job = await driver.submit_one("noop", inputs=["a0-up"])
    assert (await view_of(driver, job)).status is JobStatus.UPLOADING
    assert await driver.place_all() == []
    assert (await driver.store.complete_artifact("a0-up", doc="{}")).queues == [DEFAULT_QUEUE.id]
    assert (await view_of(driver, job)).status is JobStatus.PENDING
    assert await work_off(driver) == ["noop"]
    assert not (await driver.store.complete_artifact("a0-up", doc="{}")).completed


async def test_a_job_whose_upload_is_given_up_fails_with_the_reason(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
    job = await driver.submit_one("noop", inputs=["a0-up"])
    assert await driver.store.drop_artifact("a0-up", error=ERROR, unused=False)
    view = await view_of(driver, job)
    assert (view.status, view.error and view.error.code) == (JobStatus.FAILED, "upload-aborted")
    assert await driver.store.read.dirty_jobs(10) == [job]


async def test_a_retry_at_once_after_a_lost_upload_does_not_wait_for_ever(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
    job = await driver.submit_one("noop", inputs=["a0-up"])
    await driver.store.drop_artifact("a0-up", error=ERROR, unused=False)
    # Nobody has swept the job's task yet; it still waits for bytes that will not come.
    await driver.store.retry(job, cursor=0)
    assert await work_off(driver) == ["noop"]


async def test_an_upload_that_goes_on_does_not_expire(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await driver.store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
    for _ in range(3):
        virtual_time.advance(RETENTION_MS - 1)
        assert await driver.store.prolong_artifact("a0-up", retention_ms=RETENTION_MS)
        assert (await driver.reap()).artifacts == []
    virtual_time.advance(RETENTION_MS)
    assert (await driver.reap()).artifacts == ["a0-up"]


async def test_what_is_complete_or_gone_does_not_go_on(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-done", doc="{}", state="complete", retention_ms=RETENTION_MS)
    for artifact in ("a0-done", "a0-gone"):
        assert not await driver.store.prolong_artifact(artifact, retention_ms=10 * RETENTION_MS)
        assert not await driver.store.drop_upload(artifact)


async def test_an_upload_is_dropped_once_the_last_of_its_jobs_has_ended(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
    first = await driver.submit_one("noop", inputs=["a0-up"])
    second = await driver.submit_one("noop", inputs=["a0-up"])
    await driver.store.cancel(first, cursor=0, sweep=False)
    assert not await driver.store.drop_upload("a0-up")
    assert (await view_of(driver, second)).status is JobStatus.UPLOADING
    await driver.store.cancel(second, cursor=0, sweep=False)
    assert await driver.store.drop_upload("a0-up")
    assert not [name for name in await driver.key_names() if "a0-up" in name]


async def test_an_artifact_that_a_job_uses_is_kept(driver: StoreDriver) -> None:
    await driver.store.open_artifact("a0-in", doc="{}", state="complete", retention_ms=RETENTION_MS)
    await driver.submit_one("noop", inputs=["a0-in"])
    assert not await driver.store.drop_artifact("a0-in", error=ERROR, unused=True)


async def test_tasks_run_in_the_order_of_their_dependencies(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    names: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    job = (await driver.submit(driver.job_record(names))).jobs[0].id
    done = await work_off(driver)
    assert (done[0], sorted(done[1:3]), done[3]) == ("a", ["b", "c"], "d")
    assert (await view_of(driver, job)).status is JobStatus.COMPLETED


async def test_more_children_than_one_call_touches_are_woken_by_the_reaper(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    names: dict[str, tuple[str, ...]] = {"root": ()} | {f"kid-{n}": ("root",) for n in range(300)}
    job = (await driver.submit(driver.job_record(names))).jobs[0].id
    await driver.reap()
    await driver.join(NODE)
    (root,) = await driver.place_all()
    await driver.finish(root)
    queues = list(await driver.store.read.queues())
    assert await driver.store.read.count_queued(queues) == 256
    for _ in range(40):
        virtual_time.advance(500)
        await driver.reap()
    assert await driver.store.read.count_queued(queues) == 300
    assert (await view_of(driver, job)).status is not JobStatus.FAILED


async def test_a_plan_is_applied_only_at_the_version_it_was_computed_from(driver: StoreDriver) -> None:
    job = (await driver.submit(driver.job_record({}, outcome_of=""))).jobs[0].id
    assert await driver.store.read.dirty_jobs(10) == [job]
    tasks = driver.job_record({"one": ()}).tasks
    task = msgspec.structs.replace(tasks[0], id=f"{job}.one", job=job)
    assert not (await driver.store.expand(piece(job, 7, [task]))).applied
    assert (await driver.store.expand(piece(job, 1, [task]))).applied
    assert (await driver.store.expand(piece(job, 1, [task]))).applied, "the same tasks again change nothing"
    state = await driver.store.read.plan_state(job)
    assert state is not None
    assert (state.open, state.finished) == (1, [])
    assert await driver.store.read.dirty_jobs(10) == []


async def test_a_plans_outcome_ends_the_job_and_its_open_tasks_are_swept(driver: StoreDriver) -> None:
    job = (await driver.submit(driver.job_record({"one": (), "two": ("one",)}, outcome_of=""))).jobs[0].id
    outcome = records.OutcomeRecord(JobStatus.FAILED, "error", ERROR, ERROR, [])
    assert (await driver.store.expand(piece(job, 1, [], outcome=outcome))).applied
    assert (await view_of(driver, job)).status is JobStatus.FAILED
    assert await driver.store.read.dirty_jobs(10) == [job]
    assert (await driver.store.cancel(job, cursor=0, sweep=True)).cursor == 0
    assert {task.state for task in (await view_of(driver, job)).tasks} == {TaskState.CANCELLED}
    assert await driver.store.read.dirty_jobs(10) == []


async def test_cancelling_stops_what_runs_and_empties_the_queue_in_pieces(driver: StoreDriver) -> None:
    await driver.join(NODE)
    names: dict[str, tuple[str, ...]] = {f"t-{n}": () for n in range(300)}
    job = (await driver.submit(driver.job_record(names))).jobs[0].id
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    first = await driver.store.cancel(job, cursor=0, sweep=False)
    assert (first.status, first.cursor) == ("processing", 256)
    assert [stop.grant for stop in first.stops] == [placed.grant]
    assert (await driver.store.cancel(job, cursor=256, sweep=False)).cursor == 0
    assert await driver.place_all() == []
    assert await driver.finish(placed) == ["stale"]
    assert await driver.used(f"{NODE}/cpu") == 0
    assert (await driver.store.cancel(job, cursor=0, sweep=False)).status == "cancelled"


async def test_cancelling_what_does_not_exist_says_so(driver: StoreDriver) -> None:
    assert (await driver.store.cancel("j0-none", cursor=0, sweep=False)).status == ""
    assert (await driver.store.retry("j0-none", cursor=0)).status == ""


async def test_a_failed_job_gets_another_go_and_keeps_what_was_done(driver: StoreDriver) -> None:
    await driver.join(NODE)
    job = (await driver.submit(driver.job_record({"a": (), "b": ("a",)}))).jobs[0].id
    (first,) = await driver.place_all()
    await driver.finish(first)
    (second,) = await driver.place_all()
    await driver.ack(second)
    assert await driver.fail(second, retryable=False) == "failed"
    assert (await driver.store.retry(job, cursor=0)).status == "failed"
    assert await work_off(driver) == ["b"]
    view = await view_of(driver, job)
    assert (view.status, view.error) == (JobStatus.COMPLETED, None)
    assert (await driver.store.retry(job, cursor=0)).status == "completed"


async def test_progress_is_the_mean_of_the_tasks_and_falls_with_a_retry(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=2)
    job = (await driver.submit(driver.job_record({"a": (), "b": ()}))).jobs[0].id
    one, two = await driver.place_all()
    await driver.ack(one, two)
    update = records.ProgressRecord(one.task, one.grant, 0.5, "encoding", '{"stage":"encoding"}', speed=2.0, eta_ms=900)
    assert await driver.store.report([update]) == 0
    view = await view_of(driver, job)
    assert (view.progress, view.stage, view.speed) == (0.25, "encoding", 2.0)
    assert view.eta_ms is None, "what is left of one task is not what is left of both"
    await driver.finish(two)
    assert await driver.store.report([update]) == 0
    view = await view_of(driver, job)
    assert (view.progress, view.eta_ms) == (0.75, 900)
    await driver.fail(one)
    assert (await view_of(driver, job)).progress == 0.5
    assert await driver.store.report([update]) == 1, "the attempt is not current any more"


async def test_jobs_are_listed_newest_first_by_status_and_kind(driver: StoreDriver) -> None:
    await driver.join(NODE)
    jobs = [await driver.submit_one("noop") for _ in range(3)]
    (placed,) = await driver.place_all()
    await driver.finish(placed)
    read = driver.store.read
    page, total = await read.jobs(status=None, offset=1, limit=1)
    assert ([view.id for view in page], total) == ([jobs[1]], 3)
    assert [view.id for view in (await read.jobs(status=JobStatus.COMPLETED, offset=0, limit=9))[0]] == [jobs[0]]
    assert (await read.jobs(status=None, kind="noop", offset=0, limit=9))[1] == 3
    assert (await read.jobs(status=JobStatus.PENDING, kind="noop", offset=0, limit=9))[1] == 2
    assert (await read.jobs(status=JobStatus.PENDING, kind="else", offset=0, limit=9))[1] == 0


async def test_events_tell_the_life_of_a_job_in_order(driver: StoreDriver) -> None:
    await driver.join(NODE)
    start = await driver.store.read.last_event_id()
    job = await driver.submit_one("noop")
    await work_off(driver)
    events = await driver.store.read.past_events(start)
    assert [event.type for event in events if event.job == job] == ["job.accepted", "job.started", "job.completed"]
    assert [event.id for event in await driver.store.read.events(events[0].id, block_ms=10)] == [
        e.id for e in events[1:]
    ]


async def test_every_key_belongs_to_the_cell(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("noop", key="k")
    keys = await driver.key_names()
    assert keys
    assert all(key.startswith(driver.store.keys.tag) for key in keys)


async def test_a_store_of_a_newer_version_is_refused(store: Store) -> None:
    await StoreDriver(store).redis.hset(store.keys.schema, "oldest_reader", "99")
    with pytest.raises(ConfigError, match="newer mediafleet"):
        await store.check_schema()
