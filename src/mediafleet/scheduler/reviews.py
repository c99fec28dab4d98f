"""Hands documents to people and takes them back, corrected (docs/decisions/0032)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from mediafleet.domain.errors import Conflict, InputError, MediafleetError, NotFound, Outdated, Unavailable
from mediafleet.domain.ids import is_id
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.plan import TaskResult
from mediafleet.domain.review import (
    MOST_DOCUMENT_BYTES,
    REVIEW_GRANT,
    Review,
    ReviewAnswer,
    ReviewDocument,
    ReviewResult,
    check_json,
    review_tag,
)
from mediafleet.scheduler.facade import UploadAnnouncement
from mediafleet.scheduler.tasks import decode_outputs
from mediafleet.store.records import ResultRecord

if TYPE_CHECKING:
    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.domain.job import Job, JobView
    from mediafleet.kinds import Kind, KindRegistry
    from mediafleet.scheduler.uploads import Uploads
    from mediafleet.store import Store
    from mediafleet.store.review_records import JobReviews

log = structlog.get_logger(__name__)


def choose_shown(found: JobReviews, name: str) -> Review:
    """Return the review whose document is asked for; `name` may be empty where only one waits.

    Raises:
        NotFound: The job has no review of that name.
        Conflict: None waits, that one does not any more, or several do and none is named.
    """
    named = [review for review in found.asked if name in {"", review.name}]
    if len(named) == 1:
        return named[0]
    if name:
        _check_known(found, name)
        raise Conflict(f"The review {name!r} of the job {found.job.id} was answered; it waits no more.")
    if named:
        raise _several(found, named)
    raise _waits_for_none(found)


def choose_answered(found: JobReviews, answer: ReviewAnswer) -> Review:
    """Return the review that an answer is meant for, which may have been answered before.

    Raises:
        NotFound: The job has no review of that name.
        Outdated: None of its tags is that of the document.
        Conflict: The job has had no review, or several and nothing says which is meant.
    """
    known = [*found.asked, *found.answered]
    if answer.review:
        known = [_check_known(found, answer.review)]
    if not known:
        raise _waits_for_none(found)
    if answer.tags:
        known = [review for review in known if review_tag(review) in answer.tags]
    if not known:
        raise Outdated(
            f"What was put back corrects another document than the one that the job {found.job.id} shows (If-Match); "
            "nothing was changed. Fetch it again."
        )
    # The first of several may be what somebody else has answered a moment ago: that must not make it the next one's.
    if len(known) > 1:
        raise _several(found, known)
    return known[0]


def _check_known(found: JobReviews, name: str) -> Review:
    for review in (*found.asked, *found.answered):
        if review.name == name:
            return review
    raise NotFound(f"The job {found.job.id} has no review {name[:80]!r} that waits.")


def _several(found: JobReviews, reviews: Sequence[Review]) -> Conflict:
    names = ", ".join(review.name for review in reviews)
    return Conflict(f"The job {found.job.id} has several reviews ({names}); name the one that is meant.")


def _waits_for_none(found: JobReviews) -> Conflict:
    return Conflict(f"The job {found.job.id} is {found.status}; it waits for no review.")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_review(kind: Kind, params: Mapping[str, Any], body: bytes, shown: bytes) -> bytes:
    """Return what a plan is given for what was put back. Raises InputError, of a fault of the kind as well."""
    if kind.check_review is None:
        return check_json(body)
    try:
        return kind.check_review(body, shown, params)
    except MediafleetError:
        raise
    except Exception as error:
        # A fault of a kind, maybe a third party's, must not look like one of ours.
        raise InputError(f"The job kind {kind.name!r} cannot read what was put back: {error!r}.") from error


class ReviewDesk:
    """Reviews in one cell; implements `facade.Reviews`."""

    def __init__(
        self,
        store: Store,
        kinds: KindRegistry,
        uploads: Uploads,
        *,
        show_job: Callable[[str], Awaitable[JobView]],
        on_answer: Callable[[Sequence[str]], None],
    ) -> None:
        """Take the parts.

        Args:
            show_job: Returns a job, or raises NotFound.
            on_answer: Told after each answer of the queues that got tasks; the plan of a job is to be asked as well.
        """
        self._store, self._kinds, self._uploads = store, kinds, uploads
        self._show_job, self._on_answer = show_job, on_answer

    async def show(self, job_id: str, *, review: str = "") -> ReviewDocument:
        """See `facade.Reviews.show`."""
        wanted = choose_shown(await self._read(job_id), review)
        body = await self._fetch(wanted.document.id)
        return ReviewDocument(wanted.name, wanted.document.name, review_tag(wanted), body)

    async def answer(self, job_id: str, answer: ReviewAnswer) -> JobView:
        """See `facade.Reviews.answer`."""
        found = await self._read(job_id)
        wanted = choose_answered(found, answer)
        if wanted.answer is None:
            if found.status is not JobStatus.REVIEW:
                raise _not_now(found)
            # Told apart by what the task is afterwards: of two that come at once one is first.
            await self._finish(wanted, await self._check(found.job, wanted, answer), answer)
            found = await self._read(job_id)
            wanted = next((one for one in found.answered if one.name == wanted.name), wanted)
        if wanted.answer is None:
            raise _not_now(found)
        # By what came and not by what was shown, which need not be there any more.
        if wanted.put != _digest(answer.body):
            raise Conflict(
                f"The review {wanted.name!r} of the job {job_id} was answered already, with something else; nothing was changed."
            )
        return await self._show_job(job_id)

    async def _check(self, job: Job, review: Review, answer: ReviewAnswer) -> bytes:
        kind, shown = self._kind(job), await self._fetch(review.document.id)
        # In a thread: a large document takes a second, and this loop leads a cell.
        return await asyncio.to_thread(check_review, kind, job.params, answer.body, shown)

    async def _fetch(self, document: str) -> bytes:
        artifact = await self._uploads.open(document)
        # A plan may not have known its size.
        if artifact.size > MOST_DOCUMENT_BYTES:
            raise InputError(f"The document has {artifact.size} bytes; a review takes {MOST_DOCUMENT_BYTES} at most.")
        return b"".join([piece async for piece in artifact.read(0, artifact.size)])

    async def _finish(self, review: Review, checked: bytes, answer: ReviewAnswer) -> None:
        digest, by = _digest(checked), answer.by
        announcement = UploadAnnouncement(review.document.name, len(checked), digest, grant=REVIEW_GRANT)
        ref = await self._uploads.keep(announcement, checked, principal=by)
        about = ReviewResult(by, changed=digest != review.document.sha256, put=_digest(answer.body))
        text, outputs = decode_outputs(TaskResult(msgspec.to_builtins(about), (ref,)))
        finished = await self._store.finish([ResultRecord(review.task, REVIEW_GRANT, text, outputs)])
        if finished.verdicts == ["accepted"]:
            log.info("a review was answered", task=review.task, by=by, changed=about.changed)
            self._on_answer(finished.queues)
        else:
            await self._discard(ref)

    async def _discard(self, ref: ArtifactRef) -> None:
        try:
            await self._uploads.discard(ref.id)
        except MediafleetError as error:
            # It goes by itself, later.
            log.debug("an answer that came too late is still kept", artifact=ref.id, reason=error.message)

    async def _read(self, job_id: str) -> JobReviews:
        found = await self._store.reviews(job_id) if is_id(job_id, "j") else None
        if found is None:
            raise NotFound(f"There is no job {job_id[:100]!r}; it may have passed its retention.")
        return found

    def _kind(self, job: Job) -> Kind:
        if not self._kinds.can_plan(job.kind, job.kind_version):
            raise Unavailable(
                f"This instance does not have the job kind {job.kind!r} in version {job.kind_version}, so it cannot check "
                "what was put back; send it to another one, or install the kind here."
            )
        return self._kinds.get(job.kind)


def _not_now(found: JobReviews) -> Conflict:
    if found.asked and found.status in {JobStatus.PENDING, JobStatus.UPLOADING, JobStatus.PROCESSING}:
        return Conflict(
            f"The job {found.job.id} is {found.status}: other tasks of it go on still; put it back when it is in review."
        )
    return Conflict(f"The job {found.job.id} is {found.status}; it takes a review back only while it waits for one.")
