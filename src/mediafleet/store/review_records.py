"""Reads the reviews of a job; what ends them is a result as any other (`includes/review.lua`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mediafleet.domain.ids import task_id
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.plan import TaskResult, TaskSpec
from mediafleet.domain.review import Review
from mediafleet.store.connection import translate_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.store.keys import Keys

_FIELDS = ("doc", "status", "reviews", "reviewed")


class JobReviews(NamedTuple):
    """The reviews of a job."""

    job: Job
    status: JobStatus
    asked: list[Review]
    """Those that a person may answer, in the order in which they were asked."""
    answered: list[Review]
    """In the order in which they were."""


async def read_reviews(redis: Any, keys: Keys, job_id: str) -> JobReviews | None:
    """Return the reviews of a job that there is, without those that wait for other tasks. Raises StoreUnavailable."""
    with translate_errors():
        doc, status, asked, answered = await redis.hmget(keys.job(job_id), *_FIELDS)
        if doc is None:
            return None
        job = msgspec.json.decode(doc, type=Job)
        now, before = (_names(text) for text in (asked, answered))
        pipeline = redis.pipeline(transaction=False)
        for name in [*now, *before]:
            pipeline.hmget(keys.task(task_id(job_id, name)), "doc", "state", "result")
        found = [
            _review(task_id(job_id, name), *fields)
            for name, fields in zip([*now, *before], await pipeline.execute(), strict=True)
            if fields[0]
        ]
    # An answer may come between the two readings: what a task says of itself is newer.
    done = [review for review in found if review.state is TaskState.DONE]
    return JobReviews(job, JobStatus(status.decode()), _but(found, done), done)


def _but(reviews: Sequence[Review], others: Sequence[Review]) -> list[Review]:
    return [review for review in reviews if review not in others]


def _names(text: bytes | None) -> list[str]:
    return (text or b"").decode().split()


def _review(task: str, doc: bytes, state: bytes, result: bytes | None) -> Review:
    spec = msgspec.json.decode(doc, type=TaskSpec)
    told = msgspec.json.decode(result, type=TaskResult) if result else TaskResult()
    answer, put = told.outputs[0] if told.outputs else None, told.result.get("put", "")
    return Review(spec.name, task, TaskState(state.decode()), spec.inputs[0], answer, put)
