"""The page on which a person corrects what a job wants looked at.

A page of its own, which nothing redraws: what somebody has typed must not go when the job's page is refreshed.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery

from mediafleet.console.pages import answer_bad_request, answer_error, frame, go_to, read_form
from mediafleet.console.rendering import View, render
from mediafleet.domain.errors import InputError, MediafleetError
from mediafleet.domain.problems import status_of
from mediafleet.domain.review import ReviewAnswer
from mediafleet.doors.http.context import AnyRequest, InjectedFleet, check_job_id, principal_of
from mediafleet.scheduler.facade import Fleet

MOST_SHOWN_BYTES = 2 * 1024 * 1024
"""Of a document that is corrected in a browser; a larger one is for an editor, and a form of it would be too large."""


class ReviewPagesController(Controller):
    """Reviews for people with a browser."""

    include_in_schema = False
    exception_handlers: Any = {MediafleetError: answer_error, HTTPException: answer_bad_request}  # noqa: RUF012 - as in pages.py

    @get("/jobs/{job_id:str}/review")
    async def show(self, fleet: InjectedFleet, job_id: FromPath[str], review: FromQuery[str] = "") -> Response[str]:
        """Show the document of a review, to be corrected."""
        document = await fleet.reviews.show(check_job_id(job_id), review=review)
        form = {"review": document.review, "tag": document.tag, "document": ""}
        if len(document.body) <= MOST_SHOWN_BYTES:
            form["document"] = document.body.decode("utf-8", "replace")
        return await _page(fleet, job_id, form)

    @post("/console/jobs/{job_id:str}/review")
    async def answer(self, request: AnyRequest, fleet: InjectedFleet, job_id: FromPath[str]) -> Response[Any]:
        """Take what was typed; what the job cannot go on with stays on the page, with the reason."""
        form = {"review": "", "tag": "", "document": ""} | await read_form(request)
        tags = (form["tag"],) if form["tag"] else ()
        answer = ReviewAnswer(form["document"].encode(), form["review"], tags, by=principal_of(request))
        try:
            await fleet.reviews.answer(check_job_id(job_id), answer)
        except InputError as error:
            return await _page(fleet, job_id, form, error=error)
        return go_to(f"/jobs/{job_id}")


async def _page(
    fleet: Fleet, job_id: str, form: dict[str, str], *, error: MediafleetError | None = None
) -> Response[str]:
    context = {**frame(), "job": await fleet.job(job_id), "form": form, "error": error}
    return render(View("review.html", context, status=status_of(error) if error else 200))
