"""Reviews in a fleet of several cells: each job has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediafleet.domain.job import JobView
    from mediafleet.domain.review import ReviewAnswer, ReviewDocument
    from mediafleet.scheduler.cells import CellFleet


class CellReviews:
    """Reviews of all cells; implements `facade.Reviews`."""

    def __init__(self, fleet: CellFleet) -> None:
        self._fleet = fleet

    async def show(self, job_id: str, *, review: str = "") -> ReviewDocument:
        """See `facade.Reviews.show`."""
        return await self._fleet.cell(job_id, "j").reviews.show(job_id, review=review)

    async def answer(self, job_id: str, answer: ReviewAnswer) -> JobView:
        """See `facade.Reviews.answer`."""
        return await self._fleet.cell(job_id, "j").reviews.answer(job_id, answer)
