"""Reviews of the in-memory fleet of the doors' tests."""

from __future__ import annotations

from mediafleet.domain.errors import Conflict, Outdated
from mediafleet.domain.event import EventType
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.review import ReviewAnswer, ReviewDocument, check_json
from tests_support.fake_pauses import PausableFleet


class FakeReviews:
    """Implements `scheduler.facade.Reviews` in memory: a job in review shows a document, and takes any JSON."""

    def __init__(self, fleet: PausableFleet) -> None:
        self._fleet = fleet
        self.document = b'{"text":"teh end"}'
        self.answers: list[ReviewAnswer] = []

    async def ask(self, job_id: str) -> JobView:
        """Put a job into review."""
        return await self._fleet.update(job_id, EventType.JOB_ASKED, status=JobStatus.REVIEW, reviews=("read",))

    async def show(self, job_id: str, *, review: str = "") -> ReviewDocument:
        if (view := await self._fleet.job(job_id)).status is not JobStatus.REVIEW:
            raise Conflict(f"The job {job_id} is {view.status}; it waits for no review.")
        return ReviewDocument(review or "read", "text.json", "read-1", self.document)

    async def answer(self, job_id: str, answer: ReviewAnswer) -> JobView:
        document = await self.show(job_id)
        if answer.tags and document.tag not in answer.tags:
            raise Outdated("What was put back corrects another document; nothing was changed.")
        check_json(answer.body)
        self.answers.append(answer)
        return await self._fleet.update(job_id, EventType.JOB_REVIEWED, status=JobStatus.PROCESSING, reviews=())
