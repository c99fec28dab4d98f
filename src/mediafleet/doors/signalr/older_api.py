"""`/api/tasks` and `/api/workers`: the REST of older fleets, over the same jobs and nodes as everything else."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter, SkipValidation

from mediafleet.domain.errors import NotFound
from mediafleet.domain.ids import node_of
from mediafleet.domain.job import JobView, Submission, shown_stage
from mediafleet.domain.limits import LimitWish
from mediafleet.domain.node import LINKED_STATES, NodeView
from mediafleet.domain.worker import LINK, task_key, worker_node_id
from mediafleet.doors.http.bodies import require_json
from mediafleet.doors.http.context import MOST_PER_PAGE, AnyRequest, InjectedFleet, principal_of
from mediafleet.doors.signalr.worker_book import WHOLE
from mediafleet.doors.signalr.worker_words import Capabilities, WorkerFacts
from mediafleet.kinds.subtitize import MOST_NUMBER, NAME
from mediafleet.ops.settings import SignalrSettings
from mediafleet.scheduler.facade import Fleet

MOST_LISTED = 10_000


class OlderApi(msgspec.Struct, frozen=True):
    """What these routes go by."""

    cell: str
    """As in `WorkerHub`."""
    limits: LimitWish

    @classmethod
    def of(cls, cell: str, settings: SignalrSettings) -> OlderApi:
        """Return it for an instance."""
        return cls(cell, LimitWish(max_tries=settings.retries + 1, total_ms=settings.task_timeout_s * 1000))


InjectedApi = NamedDependency[SkipValidation[OlderApi]]
_Number = FromPath[int]
_Limit = Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="Newest first.")]
_Offset = Annotated[int, QueryParameter(ge=0, le=10**9)]


class TaskRequest(msgspec.Struct, frozen=True):
    """A film to subtitle, by the paths that workers know. Fields of newer programs are passed over."""

    video_path: str
    raw_subtitle_path: str
    translated_subtitle_path: str
    language: str


class TaskAccepted(msgspec.Struct, frozen=True):
    """Answer to `POST /api/tasks`."""

    task_id: int
    status: str
    job_id: str
    """The same work at `/api/v1/jobs`."""


class TaskShown(msgspec.Struct, frozen=True):
    """A task as programs of an older fleet know it."""

    task_id: int
    status: str
    worker_id: str | None
    video_path: str
    raw_subtitle_path: str
    translated_subtitle_path: str
    language: str
    progress: int
    """0 to 10000."""
    state: str
    """The worker's own word."""
    created_at: str
    """ISO 8601, UTC."""
    started_at: str | None
    completed_at: str | None
    error: str | None
    job_id: str


class WorkerShown(msgspec.Struct, frozen=True):
    """A worker as programs of an older fleet know it."""

    worker_id: str
    endpoint: str
    status: str
    """Its own word while it is connected, else `offline`."""
    last_seen: str
    capabilities: Capabilities


class TasksController(Controller):
    """Tasks of workers by number."""

    path = "/api/tasks"
    tags = ("older fleets",)

    @post(status_code=201)
    async def submit(
        self, request: AnyRequest, fleet: InjectedFleet, older: InjectedApi, data: JSONBody[TaskRequest]
    ) -> TaskAccepted:
        """Have a worker subtitle a film."""
        while True:
            number = await fleet.workers.new_number()
            submission = Submission(
                kind=NAME,
                params={**msgspec.to_builtins(data), "number": number},
                idempotency_key=task_key(number),
                limits=older.limits,
                name=data.video_path[-100:],
            )
            (accepted,) = await fleet.submit([submission], principal=principal_of(request))
            # A counter may have lost its last second, and then gives numbers again that tasks have already.
            if accepted.created:
                return TaskAccepted(number, accepted.job.status, accepted.job.id)

    @get()
    async def all(self, fleet: InjectedFleet, limit: _Limit = MOST_LISTED, offset: _Offset = 0) -> dict[str, Any]:
        """Return tasks, newest first."""
        views = await _jobs(fleet, offset, limit)
        running = _workers_by_job(await fleet.nodes())
        return {"tasks": [show_task(view, running.get(view.id)) for view in views]}

    @get("/{number:int}")
    async def show(self, fleet: InjectedFleet, number: _Number) -> TaskShown:
        """Return one task."""
        return await _show(fleet, await _job(fleet, number))

    @delete("/{number:int}", status_code=200)
    async def cancel(self, fleet: InjectedFleet, number: _Number) -> TaskShown:
        """Cancel a task; its worker is told to stop."""
        return await _show(fleet, await fleet.cancel((await _job(fleet, number)).id))


class WorkersController(Controller):
    """Workers by the ids that they give themselves."""

    path = "/api/workers"
    tags = ("older fleets",)

    @get()
    async def all(self, fleet: InjectedFleet) -> dict[str, list[WorkerShown]]:
        """Return all workers that were ever seen and not forgotten since."""
        return {"workers": [show_worker(node) for node in await fleet.nodes() if node.link == LINK]}

    @get("/{worker_id:path}")
    async def show(self, fleet: InjectedFleet, older: InjectedApi, worker_id: FromPath[str]) -> WorkerShown:
        """Return one worker."""
        # A `path` begins with the slash before it.
        name = worker_id.removeprefix("/")
        try:
            return show_worker(await fleet.node(worker_node_id(older.cell, name)))
        except NotFound:
            raise NotFound(f"There is no worker {name[:100]!r}; GET /api/workers lists those there are.") from None


def show_task(view: JobView, worker: str | None) -> TaskShown:
    """Return a job of the kind `subtitize` as a task."""
    result = view.result or {}
    return TaskShown(
        task_id=view.params["number"],
        status=view.status,
        worker_id=result.get("worker_id") or worker,
        video_path=view.params["video_path"],
        raw_subtitle_path=result.get("raw_path") or view.params["raw_subtitle_path"],
        translated_subtitle_path=result.get("translated_path") or view.params["translated_subtitle_path"],
        language=view.params["language"],
        progress=round(view.progress * WHOLE),
        state=shown_stage(view.stage),
        created_at=_moment(view.created_ms),
        started_at=_moment(view.started_ms) if view.started_ms else None,
        completed_at=_moment(view.finished_ms) if view.finished_ms else None,
        error=view.error.message if view.error else None,
        job_id=view.id,
    )


def show_worker(node: NodeView) -> WorkerShown:
    """Return a node behind a `signalr` link as a worker."""
    facts = msgspec.convert(node.facts["worker"], WorkerFacts)
    status = facts.status if node.state in LINKED_STATES else "offline"
    return WorkerShown(facts.worker_id, facts.endpoint, status, _moment(node.seen_ms), facts.capabilities)


async def _job(fleet: Fleet, number: int) -> JobView:
    if not 1 <= number <= MOST_NUMBER:
        raise NotFound(f"There is no task {number}.")
    view = await fleet.job(await fleet.workers.numbered(number))
    # Anybody may give a job of his own a key such as ours.
    if view.kind != NAME or view.params.get("number") != number:
        raise NotFound(f"There is no task {number}.")
    return view


async def _show(fleet: Fleet, view: JobView) -> TaskShown:
    executor = next((task.executor for task in view.tasks if task.executor), "")
    worker = None
    if executor:
        # It may be forgotten since.
        with suppress(NotFound):
            worker = _worker_of(await fleet.node(node_of(executor)))
    return show_task(view, worker)


async def _jobs(fleet: Fleet, offset: int, limit: int) -> list[JobView]:
    views: list[JobView] = []
    while len(views) < limit:
        page = await fleet.jobs(kind=NAME, offset=offset + len(views), limit=min(MOST_PER_PAGE, limit - len(views)))
        views += page.jobs
        if not page.jobs:
            break
    return views


def _workers_by_job(nodes: Iterable[NodeView]) -> dict[str, str]:
    return {
        running.job: worker
        for node in nodes
        if (worker := _worker_of(node))
        for executor in node.executors
        for running in executor.running
    }


def _worker_of(node: NodeView) -> str | None:
    return node.facts["worker"]["worker_id"] if node.link == LINK and "worker" in node.facts else None


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def older_routes(cell: str, settings: SignalrSettings) -> Router:
    """Return the routes for Litestar."""
    older = OlderApi.of(cell, settings)
    provided = {"older": Provide(lambda: older, sync_to_thread=False, use_cache=True)}
    controllers = [TasksController, WorkersController]
    return Router(path="", route_handlers=controllers, dependencies=provided, guards=[require_json])
