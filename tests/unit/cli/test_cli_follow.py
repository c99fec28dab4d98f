"""Jobs are followed over one stream, and what a command handed in ends with it when it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli import _follow
from mediafleet.cli._follow import JobWatch, OwnJobs, moved, watching
from mediafleet.cli._output import Output
from mediafleet.client import FleetClient
from mediafleet.domain.errors import ErrorInfo, InputError, MediafleetError, NotFound, SchedulerUnavailable
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.lifecycle import JobStatus, PriorityClass

DEADLINE_S = 20.0
VIEW = JobView("j0-x", "noop", "", JobStatus.PENDING, 0.0, "", PriorityClass.BATCH, "default", 1, 1)
NOOP = Submission("noop")


@pytest.fixture
async def client(scheduler: FakeScheduler) -> AsyncGenerator[FleetClient]:
    async with FleetClient(scheduler.url) as opened:
        yield opened


@pytest.fixture
async def held(client: FleetClient, scheduler: FakeScheduler) -> JobView:
    """A job that runs until the test ends it."""
    scheduler.holding = True
    return await client.submit(NOOP)


def event(type_: EventType = EventType.JOB_PROGRESSED, **data: Any) -> Event:
    return Event("1-0", type_, 1, job="j0-x", data=data)


async def until(scheduler: FakeScheduler, claim: Any) -> None:
    await asyncio.to_thread(scheduler.wait_until, claim)


class Follower:
    """Somebody who follows one job and keeps all that is seen."""

    def __init__(self, watch: JobWatch, job: JobView) -> None:
        self.seen: list[JobView] = []
        self.moved = asyncio.Event()
        self.task = asyncio.create_task(watch.follow(job.id, self._see))

    def _see(self, view: JobView) -> None:
        self.seen.append(view)
        self.moved.set()

    async def sees(self) -> JobView:
        """Return the next change, or the last if it was seen already."""
        async with asyncio.timeout(DEADLINE_S):
            await self.moved.wait()
        self.moved.clear()
        return self.seen[-1]

    async def end(self) -> JobView:
        async with asyncio.timeout(DEADLINE_S):
            return await self.task


def test_progress_moves_only_what_it_names() -> None:
    view = moved(VIEW, event(progress=0.5, stage="encoding"))
    assert view
    assert (view.progress, view.stage, view.status) == (0.5, "encoding", "pending")
    view = moved(view, event(progress=0.75, speed=2.0, eta_ms=3_000))
    assert view
    assert (view.progress, view.stage, view.speed, view.eta_ms) == (0.75, "encoding", 2.0, 3_000)


def test_a_started_job_is_processing_unless_the_event_says_otherwise() -> None:
    views = [moved(VIEW, event(EventType.JOB_STARTED, **data)) for data in ({}, {"status": "uploading"})]
    assert [view and view.status for view in views] == [JobStatus.PROCESSING, JobStatus.UPLOADING]


def test_an_event_cannot_change_who_the_job_is() -> None:
    view = moved(VIEW, event(id="j0-other", name="evil", progress=0.1))
    assert view
    assert (view.id, view.name, view.progress) == ("j0-x", "", 0.1)


def test_an_event_that_the_view_has_seen_already_changes_nothing() -> None:
    running = msgspec.structs.replace(VIEW, status=JobStatus.PROCESSING, started_ms=5)
    assert moved(running, event(EventType.JOB_ACCEPTED, status="pending")) is running
    assert moved(running, event(EventType.JOB_STARTED, status="processing")) is running


@pytest.mark.parametrize("type_", [EventType.TASK_RETRIED, EventType.JOB_REVIVED, EventType.JOB_COMPLETED])
def test_where_an_event_does_not_say_how_far_the_job_is_the_job_is_asked(type_: EventType) -> None:
    assert moved(VIEW, event(type_)) is None


STEPS = st.tuples(st.integers(0, 3).map(lambda quarters: quarters / 4), st.integers(0, 3).map(str))


@given(st.sets(STEPS, min_size=1), st.data())
def test_no_event_takes_a_view_back(steps: set[tuple[float, str]], data: st.DataObject) -> None:
    history = sorted(steps)
    now, told = (data.draw(st.integers(0, len(history) - 1)) for _ in "vw")
    progress, stage = history[now]
    view = msgspec.structs.replace(VIEW, started_ms=1, progress=progress, stage=stage)
    if after := moved(view, event(progress=history[told][0], stage=history[told][1])):
        assert history.index((after.progress, after.stage)) >= now
    else:
        # What is further for sure is taken at its word.
        assert history[told][0] <= progress


def test_an_event_of_one_of_many_tasks_leaves_what_the_job_said_of_its_end_until_another_stage() -> None:
    view = moved(VIEW, event(progress=0.5, stage="encoding", eta_ms=3_000))
    assert view is not None
    further = moved(view, event(progress=0.6, stage="encoding", eta_ms=None))
    assert further is not None
    assert further.eta_ms == 3_000
    another = moved(view, event(progress=0.7, stage="verifying", eta_ms=None))
    assert another is not None
    assert another.eta_ms is None


@pytest.mark.parametrize("data", [{"progress": "much"}, {"status": "lost"}, {"eta_ms": "soon"}])
def test_an_event_of_another_version_changes_nothing(data: dict[str, Any]) -> None:
    assert moved(VIEW, event(**data)) is VIEW


async def test_a_job_that_is_over_is_returned_at_once(client: FleetClient, scheduler: FakeScheduler) -> None:
    job = await client.submit(NOOP)
    await until(scheduler, lambda: scheduler.jobs[job.id].status is JobStatus.COMPLETED)
    follower = Follower(JobWatch(client, patience_s=1), job)
    assert (await follower.end()).status is JobStatus.COMPLETED
    assert len(follower.seen) == 1


async def test_every_change_is_seen_and_the_last_view_is_the_whole_job(
    client: FleetClient, scheduler: FakeScheduler, held: JobView
) -> None:
    scheduler.warnings = ("A stream was dropped.",)
    watch = JobWatch(client, patience_s=5)
    async with watching(watch, OwnJobs(client), Output()):
        await until(scheduler, lambda: scheduler.streams == 1)
        follower = Follower(watch, held)
        assert (await follower.sees()).stage == "starting"
        scheduler.progress(held.id, 0.5, "encoding")
        assert (await follower.sees()).stage == "encoding"
        scheduler.finish(held.id)
        # Events carry no warnings: they are there only because the job itself was asked for.
        assert (await follower.end()).warnings == ("A stream was dropped.",)


async def test_what_is_older_than_the_view_is_never_shown(
    client: FleetClient, scheduler: FakeScheduler, held: JobView
) -> None:
    watch = JobWatch(client, patience_s=5)
    async with watching(watch, OwnJobs(client), Output()):
        await until(scheduler, lambda: scheduler.streams == 1)
        scheduler.jobs[held.id] = msgspec.structs.replace(held, progress=0.5, stage="encoding", started_ms=1)
        follower = Follower(watch, held)
        await follower.sees()
        for type_, data in [
            (EventType.JOB_ACCEPTED, {"status": "pending"}),
            (EventType.JOB_STARTED, {"status": "processing"}),
            (EventType.JOB_PROGRESSED, {"progress": 0.2, "stage": "probing"}),
            (EventType.JOB_PROGRESSED, {"progress": 0.5, "stage": "waiting"}),
        ]:
            scheduler._call(lambda type_=type_, data=data: scheduler._tell(type_, held.id, data))
        scheduler.finish(held.id)
        await follower.end()
    seen = [(view.status, view.progress, view.stage) for view in follower.seen]
    assert set(seen) == {("processing", 0.5, "encoding"), ("completed", 1.0, "encoding")}


async def test_what_was_told_before_the_question_is_not_told_after_the_answer(
    client: FleetClient, held: JobView
) -> None:
    watch, queue = JobWatch(client, patience_s=5), asyncio.Queue[Event | MediafleetError]()
    gone = SchedulerUnavailable("No.")
    for one in (event(progress=0.9), gone):
        queue.put_nowait(one)
    assert (await watch._ask_again(held, queue)).progress == 0
    # The end of the stream is no news of the job and must not be lost with them.
    assert queue.get_nowait() is gone
    assert queue.empty()


async def test_events_of_other_jobs_are_not_seen(client: FleetClient, scheduler: FakeScheduler, held: JobView) -> None:
    other = await client.submit(NOOP)
    watch = JobWatch(client, patience_s=5)
    async with watching(watch, OwnJobs(client), Output()):
        await until(scheduler, lambda: scheduler.streams == 1)
        follower = Follower(watch, held)
        await follower.sees()
        scheduler.progress(other.id, 0.9, "other")
        scheduler.progress(held.id, 0.5, "own")
        assert (await follower.sees()).stage == "own"
        scheduler.finish(held.id)
        await follower.end()
    assert "other" not in {view.stage for view in follower.seen}


async def test_a_lost_event_costs_no_more_than_a_moment(
    client: FleetClient, scheduler: FakeScheduler, held: JobView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_follow, "BACKSTOP_S", 0.05)
    follower = Follower(JobWatch(client, patience_s=5), held)
    await follower.sees()
    scheduler.finish(held.id)
    assert (await follower.end()).status is JobStatus.COMPLETED


async def test_a_scheduler_that_stays_away_ends_every_follower(
    client: FleetClient, scheduler: FakeScheduler, held: JobView
) -> None:
    watch = JobWatch(client, patience_s=0.1)
    async with watching(watch, OwnJobs(client), Output()):
        await until(scheduler, lambda: scheduler.streams == 1)
        followers = [Follower(watch, held)]
        await followers[0].sees()
        scheduler.stop()
        with pytest.raises(SchedulerUnavailable):
            await followers[0].end()


async def test_one_unanswered_question_does_not_end_patience(
    scheduler: FakeScheduler, held: JobView, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FleetClient(scheduler.url) as fresh:
        watch = JobWatch(fresh, patience_s=5)
        scheduler.stop()
        monkeypatch.setattr(fresh._transport, "_attempts", 1)
        queue = asyncio.Queue[Event | MediafleetError]()
        queue.put_nowait(event(progress=0.9))
        assert await watch._ask_again(held, queue) is held
        assert queue.qsize() == 1


async def test_a_job_that_is_gone_is_an_error_and_is_followed_no_longer(client: FleetClient) -> None:
    watch = JobWatch(client, patience_s=1)
    with pytest.raises(NotFound):
        await Follower(watch, VIEW).end()
    assert not watch._queues


async def test_a_job_is_open_from_its_acceptance_to_its_end(client: FleetClient, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    own = OwnJobs(client)
    job = await own.submit(NOOP)
    assert own.open == {job.id}
    scheduler.finish(job.id)
    own.note(await client.job(job.id))
    assert not own.open


async def test_every_submission_has_a_key_so_that_it_may_be_sent_again(
    client: FleetClient, scheduler: FakeScheduler
) -> None:
    own = OwnJobs(client)
    scheduler.outages = 1
    await own.submit(NOOP)
    await own.submit(NOOP)
    await own.submit(Submission("noop", idempotency_key="mine"))
    first, second, third = (one.idempotency_key for one in scheduler.submissions)
    assert first
    assert second
    assert first != second
    assert third == "mine"


async def test_a_refused_job_is_not_remembered(client: FleetClient, scheduler: FakeScheduler) -> None:
    scheduler.refusals["bad"] = InputError("No.")
    own = OwnJobs(client)
    with pytest.raises(InputError):
        await own.submit(Submission("noop", name="bad"))
    assert not own.open


async def test_an_interrupted_submission_is_still_known_so_that_it_can_be_cancelled(
    client: FleetClient, scheduler: FakeScheduler
) -> None:
    scheduler.holding, scheduler.outages = True, 1
    own = OwnJobs(client)
    task = asyncio.create_task(own.submit(NOOP))
    await until(scheduler, lambda: scheduler.outages == 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert own.open == set(scheduler.jobs)
    assert len(own.open) == 1


async def test_an_interrupted_submission_that_was_refused_leaves_nothing(
    client: FleetClient, scheduler: FakeScheduler
) -> None:
    scheduler.refusals[""], scheduler.outages = InputError("No."), 1
    own = OwnJobs(client)
    task = asyncio.create_task(own.submit(NOOP))
    await until(scheduler, lambda: scheduler.outages == 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not own.open


async def test_all_open_jobs_are_cancelled_and_those_that_could_not_be_stay_open(
    client: FleetClient, scheduler: FakeScheduler
) -> None:
    scheduler.holding = True
    own = OwnJobs(client)
    ids = sorted([(await own.submit(NOOP)).id for _ in range(3)])
    scheduler.finish(ids[1])
    assert await own.cancel_all() == [ids[0], ids[2]]
    assert own.open == {ids[1]}
    assert scheduler.jobs[ids[0]].status is JobStatus.CANCELLED


async def test_where_nothing_is_open_nothing_is_asked(client: FleetClient, scheduler: FakeScheduler) -> None:
    assert await OwnJobs(client).cancel_all() == []
    assert not scheduler.requests


async def test_an_interruption_says_what_was_cancelled_and_what_was_not(
    client: FleetClient, scheduler: FakeScheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.holding = True
    own = OwnJobs(client)
    first, second = sorted([(await own.submit(NOOP)).id for _ in range(2)])
    scheduler.finish(second)
    with pytest.raises(asyncio.CancelledError):
        async with watching(JobWatch(client, patience_s=1), own, Output()):
            raise asyncio.CancelledError
    assert capsys.readouterr().err.splitlines() == [
        f"cancelled {first}",
        f"could not cancel {second}; it may still run",
    ]


async def test_an_error_of_the_block_cancels_no_job(
    client: FleetClient, scheduler: FakeScheduler, held: JobView
) -> None:
    own = OwnJobs(client)
    own.note(held)
    with pytest.raises(NotFound):
        async with watching(JobWatch(client, patience_s=1), own, Output()):
            raise NotFound("No.")
    assert scheduler.jobs[held.id].status is JobStatus.PROCESSING
    await until(scheduler, lambda: scheduler.streams == 0)


async def test_a_failed_job_ends_its_follower_with_its_error(
    client: FleetClient, scheduler: FakeScheduler, held: JobView
) -> None:
    scheduler.outcomes[""] = ErrorInfo("task-failed", "It broke.")
    watch = JobWatch(client, patience_s=5)
    async with watching(watch, OwnJobs(client), Output()):
        await until(scheduler, lambda: scheduler.streams == 1)
        follower = Follower(watch, held)
        await follower.sees()
        scheduler.finish(held.id)
        view = await follower.end()
    assert view.error == ErrorInfo("task-failed", "It broke.")
