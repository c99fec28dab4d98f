"""The console's pages and fragments, and what its buttons do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, SkipValidation

from mediafleet.console.forms import PRIORITIES, fields_of, read_submission
from mediafleet.console.rendering import HTML, View, missing_vendor_files, render
from mediafleet.console.words import is_preview
from mediafleet.domain.clock import Clock
from mediafleet.domain.errors import InvalidRequest, MediafleetError
from mediafleet.domain.job import JobPage, JobView
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.problems import status_of
from mediafleet.doors.http.context import AnyRequest, InjectedFleet, check_job_id, check_page, principal_of
from mediafleet.doors.http.problems import PROBLEM_TYPE, answer_unforeseen, note_unforeseen, unforeseen_problem
from mediafleet.scheduler.facade import Fleet

ROWS = 25
"""Jobs on one page of the table."""
MOST_NODES = 60
"""Node cards on the page; a larger fleet is looked at through the API and `mediafleet nodes`."""
MOST_FIELDS = 200
"""Of a form; no kind has that many parameters, and millions would hold the loop for seconds."""
MOST_NAMES = 200
"""Running jobs whose names the cards show; of others the id."""
REFRESH = {"HX-Trigger": "refresh-jobs"}

InjectedClock = NamedDependency[SkipValidation[Clock]]


def answer_error(request: AnyRequest, error: MediafleetError) -> Response[str]:
    """Show an error as a sentence: in place for htmx, as a page otherwise."""
    return _show_problem(request, error.message, status_of(error))


def answer_bad_request(request: AnyRequest, error: HTTPException) -> Response[str]:
    """Show what the framework refuses as a sentence too."""
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _show_problem(request, "The form is too large; choose a file to upload instead.", error.status_code)
    sentence = "This address is not well formed; go back to the console and try again from there."
    return _show_problem(request, sentence, HTTPStatus.BAD_REQUEST)


def answer_unforeseen_page(request: AnyRequest, error: Exception) -> Response[Any]:
    """Show what nobody foresaw as a sentence to a person, and as a problem document to a program."""
    # The page stands last: a program that takes anything gets what programs read.
    if request.accept.best_match([PROBLEM_TYPE, "application/json", HTML]) != HTML:
        return answer_unforeseen(request, error)
    problem = unforeseen_problem(note_unforeseen(request.method, request.url.path, error))
    return _show_problem(request, problem.detail, problem.status)


def _show_problem(request: AnyRequest, sentence: str, status: int) -> Response[str]:
    template = "notice.html" if is_partial(request) else "error.html"
    return render(View(template, {"kind": "problem", "text": sentence, "job": None, **frame()}, status=status))


class ConsoleController(Controller):
    """Pages for people."""

    include_in_schema = False
    exception_handlers: Any = {MediafleetError: answer_error, HTTPException: answer_bad_request}  # noqa: RUF012 - Litestar reads it once, and wants a plain attribute

    @get("/")
    async def index(
        self,
        request: AnyRequest,
        fleet: InjectedFleet,
        clock: InjectedClock,
        status: FromQuery[str] = "",
        offset: FromQuery[int] = 0,
    ) -> Response[str]:
        """Show jobs, nodes and the form."""
        context = {
            **frame(),
            **await _jobs_context(fleet, status, offset),
            **await _nodes_context(fleet),
            **_form_context(fleet, ""),
            "now_ms": clock.now_ms(),
            "address": f"{request.url.scheme}://{request.url.netloc}",
        }
        return render(View("index.html", context))

    @get("/console/jobs")
    async def jobs(
        self, fleet: InjectedFleet, clock: InjectedClock, status: FromQuery[str] = "", offset: FromQuery[int] = 0
    ) -> Response[str]:
        """Return the table of jobs."""
        context = {**await _jobs_context(fleet, status, offset), "now_ms": clock.now_ms()}
        return render(View("jobs.html", context))

    @get("/console/nodes")
    async def nodes(self, request: AnyRequest, fleet: InjectedFleet) -> Response[str]:
        """Return the cards of nodes."""
        address = f"{request.url.scheme}://{request.url.netloc}"
        return render(View("nodes.html", {**await _nodes_context(fleet), "address": address}))

    @get("/console/fields", sync_to_thread=False)
    def fields(self, fleet: InjectedFleet, kind: FromQuery[str] = "") -> Response[str]:
        """Return the form fields of a kind."""
        return render(View("fields.html", _form_context(fleet, kind)))

    @get("/jobs/{job_id:str}")
    async def job(self, fleet: InjectedFleet, clock: InjectedClock, job_id: FromPath[str]) -> Response[str]:
        """Show one job with its outputs, its tasks and its events."""
        context = {**frame(), **await _job_context(fleet, job_id), "now_ms": clock.now_ms()}
        return render(View("job.html", context))

    @get("/console/jobs/{job_id:str}")
    async def job_part(self, fleet: InjectedFleet, clock: InjectedClock, job_id: FromPath[str]) -> Response[str]:
        """Return the part of a job's page that changes."""
        return render(View("job_part.html", {**await _job_context(fleet, job_id), "now_ms": clock.now_ms()}))

    @post("/console/jobs")
    async def submit(self, request: AnyRequest, fleet: InjectedFleet) -> Response[Any]:
        """Submit what the form says."""
        form = await read_form(request)
        kind = fleet.kinds.get(form.get("kind", ""))
        submission = read_submission(kind, form)
        if name := form.get("name", ""):
            submission = msgspec.structs.replace(submission, name=name)
        (accepted,) = await fleet.submit([submission], principal=principal_of(request))
        if not is_partial(request):
            return go_to(f"/jobs/{accepted.job.id}")
        if is_preview(kind.name, submission.params):
            return render(View("preview.html", _preview_context(await fleet.job(accepted.job.id)), headers=REFRESH))
        context = {"kind": "success", "text": "was accepted.", "job": accepted.job}
        return render(View("notice.html", context, headers=REFRESH))

    @get("/console/previews/{job_id:str}")
    async def preview(self, fleet: InjectedFleet, job_id: FromPath[str]) -> Response[str]:
        """Return what a job would do that only looks, once a node has looked."""
        return render(View("preview.html", _preview_context(await fleet.job(check_job_id(job_id)))))

    @post("/console/jobs/{job_id:str}/cancel")
    async def cancel(self, request: AnyRequest, fleet: InjectedFleet, job_id: FromPath[str]) -> Response[Any]:
        """Cancel a job."""
        view = await fleet.cancel(check_job_id(job_id))
        return _acted(request, view, "is being cancelled.")

    @post("/console/jobs/{job_id:str}/retry")
    async def retry(self, request: AnyRequest, fleet: InjectedFleet, job_id: FromPath[str]) -> Response[Any]:
        """Give a job another go."""
        view = await fleet.retry(check_job_id(job_id))
        return _acted(request, view, "gets another go.")

    @post("/console/jobs/{job_id:str}/pause")
    async def pause(self, request: AnyRequest, fleet: InjectedFleet, job_id: FromPath[str]) -> Response[Any]:
        """Let nothing of a job begin; what runs finishes."""
        view = await fleet.pauses.pause_job(check_job_id(job_id))
        return _acted(request, view, "is paused; what runs finishes.")

    @post("/console/jobs/{job_id:str}/resume")
    async def resume(self, request: AnyRequest, fleet: InjectedFleet, job_id: FromPath[str]) -> Response[Any]:
        """Let a paused job go on."""
        view = await fleet.pauses.resume_job(check_job_id(job_id))
        return _acted(request, view, "goes on.")

    @post("/console/nodes/{node_id:str}/drain")
    async def drain(self, request: AnyRequest, fleet: InjectedFleet, node_id: FromPath[str]) -> Response[Any]:
        """Let a node drain, or take work again."""
        form = await read_form(request)
        await fleet.drain(node_id, draining=form.get("draining") != "no")
        return await self._nodes_or_home(request, fleet)

    @post("/console/nodes/{node_id:str}/pause")
    async def pause_node(self, request: AnyRequest, fleet: InjectedFleet, node_id: FromPath[str]) -> Response[Any]:
        """Give a node nothing new; what it runs finishes."""
        await fleet.pauses.pause_node(node_id)
        return await self._nodes_or_home(request, fleet)

    @post("/console/nodes/{node_id:str}/resume")
    async def resume_node(self, request: AnyRequest, fleet: InjectedFleet, node_id: FromPath[str]) -> Response[Any]:
        """Let a paused node take work again."""
        await fleet.pauses.resume_node(node_id)
        return await self._nodes_or_home(request, fleet)

    @post("/console/pause")
    async def pause_fleet(self, request: AnyRequest, fleet: InjectedFleet) -> Response[Any]:
        """Let nothing begin anywhere; what runs finishes."""
        await fleet.pauses.pause_fleet()
        return await self._nodes_or_home(request, fleet)

    @post("/console/resume")
    async def resume_fleet(self, request: AnyRequest, fleet: InjectedFleet) -> Response[Any]:
        """Let a paused fleet go on."""
        await fleet.pauses.resume_fleet()
        return await self._nodes_or_home(request, fleet)

    async def _nodes_or_home(self, request: AnyRequest, fleet: Fleet) -> Response[Any]:
        if not is_partial(request):
            return go_to("/")
        address = f"{request.url.scheme}://{request.url.netloc}"
        # The table of jobs says whether the fleet is paused, and changes with it.
        context = {**await _nodes_context(fleet), "address": address}
        return render(View("nodes.html", context, headers=REFRESH))


def is_partial(request: AnyRequest) -> bool:
    """Tell whether htmx asks for a fragment."""
    return request.headers.get("hx-request") == "true"


def _acted(request: AnyRequest, job: Any, text: str) -> Response[Any]:
    if not is_partial(request):
        return go_to(f"/jobs/{job.id}")
    return render(View("notice.html", {"kind": "success", "text": text, "job": job}, headers=REFRESH))


def go_to(target: str) -> Response[Any]:
    """Return an answer that sends a browser to another page."""
    return Response(b"", status_code=303, headers={"Location": target})


async def read_form(request: AnyRequest) -> dict[str, str]:
    """Return the fields of a form. Raises InvalidRequest for one with too many."""
    # A page in UTF-8 is answered in UTF-8; other bytes become marks that a person can see, rather than an error.
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise InvalidRequest(f"A form has at most {MOST_FIELDS} fields.") from error


def frame() -> dict[str, Any]:
    """Return what every page is drawn with."""
    return {"missing": missing_vendor_files()}


async def _jobs_context(fleet: Fleet, status: str, offset: int) -> dict[str, Any]:
    check_page(offset, ROWS)
    page = await fleet.jobs(status=_read_status(status), offset=offset, limit=ROWS)
    return {"page": page, "status": status, "stats": await fleet.stats(), **_page_links(page, status)}


def _read_status(status: str) -> JobStatus | None:
    if not status:
        return None
    try:
        return JobStatus(status)
    except ValueError:
        # Read here and not by the framework, whose complaint would name neither the status nor a way out.
        raise InvalidRequest(f"{status[:40]!r} is no status of a job; choose one from the list.") from None


def _page_links(page: JobPage, status: str) -> dict[str, str]:
    """Return the query of the table's own place, the newer and the older page; empty where there is none."""
    older = page.offset + ROWS
    return {
        "here": _query(status, page.offset),
        "newer": _query(status, max(0, page.offset - ROWS)) if page.offset else "",
        "older": _query(status, older) if older < page.total else "",
    }


def _query(status: str, offset: int) -> str:
    return urlencode({"status": status, "offset": offset})


async def _nodes_context(fleet: Fleet) -> dict[str, Any]:
    nodes = sorted(await fleet.nodes(), key=lambda node: (node.state, node.host, node.id))
    # One question for all the names, however many slots there are on the page.
    running = await fleet.jobs(status=JobStatus.PROCESSING, limit=MOST_NAMES)
    return {
        "nodes": nodes[:MOST_NODES],
        "hidden_nodes": max(0, len(nodes) - MOST_NODES),
        "is_fleet_paused": (await fleet.pauses.fleet()).paused,
        "job_names": {job.id: job.name for job in running.jobs},
    }


def _form_context(fleet: Fleet, name: str) -> dict[str, Any]:
    # Most come to transcode, and nobody but a tester for `noop`.
    kinds = sorted(fleet.kinds, key=lambda kind: (kind.name != "transcode", kind.name == "noop", kind.name))
    chosen = fleet.kinds.get(name) if name else next(iter(kinds), None)
    fields = fields_of(chosen) if chosen else []
    return {"kinds": kinds, "chosen": chosen, "fields": fields, "priorities": PRIORITIES}


async def _job_context(fleet: Fleet, job_id: str) -> dict[str, Any]:
    job = await fleet.job(check_job_id(job_id))
    waits = job.status in {JobStatus.PENDING, JobStatus.UPLOADING, JobStatus.PAUSED, JobStatus.REVIEW}
    return {**_preview_context(job), "why": await fleet.why(job_id) if waits else None}


def _preview_context(job: JobView) -> dict[str, Any]:
    return {"job": job, "plan": job.result if is_preview(job.kind, job.params) else None}
