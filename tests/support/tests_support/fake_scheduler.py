"""A scheduler of a few lines that speaks the REST contract over real sockets: what client and CLI are tested against.

It runs on a thread of its own, so that a test may call `main()`, which brings its own event loop. Jobs complete at
once unless a test holds them or names another outcome.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.batch import BatchJob, BatchView, JobPace, sum_up
from mediafleet.domain.capability import Requirement, Signature
from mediafleet.domain.catalogue import CatalogueSource, CatalogueView
from mediafleet.domain.dead import DeadLetter, DeadLetterPage
from mediafleet.domain.errors import (
    ErrorInfo,
    IllegalTransition,
    InputError,
    MediafleetError,
    NotFound,
    Unauthorized,
    Unavailable,
    UploadMismatch,
)
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.explanation import Ask, FleetSnapshot, JobWhy, PoolMembers, Simulation, TaskWhy
from mediafleet.domain.ids import new_artifact_id, new_job_id
from mediafleet.domain.insight import LevelRequest, LogLevels, MetricValue, MetricView
from mediafleet.domain.job import JobPage, JobView, Submission
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, JobStatus, TaskState
from mediafleet.domain.node import ExecutorView, NodeState, NodeView, PoolView
from mediafleet.domain.pause import NOT_PAUSED, FleetPause, PauseRequest
from mediafleet.domain.problems import status_of
from mediafleet.scheduler.why import explain
from tests_support.accepting import all_accepted
from tests_support.review_routes import review_routes

DEADLINE_S = 20.0
RESULT = b"the result"

EVENT_OF = {
    JobStatus.COMPLETED: EventType.JOB_COMPLETED,
    JobStatus.FAILED: EventType.JOB_FAILED,
    JobStatus.CANCELLED: EventType.JOB_CANCELLED,
}

NODE = NodeView(
    id="n0-studio-abc123",
    host="studio",
    version="0.1.0",
    state=NodeState.READY,
    registered_ms=1,
    seen_ms=2,
    executors=(ExecutorView("n0-studio-abc123/cpu", "cpu", "f" * 16, 2, 1, ("kind:noop",)),),
)
KINDS: list[dict[str, Any]] = [{"name": "noop"}]
METRICS = [MetricView("mediafleet_nodes", "gauge", "Nodes by state.", [MetricValue({"state": "ready"}, 1.0)])]
POOL = PoolView("f" * 16, ("kind:noop",), slots=2, executors=1, free=1)
SNAPSHOT = FleetSnapshot(
    1,
    (
        PoolMembers("e" * 16, Signature(("lang:en",), 2), {"n0-studio-abc123/cpu": 2}),
        PoolMembers(POOL.pool, Signature(POOL.capabilities, POOL.slots)),
    ),
)


class FakeScheduler:
    """The fake; used as a `with` block. All attributes may be read and set from the test's thread."""

    def __init__(self, *, token: str = "") -> None:
        self.token = token
        self.url = ""
        self.sees_files = True
        """False: `file://` inputs are refused as not visible."""
        self.holding = False
        """True: jobs stay in processing until `finish`."""
        self.results: dict[str, dict[str, Any]] = {}
        """Accounts of jobs that complete, by their names; those that have one make no outputs."""
        self.outcomes: dict[str, ErrorInfo] = {}
        """Job name → error that it fails with."""
        self.refusals: dict[str, MediafleetError] = {}
        """Job name → error that its submission is answered with."""
        self.outages = 0
        """How many further requests are answered with 503."""
        self.warnings: tuple[str, ...] = ()
        self.submissions: list[Submission] = []
        self.jobs: dict[str, JobView] = {}
        self.letters: list[DeadLetter] = []
        self.blobs: dict[str, tuple[str, bytes]] = {}
        self.cut_uploads: list[int] = []
        """At which offset each of the next uploads' parts breaks off."""
        self.received = 0
        """Bytes that came with uploads, over all tries."""
        self.levels: dict[str, str] = {}
        self.fleet_pause = NOT_PAUSED
        self.events: list[Event] = []
        self.requests: list[str] = []
        self.catalogue = CatalogueView(CatalogueSource.BUILT_IN, "", "", (), None, None)
        self.resumed_from: list[str] = []
        """`Last-Event-ID` of each stream that was opened."""
        self.holders = 0
        """Open streams that count as clients."""
        self.streams = 0
        self._keys: dict[str, str] = {}
        self._queues: set[asyncio.Queue[Event | None]] = set()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._started = threading.Event()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(DEADLINE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Go away at once, as a killed process does."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(DEADLINE_S)

    def wait_until(self, claim: Callable[[], bool]) -> None:
        """Wait until a claim about the fake holds."""
        with self._changed:
            assert self._changed.wait_for(claim, DEADLINE_S), "the claim did not come true in time"

    def finish(self, job_id: str, status: JobStatus = JobStatus.COMPLETED) -> None:
        """End a held job."""
        self._call(lambda: self._end(job_id, status))

    def progress(self, job_id: str, share: float, stage: str) -> None:
        """Let a held job move."""

        def move() -> None:
            self.jobs[job_id] = msgspec.structs.replace(self.jobs[job_id], progress=share, stage=stage)
            self._tell(EventType.JOB_PROGRESSED, job_id, {"progress": share, "stage": stage})

        self._call(move)

    def drop_streams(self) -> None:
        """Close every open event stream; their clients may come back."""
        self._call(lambda: [queue.put_nowait(None) for queue in self._queues])

    def _call(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(DEADLINE_S)

    def _note(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 30)
        app.add_routes(self._routes())
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._stop.wait()
        for queue in self._queues:
            queue.put_nowait(None)
        await all_accepted()
        await runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        job = "/api/v1/jobs/{id}"
        return [
            web.get("/health", self._answer(lambda _: {"status": "ok"})),
            web.post("/api/v1/jobs", self._submit),
            web.get("/api/v1/jobs", self._answer(self._page)),
            web.get(job, self._answer(lambda request: self._job(request.match_info["id"]))),
            web.delete(job, self._answer(self._cancel, 202)),
            web.post(job + "/retry", self._answer(self._retry, 202)),
            web.get(job + "/why", self._answer(self._why)),
            web.post("/api/v1/simulate", self._simulate),
            web.get(job + "/events", self._stream),
            web.get("/api/v1/events", self._stream),
            web.post("/api/v1/artifacts", self._announce),
            web.put("/api/v1/artifacts/{id}", self._receive),
            web.get("/api/v1/artifacts/{id}", self._send, allow_head=False),
            web.head("/api/v1/artifacts/{id}", self._tell_offset),
            web.get("/api/v1/dead-letters", self._answer(self._letters)),
            web.get("/api/v1/dead-letters/{id}", self._answer(self._letter)),
            web.post("/api/v1/dead-letters/{id}/retry", self._answer(self._retry_letter, 202)),
            web.delete("/api/v1/dead-letters/{id}", self._drop_letter),
            web.get("/api/v1/nodes", self._answer(lambda _: [NODE])),
            web.get("/api/v1/nodes/{id}", self._answer(self._node)),
            web.post("/api/v1/nodes/{id}/drain", self._drain),
            *(web.post(f"{job}/{verb}", self._pause) for verb in ("pause", "resume")),
            *(web.post(f"/api/v1/nodes/{{id}}/{verb}", self._pause_node) for verb in ("pause", "resume")),
            web.get("/api/v1/batches/{id}", self._answer(self._batch)),
            web.get("/api/v1/pause", self._answer(lambda _: self.fleet_pause)),
            *(web.post(f"/api/v1/{verb}", self._pause_fleet) for verb in ("pause", "resume")),
            *review_routes(self),
            web.get("/api/v1/catalogue", self._answer(lambda _: self.catalogue)),
            web.get("/api/v1/pools", self._answer(lambda _: [POOL])),
            web.get("/api/v1/kinds", self._answer(lambda _: KINDS)),
            web.get("/api/v1/stats", self._answer(lambda _: {"queued_tasks": 0})),
            web.get("/api/v1/metrics", self._answer(lambda _: METRICS)),
            web.get("/api/v1/log-levels", self._answer(lambda _: LogLevels("info", self.levels))),
            web.put("/api/v1/log-levels", self._set_level),
            web.get("/api/v1/cluster", self._answer(lambda _: {"store": {"reachable": True, "schema": 1}})),
        ]

    def _answer(self, make: Callable[[web.Request], object], status: int = 200) -> Any:
        async def handle(request: web.Request) -> web.Response:
            return _json(make(request), status)

        return handle

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        self._note()
        try:
            if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                raise Unauthorized("This fleet asks for a token.")
            if self.outages and request.path != "/health":
                self.outages -= 1
                raise Unavailable("The store is away.")
            return await handler(request)
        except MediafleetError as error:
            problem = {"code": error.code, "detail": error.message, "status": status_of(error)}
            return web.json_response(problem, status=status_of(error), content_type="application/problem+json")
        finally:
            self._note()

    # --- jobs -----------------------------------------------------------------------------

    async def _submit(self, request: web.Request) -> web.Response:
        body: Submission | list[Submission] = msgspec.json.decode(
            await request.read(), type=Submission | list[Submission]
        )
        if isinstance(body, list):
            return _json([self._accept(one) for one in body], 201)
        return _json(self._accept(body), 201)

    def _accept(self, submission: Submission) -> JobView:
        if known := self._keys.get(submission.idempotency_key):
            return self.jobs[known]
        if refusal := self.refusals.get(submission.name):
            raise refusal
        if not self.sees_files and any(uri.startswith("file:") for uri in submission.input_uris):
            raise InputError("The scheduler cannot see this file; upload it.")
        view = JobView(
            new_job_id("0"), submission.kind, submission.name, JobStatus.PROCESSING, 0.0, "starting",
            submission.priority, submission.tenant, 1, 1, params=submission.params, batch=submission.batch,
            inputs=tuple(ArtifactRef("", uri, uri) for uri in submission.input_uris),
        )  # fmt: skip
        self.submissions.append(submission)
        self.jobs[view.id] = view
        self._keys[submission.idempotency_key or view.id] = view.id
        self._tell(EventType.JOB_ACCEPTED, view.id, {})
        if not self.holding:
            self._loop.call_soon(self._end, view.id, JobStatus.COMPLETED)
        return view

    def _end(self, job_id: str, status: JobStatus) -> None:
        view = self.jobs[job_id]
        if view.status in FINAL_JOB_STATUSES:
            return
        error = self.outcomes.get(view.name)
        status = JobStatus.FAILED if error and status is JobStatus.COMPLETED else status
        result = self.results.get(view.name)
        outputs = (self._make_output(view),) if status is JobStatus.COMPLETED and view.inputs and not result else ()
        self.jobs[job_id] = msgspec.structs.replace(
            view,
            status=status,
            error=error,
            outputs=outputs,
            progress=1.0,
            finished_ms=2,
            warnings=self.warnings,
            result=result,
        )
        self._tell(EVENT_OF[status], job_id, {"status": status})

    def _make_output(self, view: JobView) -> ArtifactRef:
        stem = view.name.rpartition(".")[0] or view.name or "output"
        ending = view.params.get("container") or {"mp3": "mp3"}.get(view.params.get("preset", ""), "mp4")
        return self._store(f"{stem}.{ending}", RESULT)

    def _store(self, name: str, content: bytes) -> ArtifactRef:
        artifact = new_artifact_id("0")
        self.blobs[artifact] = (name, content)
        return ArtifactRef(artifact, name, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def _job(self, job_id: str) -> JobView:
        if view := self.jobs.get(job_id):
            return view
        raise NotFound(f"There is no job {job_id!r}.")

    def _page(self, request: web.Request) -> JobPage:
        query = request.query
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 50))
        wanted = [
            view
            for view in reversed(self.jobs.values())
            if query.get("status", view.status) == view.status and query.get("kind", view.kind) == view.kind
        ]
        return JobPage(wanted[offset : offset + limit], len(wanted), offset, limit)

    def _cancel(self, request: web.Request) -> JobView:
        view = self._job(request.match_info["id"])
        if view.status in FINAL_JOB_STATUSES:
            raise IllegalTransition(f"Job {view.id}", view.status, "cancel")
        self._end(view.id, JobStatus.CANCELLED)
        return self.jobs[view.id]

    def _retry(self, request: web.Request) -> JobView:
        view = self._job(request.match_info["id"])
        if view.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
            raise IllegalTransition(f"Job {view.id}", view.status, "revive")
        self.jobs[view.id] = msgspec.structs.replace(view, status=JobStatus.PENDING, error=None)
        return self.jobs[view.id]

    def _letters(self, request: web.Request) -> DeadLetterPage:
        offset, limit = int(request.query["offset"]), int(request.query["limit"])
        return DeadLetterPage(self.letters[offset : offset + limit], len(self.letters), offset, limit)

    def _letter(self, request: web.Request) -> DeadLetter:
        for letter in self.letters:
            if letter.task == request.match_info["id"]:
                return letter
        raise NotFound(f"There is no dead letter {request.match_info['id']!r}.")

    def _retry_letter(self, request: web.Request) -> JobView:
        return self._job(self._letter(request).job)

    async def _drop_letter(self, request: web.Request) -> web.Response:
        self.letters.remove(self._letter(request))
        return web.Response(status=204)

    def _why(self, request: web.Request) -> JobWhy:
        view = self._job(request.match_info["id"])
        task = TaskWhy(f"{view.id}.run", TaskState.NEW, "It waits.", explain(SNAPSHOT, Ask(Requirement(("lang:en",)))))
        return JobWhy(view.id, view.status, "The task run waits: It waits.", (task,), 2)

    async def _simulate(self, request: web.Request) -> web.Response:
        wish = msgspec.json.decode(await request.read(), type=Simulation)
        return _json(explain(SNAPSHOT, Ask(Requirement(wish.capabilities, wish.slots))), 200)

    # --- nodes ----------------------------------------------------------------------------

    def _node(self, request: web.Request) -> NodeView:
        if request.match_info["id"] == NODE.id:
            return NODE
        raise NotFound(f"There is no node {request.match_info['id']!r}.")

    async def _drain(self, request: web.Request) -> web.Response:
        node, draining = self._node(request), (await request.json())["draining"]
        state = NodeState.DRAINING if draining else NodeState.READY
        return _json(msgspec.structs.replace(node, state=state), 202)

    def _batch(self, request: web.Request) -> BatchView:
        views = [view for view in self.jobs.values() if view.batch == request.match_info["id"]]
        jobs = tuple(BatchJob(one.id, one.name, one.status, one.progress, one.stage) for one in views)
        paces = [JobPace(one.status, one.progress, 1_000, one.finished_ms) for one in views]
        return sum_up(request.match_info["id"], paces, now_ms=61_000, jobs=jobs)

    async def _pause(self, request: web.Request) -> web.Response:
        view, wish = self._job(request.match_info["id"]), await _read_pause(request)
        if view.status in FINAL_JOB_STATUSES:
            raise IllegalTransition(f"Job {view.id}", view.status, "pause")
        self.jobs[view.id] = msgspec.structs.replace(view, status=JobStatus.PAUSED if wish else JobStatus.PENDING)
        return _json(self.jobs[view.id], 202)

    async def _pause_node(self, request: web.Request) -> web.Response:
        state = NodeState.PAUSED if await _read_pause(request) else NodeState.READY
        return _json(msgspec.structs.replace(self._node(request), state=state), 202)

    async def _pause_fleet(self, request: web.Request) -> web.Response:
        wish = await _read_pause(request)
        self.fleet_pause = FleetPause(paused=True, since_ms=7, now=wish.now) if wish else NOT_PAUSED
        return _json(self.fleet_pause, 202)

    async def _set_level(self, request: web.Request) -> web.Response:
        wish = msgspec.json.decode(await request.read(), type=LevelRequest)
        self.levels[wish.module] = wish.level
        return _json(LogLevels("info", self.levels), 200)

    # --- events ---------------------------------------------------------------------------

    def _tell(self, type_: EventType, job_id: str, data: dict[str, Any]) -> None:
        event = Event(f"{len(self.events) + 1}-0", type_, 1, job=job_id, data=data)
        self.events.append(event)
        for queue in self._queues:
            queue.put_nowait(event)
        self._note()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        job_id, last = request.match_info.get("id", ""), request.headers.get("Last-Event-ID", "")
        if job_id:
            self._job(job_id)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"retry: 20\n: fake\n\n")
        held = request.query.get("client") == "1"
        self.resumed_from.append(last)
        self.holders += held
        self.streams += 1
        self._note()
        try:
            if job_id and not last:
                await response.write(b"event: job.snapshot\ndata: %s\n\n" % msgspec.json.encode(self._job(job_id)))
            async for event in self._after(last):
                if job_id in {"", event.job}:
                    await response.write(
                        b"id: %s\nevent: %s\ndata: %s\n\n"
                        % (event.id.encode(), event.type.encode(), msgspec.json.encode(event))
                    )
        except ConnectionError:
            pass
        finally:
            self.holders -= held
            self.streams -= 1
            self._note()
        return response

    async def _after(self, last: str) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        known = [event.id for event in self.events]
        for event in self.events[known.index(last) + 1 if last in known else len(known) :]:
            queue.put_nowait(event)
        self._queues.add(queue)
        try:
            while event := await queue.get():
                yield event
        finally:
            self._queues.discard(queue)

    # --- artifacts ------------------------------------------------------------------------

    async def _announce(self, request: web.Request) -> web.Response:
        said = await request.json()
        artifact = new_artifact_id("0")
        self.blobs[artifact] = (said["name"], b"")
        return _json({"id": artifact, "offset": 0, "length": said["size"]}, 201)

    async def _receive(self, request: web.Request) -> web.Response:
        artifact, limit = request.match_info["id"], self.cut_uploads.pop(0) if self.cut_uploads else 1 << 40
        name, content = self.blobs[artifact]
        if int(request.query["offset"]) != len(content):
            raise UploadMismatch(f"Go on from offset {len(content)}.")
        async for chunk in request.content.iter_any():
            self.received += len(chunk)
            content += chunk
            if len(content) > limit:
                self.blobs[artifact] = (name, content[:limit])
                assert request.transport is not None
                request.transport.close()
                break
        else:
            self.blobs[artifact] = (name, content)
        return _json(ArtifactRef(artifact, name, size=len(content), sha256=hashlib.sha256(content).hexdigest()), 200)

    async def _tell_offset(self, request: web.Request) -> web.Response:
        _, content = self.blobs[request.match_info["id"]]
        return web.Response(headers={"Upload-Offset": str(len(content))})

    async def _send(self, request: web.Request) -> web.Response:
        with suppress(KeyError):
            _, content = self.blobs[request.match_info["id"]]
            return web.Response(body=content, headers={"ETag": f'"{hashlib.sha256(content).hexdigest()}"'})
        raise NotFound("There is no such artifact.")


async def _read_pause(request: web.Request) -> PauseRequest | None:
    """Return how something is to be paused; None where it is to go on."""
    is_pause = request.path.endswith("/pause")
    return msgspec.json.decode(await request.read(), type=PauseRequest) if is_pause else None


def _json(value: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
