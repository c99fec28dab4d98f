"""Reviews of the scheduler of a few lines: a job is in review when a test says so, and goes on when JSON is put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from mediafleet.domain.errors import Conflict, Outdated
from mediafleet.domain.event import EventType
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.review import check_json

if TYPE_CHECKING:
    from tests_support.fake_scheduler import FakeScheduler

DOCUMENT = b'{"text":"teh end"}'
TAG = '"read-1"'


def ask(scheduler: FakeScheduler, job: str, *reviews: str) -> None:
    """Let a job that is held wait for people."""

    def move() -> None:
        view = msgspec.structs.replace(scheduler.jobs[job], status=JobStatus.REVIEW, reviews=reviews or ("read",))
        scheduler.jobs[job] = view
        scheduler._tell(EventType.JOB_ASKED, job, {"status": "review"})

    scheduler._call(move)


def review_routes(scheduler: FakeScheduler) -> list[web.RouteDef]:
    """Return the routes; what was put back is found in `blobs` under the job's id."""

    def job_of(request: web.Request) -> JobView:
        view = scheduler.jobs[request.match_info["id"]]
        if view.status is not JobStatus.REVIEW:
            raise Conflict(f"The job {view.id} is {view.status}; it waits for no review.")
        return view

    async def show(request: web.Request) -> web.Response:
        name = request.query.get("review") or job_of(request).reviews[0]
        headers = {"ETag": TAG, "Mediafleet-Review": name, "Content-Disposition": 'attachment; filename="text.json"'}
        return web.Response(body=DOCUMENT, headers=headers, content_type="application/json")

    async def answer(request: web.Request) -> web.Response:
        view = job_of(request)
        if request.headers.get("If-Match", TAG) != TAG:
            raise Outdated("What was put back corrects another document; nothing was changed.")
        body = check_json(await request.read())
        scheduler.blobs[view.id] = (request.query.get("review", ""), body)
        done = msgspec.structs.replace(view, status=JobStatus.PROCESSING, reviews=())
        scheduler.jobs[view.id] = done
        return web.Response(body=msgspec.json.encode(done), content_type="application/json")

    path = "/api/v1/jobs/{id}/review"
    return [web.get(path, show), web.put(path, answer)]
