"""Reviews in the store: nobody but a person does them, nothing counts them as work, and one answer is taken."""

from __future__ import annotations

import msgspec
import pytest
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.pausing import pause, resume, view
from tests_support.reviewing import ANSWER, DOCUMENT, answer, look_again, settle, submit_reviewed, with_reviews
from tests_support.store_driver import LEASE_MS, RETENTION_MS, StoreDriver

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.event import EventType
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.plan import FinishedTask
from mediafleet.store import Store, records
from mediafleet.store.cell_records import Bounds

NODE = "n0-a-1"
CHAIN: dict[str, tuple[str, ...]] = {"recognize": (), "review": ("recognize",), "translate": ("review",)}


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


async def recognized(driver: StoreDriver, tasks: dict[str, tuple[str, ...]] = CHAIN, **how: str) -> str:
    """Return a job whose first task is done, and that was looked at since."""
    await driver.join(NODE, slots=4)
    job = await submit_reviewed(driver, tasks, "review", "second", **how)
    (first,) = await driver.place_all()
    await driver.ack(first)
    await driver.finish(first)
    await settle(driver)
    return job


async def told(driver: StoreDriver) -> list[tuple[EventType, str]]:
    """Return the events that tell of reviews, with the status that they name."""
    wanted = {EventType.JOB_ASKED, EventType.JOB_REVIEWED}
    return [(e.type, e.data["status"]) for e in await driver.store.read.past_events("0-0") if e.type in wanted]


async def test_a_job_stops_at_its_review_and_goes_on_with_what_was_put_back(driver: StoreDriver) -> None:
    job = await recognized(driver)
    waiting = await view(driver, job)
    assert (waiting.status, waiting.reviews) == (JobStatus.REVIEW, ("review",))
    assert await driver.place_all() == []
    assert await answer(driver, job) == "accepted"
    assert ((await view(driver, job)).status, (await view(driver, job)).reviews) == (JobStatus.PROCESSING, ())
    (last,) = await driver.place_all()
    assert last.task == f"{job}.translate"
    state = await driver.store.read.plan_state(job)
    assert state is not None
    assert FinishedTask("review", "person:review", TaskState.DONE, outputs=(ANSWER,)) in state.finished
    await driver.finish(last)
    await settle(driver)
    assert await told(driver) == [(EventType.JOB_ASKED, "review"), (EventType.JOB_REVIEWED, "processing")]


async def test_a_job_with_a_named_outcome_stops_and_completes_by_itself(driver: StoreDriver) -> None:
    job = await recognized(driver, outcome_of="translate")
    assert (await view(driver, job)).status is JobStatus.REVIEW
    assert await answer(driver, job) == "accepted"
    (last,) = await driver.place_all()
    await driver.finish(last)
    assert (await view(driver, job)).status is JobStatus.COMPLETED


async def test_a_job_is_not_in_review_while_anything_else_of_it_can_go_on(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=4)
    job = await submit_reviewed(driver, {"recognize": (), "review": ()}, "review")
    await settle(driver)
    assert ((await view(driver, job)).status, (await view(driver, job)).reviews) == (JobStatus.PENDING, ("review",))
    (other,) = await driver.place_all()
    await driver.ack(other)
    assert await answer(driver, job) == "stale", "what still runs may change what is looked at"
    await driver.finish(other)
    await settle(driver)
    assert (await view(driver, job)).status is JobStatus.REVIEW


async def test_a_job_with_a_named_outcome_is_looked_at_when_the_rest_of_it_is_done(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=4)
    tasks: dict[str, tuple[str, ...]] = {"review": (), "other": (), "end": ("review", "other")}
    job = await submit_reviewed(driver, tasks, "review", outcome_of="end")
    await settle(driver)
    (other,) = await driver.place_all()
    await driver.ack(other)
    await driver.finish(other)
    await settle(driver)
    assert (await view(driver, job)).status is JobStatus.REVIEW


async def test_a_review_that_a_plan_adds_is_asked_for_at_once(driver: StoreDriver) -> None:
    job = (await driver.submit(driver.job_record({}, outcome_of=""))).jobs[0].id
    (task,) = with_reviews(driver, driver.job_record({"review": ()}), "review").tasks
    added = msgspec.structs.replace(task, id=f"{job}.review", job=job)
    piece = records.ExpandPiece(job, 1, "", [added], last=True, queues=driver.queues)
    assert (await driver.store.expand(piece)).applied
    await settle(driver)
    assert (await view(driver, job)).status is JobStatus.REVIEW


async def test_a_task_that_came_while_the_plan_was_asked_keeps_the_job_out_of_review(driver: StoreDriver) -> None:
    await driver.join(NODE, slots=4)
    job = await submit_reviewed(driver, {"review": ()}, "review")
    old = await driver.store.read.plan_state(job)
    assert old is not None
    assert old.people == 1
    (other,) = driver.job_record({"late": ()}).tasks
    late = msgspec.structs.replace(other, id=f"{job}.late", job=job)
    for tasks in ([late], []):
        piece = records.ExpandPiece(job, old.version, "", tasks, last=True, queues=driver.queues, people=old.people)
        assert (await driver.store.expand(piece)).applied
        assert (await view(driver, job)).status is JobStatus.PENDING


async def test_a_review_counts_nowhere_as_work_that_waits(driver: StoreDriver) -> None:
    job = await submit_reviewed(driver, {"review": ()}, "review")
    await settle(driver)
    store = driver.store
    assert (await view(driver, job)).status is JobStatus.REVIEW
    assert await driver.redis.hgetall(store.keys.open) == {}
    assert await store.read.waiting_queues() == (0, [])
    assert await store.read.count_queued(list(await store.read.queues())) == 0
    assert (await store.read.room("kind:noop", PriorityClass.BATCH)).waiting == 0
    assert {depth.tasks for depth in (await store.read.gauges()).queues.values()} == {0}
    assert await answer(driver, job) == "accepted"
    assert await driver.redis.hgetall(store.keys.open) == {}


async def test_reviews_take_no_room_from_what_is_accepted(driver: StoreDriver) -> None:
    record = with_reviews(driver, driver.job_record({"run": (), "review": ("run",)}, outcome_of=""), "review")
    bounds = Bounds(1, 1, {})
    assert (await driver.submit(record, bounds=bounds)).full is None
    assert (await driver.submit(driver.job_record({"run": ()}), bounds=bounds)).full is not None


async def test_the_first_answer_counts(driver: StoreDriver) -> None:
    job = await recognized(driver)
    other = ArtifactRef("a0-other", "text.json")
    assert await answer(driver, job) == "accepted"
    assert await answer(driver, job, ref=other) == "duplicate"
    found = await driver.store.reviews(job)
    assert found is not None
    assert [(review.name, review.document, review.answer) for review in found.answered] == [
        ("review", DOCUMENT, ANSWER)
    ]


async def test_a_job_with_two_reviews_waits_until_both_are_answered(driver: StoreDriver) -> None:
    job = await recognized(driver, {"recognize": (), "review": ("recognize",), "second": ("recognize",)})
    assert sorted((await view(driver, job)).reviews) == ["review", "second"]
    assert await answer(driver, job) == "accepted"
    assert ((await view(driver, job)).status, (await view(driver, job)).reviews) == (JobStatus.REVIEW, ("second",))
    assert await answer(driver, job, "second") == "accepted"
    assert (await view(driver, job)).status is JobStatus.PROCESSING
    found = await driver.store.reviews(job)
    assert found is not None
    assert ([r.name for r in found.asked], [r.name for r in found.answered]) == ([], ["review", "second"])


async def test_a_review_behind_another_is_asked_when_that_is_answered(driver: StoreDriver) -> None:
    job = await recognized(driver, {"recognize": (), "review": ("recognize",), "second": ("review",)})
    assert (await view(driver, job)).reviews == ("review",)
    assert await answer(driver, job, "second") == "stale"
    assert await answer(driver, job) == "accepted"
    await settle(driver)
    assert ((await view(driver, job)).status, (await view(driver, job)).reviews) == (JobStatus.REVIEW, ("second",))


async def test_a_paused_job_takes_no_answer_and_is_in_review_again_when_it_goes_on(driver: StoreDriver) -> None:
    job = await recognized(driver)
    await pause(driver, job)
    assert (await view(driver, job)).status is JobStatus.PAUSED
    assert await answer(driver, job) == "stale"
    await resume(driver, job)
    await settle(driver)
    assert (await view(driver, job)).status is JobStatus.REVIEW
    assert await answer(driver, job) == "accepted"


async def test_a_cancelled_review_takes_no_answer_and_is_asked_again_by_a_retry(driver: StoreDriver) -> None:
    job = await recognized(driver)
    await driver.store.cancel(job, cursor=0, sweep=False)
    assert await answer(driver, job) == "stale"
    found = await driver.store.reviews(job)
    assert found is not None
    assert found.asked == []
    await driver.store.retry(job, cursor=0)
    await settle(driver)
    waiting = await view(driver, job)
    assert (waiting.status, waiting.reviews) == (JobStatus.REVIEW, ("review",))
    assert await answer(driver, job) == "accepted"


async def test_a_job_in_review_stays_with_all_that_it_has_made(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    await driver.join(NODE, slots=1)
    job = await submit_reviewed(driver, CHAIN, "review")
    (first,) = await driver.place_all()
    await driver.ack(first)
    await driver.store.open_artifact(DOCUMENT.id, doc="{}", state="complete", retention_ms=RETENTION_MS)
    await driver.store.finish([records.ResultRecord(first.task, first.grant, "{}", [DOCUMENT.id])])
    await settle(driver)
    named: list[str] = []
    for _ in range(4):
        clockwork.time.advance(RETENTION_MS)
        for reaped in await clockwork.pass_ms(2 * LEASE_MS):
            named += [*reaped.jobs, *reaped.artifacts]
    assert named == []
    assert (await view(driver, job)).status is JobStatus.REVIEW


async def test_a_deadline_ends_a_review_as_all_else(clockwork: Clockwork) -> None:
    driver = clockwork.driver
    record = driver.job_record({"review": ()}, outcome_of="", deadline=clockwork.time() + 1000)
    job = (await driver.submit(with_reviews(driver, record, "review"))).jobs[0].id
    await settle(driver)
    assert (await view(driver, job)).status is JobStatus.REVIEW
    await clockwork.pass_ms(1000 + TICK_MS)
    assert (await view(driver, job)).status is JobStatus.FAILED


async def test_an_old_look_at_a_job_changes_nothing(driver: StoreDriver) -> None:
    job = await recognized(driver)
    state = await driver.store.read.plan_state(job)
    assert state is not None
    assert await answer(driver, job) == "accepted"
    piece = records.ExpandPiece(job, state.version, "", [], last=True, queues={}, people=state.people)
    assert not (await driver.store.expand(piece)).applied
    assert await look_again(driver, job)
    assert (await view(driver, job)).status is JobStatus.PROCESSING
