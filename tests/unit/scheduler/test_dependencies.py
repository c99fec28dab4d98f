"""What a submission may wait for, and what it is answered where it may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from running_instances import Instances, answer, ended, given, join
from scheduler_parts import Parts

from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import InputError, InvalidRequest
from mediafleet.domain.job import Job, JobView, Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.plan import Complete, FinishedTask, Step
from mediafleet.kinds.noop import KIND
from mediafleet.ops.settings import ArtifactSettings
from mediafleet.scheduler.accept import Acceptor
from mediafleet.scheduler.dependencies import MOST_AFTER, named_jobs
from mediafleet.scheduler.explainer import Explainer
from mediafleet.scheduler.uploads import Uploads
from mediafleet.store import Store


def test_numbers_stand_for_earlier_submissions_and_each_job_counts_once() -> None:
    wish = Submission("noop", after=[1, "j0-x", 0, 1, "j0-x"])
    assert named_jobs(wish, ["j0-a", "j0-b"]) == ["j0-b", "j0-x", "j0-a"]


@pytest.mark.parametrize("number", [1, 2, -1])
def test_a_number_that_is_no_earlier_submission_is_refused(number: int) -> None:
    with pytest.raises(
        InvalidRequest, match=rf"the submission {number} of the call, and this is number 1: it can wait"
    ):
        named_jobs(Submission("noop", after=[number]), ["j0-a"])


@pytest.mark.parametrize("word", ["", "n0-a", "j0-", "j0-a:children", "*"])
def test_a_word_that_is_no_id_of_a_job_is_refused(word: str) -> None:
    with pytest.raises(InputError, match=r"There is no job .* to wait for"):
        named_jobs(Submission("noop", after=[word]), [])


def test_a_job_waits_for_a_bounded_number_of_others() -> None:
    named_jobs(Submission("noop", after=["j0-a"] * MOST_AFTER), [])
    with pytest.raises(InvalidRequest, match=f"after names {MOST_AFTER + 1} jobs"):
        named_jobs(Submission("noop", after=["j0-a"] * (MOST_AFTER + 1)), [])


def at_once(_: Job, __: Sequence[FinishedTask]) -> Step:
    return Complete({})


@pytest.fixture
def parts(store: Store, tmp_path: Path) -> Parts:
    return Parts(store, tmp_path / "blobs", kinds=[KIND, replace(KIND, name="join", plan=at_once)])


@pytest.fixture
def acceptor(parts: Parts, tmp_path: Path) -> Acceptor:
    settings, clock = ArtifactSettings(file_roots=(str(tmp_path),)), SystemClock()
    uploads = Uploads(parts.store, parts.blobs, clock, settings, retention=parts.retention, keep_ms=60_000)
    return Acceptor(parts.store, parts.kinds, uploads, parts.placer, clock, retention_ms=60_000)


async def accept(acceptor: Acceptor, *wishes: Submission) -> list[JobView]:
    return [one.job for one in await acceptor.accept(wishes, principal="ann")]


async def test_the_answer_says_what_a_job_waits_for_as_the_store_would(parts: Parts, acceptor: Acceptor) -> None:
    first, second = await accept(acceptor, Submission("noop"), Submission("noop", after=[0]))
    assert (first.after, first.waits_for) == ((), ())
    assert (second.after, second.waits_for) == ((first.id,), (first.id,))
    stored = await parts.job(second.id)
    assert (stored.after, stored.waits_for) == (second.after, second.waits_for)


async def test_a_call_that_waits_for_what_is_not_there_is_refused_whole(parts: Parts, acceptor: Acceptor) -> None:
    with pytest.raises(InputError, match="no job 'j0-none' to wait for; it may have passed its retention"):
        await accept(acceptor, Submission("noop"), Submission("noop", after=["j0-none"]))
    assert (await parts.store.read.jobs(status=None, offset=0, limit=10))[1] == 0


async def test_why_names_the_jobs_that_are_waited_for(parts: Parts, acceptor: Acceptor) -> None:
    first, second, third = await accept(
        acceptor, Submission("noop"), Submission("noop", after=[0]), Submission("join", after=[0, 1])
    )
    explainer = Explainer(parts.store)
    why = await explainer.why(await parts.job(second.id))
    assert why.sentence == f"The job waits for the job {first.id} to complete."
    (task,) = why.tasks
    assert task.sentence == f"It waits for the job {first.id} to complete."
    assert task.explanation is not None
    assert task.explanation.waits_for == "job"
    why = await explainer.why(await parts.job(third.id))
    assert why.sentence == f"The job waits for the jobs {first.id}, {second.id} to complete."


async def test_a_job_fails_by_itself_when_what_it_waits_for_is_cancelled(instances: Instances) -> None:
    async with instances.run() as fleet:
        wishes = [Submission("noop"), Submission("noop", after=[0])]
        first, second = [one.job.id for one in await fleet.submit(wishes, principal="ann")]
        await fleet.cancel(first)
        failed = await ended(fleet, second)
        assert failed.status is JobStatus.FAILED
        assert failed.error is not None
        assert failed.error.code == "dependency-failed"
        assert failed.error.message.startswith(
            f"The job {first}, which this one waited for, was cancelled, so this one"
        )
        # Nothing of it stays behind for the planner, and a retry of it alone ends in the same way.
        await fleet.retry(second)
        assert (await ended(fleet, second)).error == failed.error


async def test_a_job_begins_on_another_instance_than_the_one_that_took_it(instances: Instances) -> None:
    async with instances.run("i-1") as fleet, instances.run("i-2") as other:
        link = await join(fleet)
        wishes = [Submission("noop"), Submission("noop", after=[0])]
        first, second = [one.job.id for one in await other.submit(wishes, principal="ann")]
        await answer(fleet, link, await given(link))
        assert (await ended(other, first)).status is JobStatus.COMPLETED
        await answer(fleet, link, await given(link, 2))
        assert (await ended(other, second)).status is JobStatus.COMPLETED


async def test_a_plan_that_would_complete_at_once_waits(parts: Parts, acceptor: Acceptor) -> None:
    """Of a kind that only joins others: a mark that all of them have ended."""
    first, last = await accept(acceptor, Submission("noop"), Submission("join", after=[0]))
    await parts.link()
    assert not await parts.planner.catch_up()
    (placed,) = await parts.driver.place_all()
    await parts.driver.ack(placed)
    assert (await parts.job(last.id)).status is JobStatus.PENDING
    await parts.driver.finish(placed)
    await parts.planner.catch_up()
    for job in (first, last):
        assert (await parts.job(job.id)).status is JobStatus.COMPLETED
