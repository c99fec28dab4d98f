"""Reviews: tasks that a person does; what comes before waits as a document to be corrected (docs/decisions/0032).

A plan names one beside its other tasks, and finds what the person gave back as the output of a finished task.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import PERSON, Requirement
from mediafleet.domain.errors import InvalidParams, InvalidRequest
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.limits import TaskLimits
from mediafleet.domain.plan import NewTask

REVIEW_STEP = "person:review"
"""No kind can have a handler of this name, and no node is sent such a task."""
REVIEW_GRANT = "person"
"""Under which the answer of a person is accepted, as that of an attempt under its own."""
MOST_DOCUMENT_BYTES = 32 * 1024 * 1024
"""Of a document and of its correction: a recording of ten hours with the times of all words has about 10 MiB."""
MOST_REVIEWS = 100
"""Of one job."""
_NO_LIMITS = TaskLimits(max_tries=1)


def review_task(name: str, document: ArtifactRef, *, after: tuple[str, ...] = ()) -> NewTask:
    """Return the task of a person who looks through a document and puts it back, maybe corrected.

    When it is DONE its one output is what came back, checked by `Kind.check_review`, under the document's name. Its result
    is a `ReviewResult`. It waits for as long as nobody answers, whatever limits the job's other tasks have.

    Args:
        name: As of any task; a job with several reviews (one a language) needs one for each.
        document: JSON in UTF-8, at most `MOST_DOCUMENT_BYTES`; an output of an earlier task, or an input of the job.
    """
    return NewTask(
        name=name,
        step=REVIEW_STEP,
        requirement=Requirement((PERSON,)),
        inputs=(document,),
        after=after,
        # It is no work: what the fleet has done is what progress tells of.
        weight=0.0,
        limits=_NO_LIMITS,
    )


def is_review(task: NewTask) -> bool:
    """Tell whether a person is to do the task."""
    return task.step == REVIEW_STEP


def is_review_queue(queue: str) -> bool:
    """Tell whether the tasks of a queue of this name are reviews; scripts go by the same (includes/names.lua)."""
    return queue[1:] == "-person"


def check_review_task(task: NewTask) -> None:
    """Check a review as a plan names it. Raises InvalidRequest."""
    if len(task.inputs) != 1:
        raise InvalidRequest(f"The review {task.name!r} has {len(task.inputs)} documents; it needs exactly one.")
    if task.inputs[0].size > MOST_DOCUMENT_BYTES:
        raise InvalidRequest(
            f"The document of the review {task.name!r} has {task.inputs[0].size} bytes; "
            f"{MOST_DOCUMENT_BYTES} are possible. Split it into several reviews."
        )


class ReviewResult(msgspec.Struct, frozen=True):
    """The result of a review that was answered, beside its output."""

    by: str
    """Who put it back: the principal, as of a job."""
    changed: bool
    """Whether it differs from the document in any byte."""
    put: str = ""
    """SHA-256 of the bytes that were put back, before a kind has put them in order; hexadecimal."""


class Review(msgspec.Struct, frozen=True):
    """A review of a job, as it is kept."""

    name: str
    task: str
    state: TaskState
    document: ArtifactRef
    answer: ArtifactRef | None = None
    """What was put back, as its kind has put it in order."""
    put: str = ""
    """As in `ReviewResult`."""


class ReviewDocument(msgspec.Struct, frozen=True):
    """What a person is given."""

    review: str
    """Name of the review: what tells it apart in a job with several."""
    name: str
    """File name to save under."""
    tag: str
    """Entity tag (RFC 9110) without its quotes: of this review and these bytes."""
    body: bytes
    """JSON in UTF-8, as it was published."""


class ReviewAnswer(msgspec.Struct, frozen=True):
    """What a person puts back."""

    body: bytes
    review: str = ""
    """Which review of the job it answers; may be left out where the job has had one only."""
    tags: tuple[str, ...] = ()
    """Tags of documents that it may be a correction of, from `ReviewDocument.tag`; of any where there is none."""
    by: str = ""
    """The principal."""


def review_tag(review: Review) -> str:
    """Return the entity tag of the document, without quotes."""
    # With the name: two reviews of a job may show the same bytes, and an answer is meant for one of them.
    return f"{review.name}-{review.document.sha256[:32] or review.document.id}"


def check_json(body: bytes) -> bytes:
    """Return a correction if it is JSON; what a kind without a check of its own takes. Raises InvalidParams."""
    try:
        _any.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(f"What was put back is no JSON: {str(error)[:200]}. Nothing was changed.") from None
    return body


_any = msgspec.json.Decoder(Any)
