"""`/api/v1/jobs/{id}/review`: a person fetches a document, and puts it back corrected."""

from __future__ import annotations

from typing import Any

from litestar import Controller, MediaType, Response, get, put
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery

from mediafleet.domain.job import JobView
from mediafleet.domain.review import MOST_DOCUMENT_BYTES, ReviewAnswer
from mediafleet.doors.http.content import content_disposition, matches, named_tags
from mediafleet.doors.http.context import AnyRequest, InjectedFleet, check_job_id, principal_of
from mediafleet.doors.http.problems import PROBLEM_TYPE, Problem

REVIEW_HEADER = "Mediafleet-Review"
"""Which review of the job an answer is about."""
REFUSALS = {
    409: ResponseSpec(
        Problem,
        generate_examples=False,
        description="The job is in another status, or somebody else has answered.",
        media_type=PROBLEM_TYPE,
    ),
    412: ResponseSpec(
        Problem, generate_examples=False, description="If-Match names another document.", media_type=PROBLEM_TYPE
    ),
}


class ReviewsController(Controller):
    """Reviews over REST."""

    path = "/api/v1/jobs/{job_id:str}/review"
    tags = ("jobs",)

    @get(media_type=MediaType.JSON)
    async def show(
        self, request: AnyRequest, fleet: InjectedFleet, job_id: FromPath[str], review: FromQuery[str] = ""
    ) -> Response[Any]:
        """Send the document of a review that waits, as it was published."""
        document = await fleet.reviews.show(check_job_id(job_id), review=review)
        tag = f'"{document.tag}"'
        headers = {"ETag": tag, REVIEW_HEADER: document.review, "Cache-Control": "no-cache"}
        if matches(request.headers.get("if-none-match", ""), tag):
            return Response(b"", status_code=304, headers=headers)
        headers["Content-Disposition"] = content_disposition(document.name)
        return Response(document.body, headers=headers, media_type=MediaType.JSON)

    # Without a `data` argument: the bytes are for the job's kind to read, which may take more than one type.
    @put(request_max_body_size=MOST_DOCUMENT_BYTES, responses=REFUSALS)
    async def answer(
        self, request: AnyRequest, fleet: InjectedFleet, job_id: FromPath[str], review: FromQuery[str] = ""
    ) -> JobView:
        """Take the corrected document, and let the job go on; the same bytes may be put back again."""
        tags = named_tags(request.headers.get("if-match", ""))
        answer = ReviewAnswer(await request.body(), review, tags, by=principal_of(request))
        return await fleet.reviews.answer(check_job_id(job_id), answer)
