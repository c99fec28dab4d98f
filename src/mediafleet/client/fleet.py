"""The routes of `docs/reference/rest-api.md` as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from mediafleet.artifacts.transfer import ArtifactClient
from mediafleet.client.events import EventFeed
from mediafleet.client.reviews import fetch_review, put_review
from mediafleet.client.transport import Transport
from mediafleet.domain.batch import BatchView
from mediafleet.domain.catalogue import CatalogueView
from mediafleet.domain.dead import DeadLetter, DeadLetterPage
from mediafleet.domain.explanation import Explanation, JobWhy, Simulation
from mediafleet.domain.insight import LevelRequest, LogLevels, MetricView
from mediafleet.domain.job import JobPage, JobView, Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import NodeView, PoolView
from mediafleet.domain.pause import FleetPause, PauseRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from types import TracebackType

    from mediafleet.domain.errors import QueueFull
    from mediafleet.domain.event import Event
    from mediafleet.domain.review import ReviewAnswer, ReviewDocument

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long a followed scheduler may be away: a restart takes seconds."""


class JobFilter(msgspec.Struct, frozen=True):
    """Which jobs to list."""

    status: JobStatus | None = None
    kind: str = ""
    offset: int = 0
    limit: int = 50
    """1 to 500."""

    @property
    def query(self) -> str:
        """The filter as the query part of an address."""
        wanted = {"status": self.status or "", "kind": self.kind, "offset": self.offset, "limit": self.limit}
        return urlencode({name: value for name, value in wanted.items() if value != ""})


class FleetClient:
    """A connection to one fleet; an `async with` block opens and closes it.

    Every method raises the `MediafleetError` that the scheduler names, and `SchedulerUnavailable` where none answers.
    Requests that are safe to repeat are tried again for a few seconds first; so is any that found the queue full, at the
    scheduler's pace.
    """

    def __init__(
        self, base_url: str, token: str = "", *, on_full: Callable[[QueueFull, float], None] | None = None
    ) -> None:
        """Prepare a connection; `on_full` is told of each wait for a queue that is full, and of its seconds."""
        self._transport = Transport(base_url, token, on_full=on_full)
        self._artifacts: ArtifactClient | None = None

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()

    @property
    def base_url(self) -> str:
        """Address of the scheduler, without a slash at its end."""
        return self._transport.base_url

    @property
    def artifacts(self) -> ArtifactClient:
        """Uploads and downloads on the same session."""
        if self._artifacts is None:
            self._artifacts = ArtifactClient(self._transport.session, self.base_url)
        return self._artifacts

    async def submit(self, submission: Submission) -> JobView:
        """Hand in one job; with an idempotency key it is safe to call again."""
        repeat = bool(submission.idempotency_key)
        return await self._transport.ask("POST", "/api/v1/jobs", JobView, body=submission, repeat=repeat)

    async def submit_many(self, submissions: Sequence[Submission]) -> list[JobView]:
        """Hand in up to 10,000 jobs, all or none; the answers are in the same order.

        Should it break off, call it again with the same idempotency keys: what was accepted is found, the rest is new.
        """
        # With keys a repeat finds the first jobs again; one submission without would be a second job.
        repeat = all(submission.idempotency_key for submission in submissions)
        return await self._transport.ask("POST", "/api/v1/jobs", list[JobView], body=list(submissions), repeat=repeat)

    async def job(self, job_id: str, *, wait_s: float = 0) -> JobView:
        """Return a job with its tasks: at once, or when it is final or `wait_s` (at most 60) are over."""
        query = f"?wait_s={wait_s:g}" if wait_s else ""
        return await self._get(f"/api/v1/jobs/{_part(job_id)}{query}", JobView)

    async def jobs(self, wanted: JobFilter | None = None) -> JobPage:
        """Return one page of jobs, newest first."""
        return await self._get(f"/api/v1/jobs?{(wanted or JobFilter()).query}", JobPage)

    async def cancel(self, job_id: str) -> JobView:
        """End a job; raises IllegalTransition or Conflict if it is final."""
        # Never repeated: the second try would find the job final and report a failure that was none.
        return await self._transport.ask("DELETE", f"/api/v1/jobs/{_part(job_id)}", JobView)

    async def retry(self, job_id: str) -> JobView:
        """Give a failed or cancelled job another go."""
        return await self._transport.ask("POST", f"/api/v1/jobs/{_part(job_id)}/retry", JobView)

    async def review(self, job_id: str, *, review: str = "") -> ReviewDocument:
        """Return the document of a review that waits; `review` names it where there are several."""
        return await fetch_review(self._transport, f"/api/v1/jobs/{_part(job_id)}", review)

    async def answer_review(self, job_id: str, answer: ReviewAnswer) -> JobView:
        """Put a document back, and let its job go on; safe to call again with the same bytes.

        Raises:
            InvalidParams: The job's kind cannot go on with it; the sentence says what to mend.
            Outdated: It corrects another document than the one that waits.
            Conflict: The job is in another status, or somebody else has answered.
        """
        return await put_review(self._transport, f"/api/v1/jobs/{_part(job_id)}", answer)

    async def batch(self, batch: str, *, offset: int = 0, limit: int = 50) -> BatchView:
        """Return how far a batch is, with one page of its jobs."""
        return await self._get(
            f"/api/v1/batches/{_part(batch)}?{urlencode({'offset': offset, 'limit': limit})}", BatchView
        )

    async def pause(self, job_id: str, *, now: bool = False) -> JobView:
        """Let nothing of a job begin until it is resumed; what runs finishes, or is stopped now."""
        path = f"/api/v1/jobs/{_part(job_id)}/pause"
        return await self._transport.ask("POST", path, JobView, body=PauseRequest(now), repeat=True)

    async def resume(self, job_id: str) -> JobView:
        """Let a paused job go on."""
        return await self._transport.ask("POST", f"/api/v1/jobs/{_part(job_id)}/resume", JobView, repeat=True)

    async def pause_node(self, node_id: str, *, now: bool = False) -> NodeView:
        """Let a node take nothing new until it is resumed."""
        path = f"/api/v1/nodes/{_part(node_id)}/pause"
        return await self._transport.ask("POST", path, NodeView, body=PauseRequest(now), repeat=True)

    async def resume_node(self, node_id: str) -> NodeView:
        """Let a paused node take work again."""
        return await self._transport.ask("POST", f"/api/v1/nodes/{_part(node_id)}/resume", NodeView, repeat=True)

    async def pause_fleet(self, *, now: bool = False) -> FleetPause:
        """Let nothing begin on any node until the fleet is resumed."""
        return await self._transport.ask("POST", "/api/v1/pause", FleetPause, body=PauseRequest(now), repeat=True)

    async def resume_fleet(self) -> FleetPause:
        """Let the fleet go on."""
        return await self._transport.ask("POST", "/api/v1/resume", FleetPause, repeat=True)

    async def fleet_pause(self) -> FleetPause:
        """Return whether the fleet is paused."""
        return await self._get("/api/v1/pause", FleetPause)

    async def dead_letters(self, *, offset: int = 0, limit: int = 50) -> DeadLetterPage:
        """Return one page of the tasks that failed for good, newest first."""
        return await self._get(f"/api/v1/dead-letters?{urlencode({'offset': offset, 'limit': limit})}", DeadLetterPage)

    async def dead_letter(self, task: str) -> DeadLetter:
        """Return one task that failed for good, with its attempts."""
        return await self._get(f"/api/v1/dead-letters/{_part(task)}", DeadLetter)

    async def retry_dead_letter(self, task: str) -> JobView:
        """Give the job of such a task another go."""
        return await self._transport.ask("POST", f"/api/v1/dead-letters/{_part(task)}/retry", JobView)

    async def drop_dead_letter(self, task: str) -> None:
        """Take such a task off the list; its job stays as it is."""
        async with self._transport.send("DELETE", f"/api/v1/dead-letters/{_part(task)}"):
            pass

    async def nodes(self) -> list[NodeView]:
        """Return all nodes that the fleet knows."""
        return await self._get("/api/v1/nodes", list[NodeView])

    async def node(self, node_id: str) -> NodeView:
        """Return one node."""
        return await self._get(f"/api/v1/nodes/{_part(node_id)}", NodeView)

    async def drain(self, node_id: str, *, draining: bool = True) -> NodeView:
        """Let a node finish what it runs and take nothing new, or undo that."""
        path = f"/api/v1/nodes/{_part(node_id)}/drain"
        return await self._transport.ask("POST", path, NodeView, body={"draining": draining}, repeat=True)

    async def pools(self) -> list[PoolView]:
        """Return the pools that have executors."""
        return await self._get("/api/v1/pools", list[PoolView])

    async def catalogue(self) -> CatalogueView:
        """Return which services provide which features."""
        return await self._get("/api/v1/catalogue", CatalogueView)

    async def why(self, job_id: str) -> JobWhy:
        """Return why a job's tasks wait."""
        return await self._get(f"/api/v1/jobs/{_part(job_id)}/why", JobWhy)

    async def simulate(self, wish: Simulation) -> Explanation:
        """Return what would become of a task now; nothing is reserved."""
        return await self._transport.ask("POST", "/api/v1/simulate", Explanation, body=wish, repeat=True)

    async def kinds(self) -> list[dict[str, Any]]:
        """Return the job kinds with the JSON schema of their params."""
        return await self._get("/api/v1/kinds", list[dict[str, Any]])

    async def stats(self) -> dict[str, Any]:
        """Return counts of jobs, nodes, slots and queued tasks."""
        return await self._get("/api/v1/stats", dict[str, Any])

    async def metrics(self) -> list[MetricView]:
        """Return what the instance that answers counts, as data."""
        return await self._get("/api/v1/metrics", list[MetricView])

    async def log_levels(self) -> LogLevels:
        """Return which lines the instances write."""
        return await self._get("/api/v1/log-levels", LogLevels)

    async def set_log_level(self, module: str, level: str) -> LogLevels:
        """Let all instances write the lines of a module from a level on; `default` undoes it."""
        return await self._transport.ask(
            "PUT", "/api/v1/log-levels", LogLevels, body=LevelRequest(module, level), repeat=True
        )

    async def cluster(self) -> dict[str, Any]:
        """Return the instances and the store's state."""
        return await self._get("/api/v1/cluster", dict[str, Any])

    async def is_healthy(self) -> bool:
        """Tell whether a scheduler process answers there; never raises for one that does not."""
        return await self._transport.is_up("/health")

    def feed(self, job: str = "", *, after: str = "", hold: bool = False) -> EventFeed:
        """Return a feed of events to be followed by hand; `events` is the short way.

        Args:
            job: One job's events, from its view as it is now to its final one; empty for the whole fleet's, from now.
            after: Id of the last event seen.
            hold: Count as a client of an embedded fleet, which stays up while it has one.
        """
        return EventFeed(self._transport, job=job, after=after, hold=hold)

    def events(
        self, job: str = "", *, after: str = "", patience_s: float = PATIENCE_S
    ) -> AsyncGenerator[Event | JobView]:
        """Follow the whole fleet, or one job until it is final; lost connections are taken up again.

        Args:
            job: As for `feed`.
            after: As for `feed`.
            patience_s: How long the scheduler may be away before `SchedulerUnavailable` is raised.
        """
        return self.feed(job, after=after).follow(patience_s=patience_s)

    async def _get(self, path: str, answer: type[T]) -> T:
        return await self._transport.ask("GET", path, answer, repeat=True)


def _part(identifier: str) -> str:
    """Return an id as one part of a path, whatever a user typed."""
    # Nothing at all would make the path that of the list, and its answer something else than one record.
    return quote(identifier, safe="") or "-"
