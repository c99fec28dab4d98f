"""What is said of work that waits for a person; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.domain.capability import PERSON
from mediafleet.domain.lifecycle import JobStatus

if TYPE_CHECKING:
    from mediafleet.domain.explanation import TaskSnapshot
    from mediafleet.domain.job import JobView


def is_asked(task: TaskSnapshot) -> bool:
    """Tell whether a person is to do the task: no executor is looked for."""
    return PERSON in task.ask.requirement.capabilities


def asked_sentence(task: TaskSnapshot) -> str:
    """Return in one sentence what such a task waits for."""
    if task.is_paused:
        return "Its job is paused: nobody is asked until it is resumed."
    if task.jobs or task.parents:
        return f"A person is asked once these are done: {', '.join(task.jobs or task.parents)}."
    return "It waits for a person, who fetches its document, corrects it and puts it back."


def how_to_answer(job: str, review: str) -> str:
    """Return the commands with which a person answers a review of a job."""
    which = f" --review {review}"
    return (
        f"fetch its document with `mediafleet review {job}{which} --out FILE`, correct it, and put it back with "
        f"`mediafleet review {job}{which} --put FILE`"
    )


def review_sentence(job: JobView) -> str:
    """Return in one sentence how a job stands that is in review; empty for another."""
    if job.status is not JobStatus.REVIEW or not job.reviews:
        return ""
    first = job.reviews[0]
    others = f" It waits for others as well: {', '.join(job.reviews[1:])}." if job.reviews[1:] else ""
    return f"The job waits for a person: {how_to_answer(job.id, first)}.{others}"
