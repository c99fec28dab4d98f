"""`/api/v1/jobs`: submit, look, cancel, retry, pause, follow."""

from __future__ import annotations

from litestar import Controller, Response, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.job import MOST_SUBMISSIONS, JobPage, JobView, Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.pause import PauseRequest
from mediafleet.doors.http.context import (
    AnyRequest,
    InjectedEnd,
    InjectedFleet,
    check_job_id,
    check_page,
    principal_of,
)
from mediafleet.doors.http.events import EVENT_STREAM, STREAM_HEADERS, After, LastEventId, choose_position
from mediafleet.doors.http.sse import follow_job
from mediafleet.doors.http.waiting import WaitS, check_wait, wait_for_job


class JobsController(Controller):
    """Jobs over REST."""

    path = "/api/v1/jobs"
    tags = ("jobs",)

    @post(responses={200: ResponseSpec(JobView, description="The first job with this idempotency key")})
    async def submit(
        self,
        request: AnyRequest,
        fleet: InjectedFleet,
        end: InjectedEnd,
        data: JSONBody[Submission | list[Submission]],
        wait_s: WaitS = 0,
    ) -> Response[JobView | list[JobView]]:
        """Submit one job, or a list of up to 10,000 that is accepted whole or not at all."""
        if check_wait(wait_s) and isinstance(data, list):
            raise InvalidRequest("wait_s is for one job; follow /api/v1/events to see the end of many.")
        submissions = data if isinstance(data, list) else [data]
        if not 1 <= len(submissions) <= MOST_SUBMISSIONS:
            raise InvalidRequest(f"{len(submissions)} submissions in one list; it must be 1 to {MOST_SUBMISSIONS}.")
        accepted = await fleet.submit(submissions, principal=principal_of(request))
        views = [item.job for item in accepted]
        if wait_s:
            views = [await wait_for_job(fleet, end, views[0].id, wait_s)]
        # Only a list in which nothing is new answers 200: so a client sees that its repeat came second.
        status = 201 if any(item.created for item in accepted) else 200
        return Response(views if isinstance(data, list) else views[0], status_code=status)

    @get()
    async def page(
        self,
        fleet: InjectedFleet,
        status: FromQuery[JobStatus | None] = None,
        kind: FromQuery[str] = "",
        offset: FromQuery[int] = 0,
        limit: FromQuery[int] = 50,
    ) -> JobPage:
        """Return one page of jobs, newest first."""
        check_page(offset, limit)
        return await fleet.jobs(status=status, kind=kind, offset=offset, limit=limit)

    @get("/{job_id:str}")
    async def show(self, fleet: InjectedFleet, end: InjectedEnd, job_id: FromPath[str], wait_s: WaitS = 0) -> JobView:
        """Return a job with its tasks, at once or when it is final."""
        return await wait_for_job(fleet, end, check_job_id(job_id), check_wait(wait_s))

    @delete("/{job_id:str}", status_code=202)
    async def cancel(self, fleet: InjectedFleet, job_id: FromPath[str]) -> JobView:
        """Cancel a job; its running tasks are stopped."""
        return await fleet.cancel(check_job_id(job_id))

    @post("/{job_id:str}/retry", status_code=202)
    async def retry(self, fleet: InjectedFleet, job_id: FromPath[str]) -> JobView:
        """Give a failed or cancelled job another go."""
        return await fleet.retry(check_job_id(job_id))

    # The body may be left out, so that a person can pause with a bare POST.
    @post("/{job_id:str}/pause", status_code=202)
    async def pause(
        self, fleet: InjectedFleet, job_id: FromPath[str], data: JSONBody[PauseRequest | None] = None
    ) -> JobView:
        """Let nothing of a job begin until it is resumed; what runs finishes, or with `now` is stopped."""
        return await fleet.pauses.pause_job(check_job_id(job_id), now=data.now if data else False)

    @post("/{job_id:str}/resume", status_code=202)
    async def resume(self, fleet: InjectedFleet, job_id: FromPath[str]) -> JobView:
        """Let a paused job go on."""
        return await fleet.pauses.resume_job(check_job_id(job_id))

    @get("/{job_id:str}/events", media_type=EVENT_STREAM)
    async def events(
        self,
        fleet: InjectedFleet,
        end: InjectedEnd,
        job_id: FromPath[str],
        last_event_id: LastEventId = "",
        after: After = "",
    ) -> Stream:
        """Follow a job; the stream ends after its final event."""
        # Asked before the stream begins: after its first byte there is no status left to say that the job is unknown.
        await fleet.job(check_job_id(job_id))
        position = choose_position(last_event_id, after)
        chunks = follow_job(
            fleet.events(after=position, job=job_id),
            end,
            view=lambda: fleet.job(job_id),
            # Whoever goes on from a position has had a snapshot before it; the events since then tell the rest.
            with_snapshot=not position,
        )
        return Stream(chunks, media_type=EVENT_STREAM, headers=STREAM_HEADERS)
