"""An in-memory `Fleet` for the doors' tests: real answers and real errors, no store, no nodes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from tests_support.fake_pauses import FakeBatches, FakePauses
from tests_support.fake_reviews import FakeReviews

from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState, Location
from mediafleet.domain.capability import Requirement
from mediafleet.domain.catalogue import CatalogueSource, CatalogueView, Service
from mediafleet.domain.dead import DeadLetter, DeadLetterPage, EndedAttempt
from mediafleet.domain.errors import (
    Conflict,
    ErrorInfo,
    IllegalTransition,
    NotFound,
    StoreUnavailable,
    UploadMismatch,
)
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.explanation import Ask, Explanation, FleetSnapshot, JobWhy, Simulation
from mediafleet.domain.frames import AttemptRef, NodeFrame, Register, Registered
from mediafleet.domain.ids import new_artifact_id, new_job_id
from mediafleet.domain.insight import LogLevels, MetricValue, MetricView
from mediafleet.domain.job import JobPage, JobView, Submission
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, RETRYABLE_JOB_STATUSES, JobStatus
from mediafleet.domain.node import ExecutorView, NodeState, NodeView, PoolView, RunningView
from mediafleet.domain.worker import HeldAttempt
from mediafleet.kinds.noop import KIND as NOOP
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.seam import Kind
from mediafleet.scheduler.facade import Accepted, NodeLink, OpenUpload, UploadAnnouncement
from mediafleet.scheduler.why import explain

CREATED_MS = 1_700_000_000_000
NODE = "n0-studio-b-abc123"


class EncodeParams(msgspec.Struct, forbid_unknown_fields=True):
    """Params with every form field that the console can draw."""

    preset: Literal["h264", "hevc", "av1"] = "h264"
    container: str = ""
    crf: int | None = None
    scale: float = 1.0
    keep_subtitles: bool = True


ENCODE = Kind("encode", 1, EncodeParams, NOOP.plan, NOOP.handlers, "Turn a video into another format.")


@dataclass
class FakeArtifact:
    """A stored artifact that is read in pieces."""

    ref: ArtifactRef
    content: bytes
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def size(self) -> int:
        return len(self.content)

    async def read(self, start: int, length: int) -> AsyncIterator[bytes]:
        try:
            for at in range(start, start + length, 65_536):
                yield self.content[at : min(at + 65_536, start + length)]
        finally:
            self.closed.set()


@dataclass
class FakeDeadLetters:
    """Implements `scheduler.facade.DeadLetters` in memory."""

    fleet: FakeFleet
    letters: dict[str, DeadLetter] = field(default_factory=dict[str, DeadLetter])

    def add(self, job: str) -> DeadLetter:
        end = EndedAttempt(NODE, f"{NODE}/cpu", CREATED_MS, "lease-ended")
        letter = DeadLetter(
            f"{job}.encode", job, "encode", "default", CREATED_MS, ErrorInfo("poison", "It is."), 1, 0, (end,)
        )
        self.letters[letter.task] = letter
        return letter

    async def page(self, *, offset: int = 0, limit: int = 50) -> DeadLetterPage:
        found = list(self.letters.values())
        return DeadLetterPage(found[offset : offset + limit], len(found), offset, limit)

    async def show(self, task: str) -> DeadLetter:
        if task not in self.letters:
            raise NotFound(f"There is no dead letter of {task!r}.")
        return self.letters[task]

    async def retry(self, task: str) -> JobView:
        return await self.fleet.retry((await self.show(task)).job)

    async def drop(self, task: str) -> None:
        del self.letters[(await self.show(task)).task]


class FakeCatalogue:
    """A catalogue of one service."""

    def view(self) -> CatalogueView:
        service = Service("vosk-en", "0.22", ("recognise:en",), ("asr:vosk@0.22",), "English, large")
        return CatalogueView(
            CatalogueSource.URL, "https://models.example/list", "r7", (service,), CREATED_MS, CREATED_MS
        )


class FakeWorkers:
    """No worker of an older fleet has anything to do."""

    async def new_number(self) -> int:
        return 1

    async def numbered(self, number: int) -> str:
        raise NotFound(f"There is no task {number}.")

    async def attempts_at(self, node: str) -> list[HeldAttempt]:
        return []

    async def attempt_at(self, task: str, node: str) -> AttemptRef | None:
        return None


@dataclass
class FakeFleet:
    """Implements `scheduler.facade.Fleet` in memory."""

    kinds: KindRegistry = field(default_factory=lambda: KindRegistry([ENCODE, NOOP]))
    views: dict[str, JobView] = field(default_factory=dict[str, JobView])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    artifacts: dict[str, FakeArtifact] = field(default_factory=dict[str, FakeArtifact])
    takes_direct_uploads: bool = False
    uploads: dict[str, UploadAnnouncement] = field(default_factory=dict[str, UploadAnnouncement])
    arrived: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """What came of each open upload."""
    breaks: list[int] = field(default_factory=list[int])
    """After how many bytes each of the next parts breaks off."""
    node_views: dict[str, NodeView] = field(default_factory=dict[str, NodeView])
    log: list[Event] = field(default_factory=list[Event])
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    watchers: int = 0
    links: list[NodeLink] = field(default_factory=list[NodeLink])
    heartbeat_ms: int = 5_000
    kept: int = 0
    """How often a part of a frame kept a lease."""
    received: list[NodeFrame] = field(default_factory=list[NodeFrame])
    levels: dict[str, str] = field(default_factory=dict[str, str])
    simulated: list[Simulation] = field(default_factory=list[Simulation])
    store_is_away: bool = False
    fault: Exception | None = None
    """Raised by the next call, whichever it is."""

    def __post_init__(self) -> None:
        self.dead = FakeDeadLetters(self)
        self.pauses = FakePauses(self)
        self.batches = FakeBatches(self)
        self.workers = FakeWorkers()
        self.reviews = FakeReviews(self)

    def _check(self) -> None:
        if self.fault:
            raise self.fault
        if self.store_is_away:
            raise StoreUnavailable("The store does not answer; try again in a moment.")

    async def notify(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def wait_for(self, condition: Any) -> None:
        """Wait until the condition holds; at most 10 s."""
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(condition)

    async def add_event(self, kind: EventType, job: str = "", **data: Any) -> Event:
        event = Event(f"{len(self.log) + 1}-0", kind, CREATED_MS, job, data=data)
        self.log.append(event)
        await self.notify()
        return event

    async def update(self, job_id: str, kind: EventType, **changes: Any) -> JobView:
        """Change a job and tell the watchers."""
        self.views[job_id] = msgspec.structs.replace(self.views[job_id], **changes)
        view = self.views[job_id]
        await self.add_event(kind, job_id, status=view.status, progress=view.progress, stage=view.stage)
        return view

    def add_job(self, name: str = "a.mkv", status: JobStatus = JobStatus.PENDING, **changes: Any) -> JobView:
        job_id = new_job_id("0")
        view = JobView(job_id, "encode", name, status, 0.0, "", "batch", "default", CREATED_MS, 1)  # pyright: ignore[reportArgumentType]
        self.views[job_id] = msgspec.structs.replace(msgspec.convert(msgspec.to_builtins(view), JobView), **changes)
        return self.views[job_id]

    def add_artifact(self, content: bytes, name: str = "a.mkv") -> ArtifactRef:
        ref = ArtifactRef(new_artifact_id("0"), name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        self.artifacts[ref.id] = FakeArtifact(ref, content)
        return ref

    def add_node(self, node_id: str = NODE, running: tuple[RunningView, ...] = ()) -> NodeView:
        executor = ExecutorView(f"{node_id}/cpu", "cpu", "p1", 4, len(running), ("encoder:libx264",), running)
        view = NodeView(
            node_id, "studio-b", "0.1.0", NodeState.READY, CREATED_MS, CREATED_MS, (executor,), {"cores": 8}
        )
        self.node_views[node_id] = view
        return view

    async def submit(self, submissions: Sequence[Submission], *, principal: str) -> list[Accepted]:
        self._check()
        for item in submissions:
            self.kinds.check_params(item.kind, item.params)
        return [self._accept(item) for item in submissions]

    def _accept(self, item: Submission) -> Accepted:
        if item.idempotency_key in self.keys:
            return Accepted(self.views[self.keys[item.idempotency_key]], created=False)
        uris = item.input_uris
        view = self.add_job(
            item.name or (uris[0].rpartition("/")[2] if uris else item.kind), kind=item.kind, params=item.params
        )
        if item.idempotency_key:
            self.keys[item.idempotency_key] = view.id
        return Accepted(view, created=True)

    async def job(self, job_id: str) -> JobView:
        self._check()
        if job_id not in self.views:
            raise NotFound(f"There is no job {job_id!r}.")
        return self.views[job_id]

    async def wait(self, job_id: str) -> JobView:
        while (view := await self.job(job_id)).status not in FINAL_JOB_STATUSES:
            async for _ in self.events(job=job_id):
                pass
        return view

    async def jobs(
        self, *, status: JobStatus | None = None, kind: str = "", offset: int = 0, limit: int = 50
    ) -> JobPage:
        self._check()
        found = [v for v in reversed(self.views.values()) if status in {None, v.status} and kind in {"", v.kind}]
        return JobPage(found[offset : offset + limit], len(found), offset, limit)

    async def cancel(self, job_id: str) -> JobView:
        view = await self.job(job_id)
        if view.status in FINAL_JOB_STATUSES:
            raise IllegalTransition(job_id, view.status, "cancel")
        return await self.update(job_id, EventType.JOB_CANCELLED, status=JobStatus.CANCELLED)

    async def retry(self, job_id: str) -> JobView:
        view = await self.job(job_id)
        if view.status not in RETRYABLE_JOB_STATUSES:
            raise IllegalTransition(job_id, view.status, "revive")
        return await self.update(job_id, EventType.JOB_REVIVED, status=JobStatus.PENDING, error=None)

    async def events(self, *, after: str = "", job: str = "") -> AsyncIterator[Event]:
        at = int(after.partition("-")[0]) if after else len(self.log)
        self.watchers += 1
        await self.notify()
        try:
            while True:
                for event in self.log[at:]:
                    at += 1
                    if job in {"", event.job}:
                        yield event
                        if job and event.data.get("status") in FINAL_JOB_STATUSES:
                            return
                async with self.news:
                    await self.news.wait_for(lambda seen=at: len(self.log) > seen or self.store_is_away)
                self._check()
        finally:
            self.watchers -= 1
            await self.notify()

    async def nodes(self) -> list[NodeView]:
        self._check()
        return list(self.node_views.values())

    async def node(self, node_id: str) -> NodeView:
        self._check()
        if node_id not in self.node_views:
            raise NotFound(f"There is no node {node_id!r}.")
        return self.node_views[node_id]

    async def drain(self, node_id: str, *, draining: bool) -> NodeView:
        state = NodeState.DRAINING if draining else NodeState.READY
        self.node_views[node_id] = msgspec.structs.replace(await self.node(node_id), state=state)
        return self.node_views[node_id]

    async def pools(self) -> list[PoolView]:
        self._check()
        return [PoolView("p1", ("encoder:libx264",), 4, 1, 4)]

    @property
    def catalogue(self) -> FakeCatalogue:
        return FakeCatalogue()

    async def why(self, job_id: str) -> JobWhy:
        view = await self.job(job_id)
        return JobWhy(view.id, view.status, "The task run waits: No executor that can do it takes it now.", (), 0)

    async def simulate(self, wish: Simulation) -> Explanation:
        self._check()
        self.simulated.append(wish)
        return explain(FleetSnapshot(CREATED_MS), Ask(Requirement(wish.capabilities, wish.slots)))

    async def stats(self) -> dict[str, Any]:
        self._check()
        counts: dict[str, int] = {}
        for view in self.views.values():
            counts[view.status] = counts.get(view.status, 0) + 1
        used = sum(e.used for n in self.node_views.values() for e in n.executors)
        total = sum(e.slots for n in self.node_views.values() for e in n.executors)
        nodes = {"ready": len(self.node_views)}
        return {
            "jobs": counts,
            "nodes": nodes,
            "slots": {"total": total, "used": used},
            "queued_tasks": 0,
            "paused": msgspec.to_builtins(self.pauses.kept),
        }

    @property
    def insight(self) -> FakeFleet:
        return self

    async def render(self) -> bytes:
        return b"fleet_up 1\n"

    async def metrics(self) -> list[MetricView]:
        return [MetricView("fleet_up", "gauge", "Whether it is up.", [MetricValue({}, 1.0)])]

    async def log_levels(self) -> LogLevels:
        self._check()
        return LogLevels("info", self.levels)

    async def set_log_level(self, module: str, level: str) -> LogLevels:
        self.levels[module] = level
        return await self.log_levels()

    async def cluster(self) -> dict[str, Any]:
        self._check()
        return {"instances": [{"id": "i1", "version": "0.1.0"}], "store": {"reachable": True, "schema": 1}}

    async def check_ready(self) -> None:
        self._check()

    async def announce_upload(self, announcement: UploadAnnouncement, *, principal: str) -> Artifact:
        self._check()
        ref = ArtifactRef(new_artifact_id("0"), announcement.name, size=announcement.size)
        self.uploads[ref.id], self.arrived[ref.id] = announcement, b""
        return Artifact(ref, ArtifactState.OPEN, "0", "default", principal, CREATED_MS)

    async def receive_upload(
        self, artifact_id: str, *, offset: int, length: int, chunks: AsyncIterator[bytes]
    ) -> ArtifactRef | OpenUpload:
        self._check()
        upload = await self.find_upload(artifact_id)
        if upload is None:
            raise Conflict("The upload is complete.")
        if offset != upload.offset or length > upload.length:
            raise UploadMismatch(f"Nothing was stored; go on from offset {upload.offset}.")
        limit = offset + (self.breaks.pop(0) if self.breaks else length)
        async for chunk in chunks:
            self.arrived[artifact_id] = (self.arrived[artifact_id] + chunk)[:limit]
            await self.notify()
        if (arrived := len(self.arrived[artifact_id])) != offset + length:
            raise UploadMismatch(f"{arrived - offset} of {length} bytes came; go on from {arrived}.")
        if left := upload.length - length:
            return OpenUpload(artifact_id, offset + length, left)
        content, announced = self.arrived.pop(artifact_id), self.uploads.pop(artifact_id)
        ref = ArtifactRef(artifact_id, announced.name, size=upload.size, sha256=hashlib.sha256(content).hexdigest())
        self.artifacts[artifact_id] = FakeArtifact(ref, content)
        return ref

    async def find_upload(self, artifact_id: str) -> OpenUpload | None:
        self._check()
        if artifact_id in self.artifacts:
            return None
        if artifact_id not in self.uploads:
            raise NotFound(f"There is no upload {artifact_id!r}.")
        arrived = len(self.arrived[artifact_id])
        return OpenUpload(artifact_id, arrived, self.uploads[artifact_id].size - arrived)

    async def open_artifact(self, artifact_id: str) -> FakeArtifact:
        self._check()
        if artifact_id not in self.artifacts:
            raise NotFound(f"There is no artifact {artifact_id!r}.")
        return self.artifacts[artifact_id]

    async def locate_artifact(self, artifact_id: str) -> Location:
        if artifact_id in self.uploads and self.takes_direct_uploads:
            return Location("PUT", f"https://objects/{artifact_id}?signed", 900)
        if artifact_id in self.artifacts and self.takes_direct_uploads:
            return Location("GET", f"https://objects/{artifact_id}?signed", 900)
        raise NotFound(f"The bytes of the artifact {artifact_id} have no address of their own; ask for them here.")

    async def complete_upload(self, artifact_id: str, *, sha256: str) -> ArtifactRef:
        if artifact_id not in self.uploads:
            raise NotFound(f"There is no upload {artifact_id!r}.")
        announced = self.uploads.pop(artifact_id)
        return ArtifactRef(artifact_id, announced.name, size=announced.size, sha256=sha256)

    async def discard_upload(self, artifact_id: str) -> None:
        self._check()
        if artifact_id in self.artifacts:
            raise Conflict("A job uses this artifact.")
        if self.uploads.pop(artifact_id, None) is None:
            raise NotFound(f"There is no upload {artifact_id!r}.")

    async def attach(self, link: NodeLink, frame: Register) -> Registered:
        self._check()
        self.links.append(link)
        await self.notify()
        return Registered(frame.node, self.heartbeat_ms, 15_000)

    async def receive(self, link: NodeLink, frame: NodeFrame) -> None:
        self._check()
        self.received.append(frame)
        await self.notify()

    def keep(self, link: NodeLink) -> None:
        self.kept += 1

    async def detach(self, link: NodeLink) -> None:
        if link in self.links:
            self.links.remove(link)
        await self.notify()


FAILED: dict[str, Any] = {
    "status": JobStatus.FAILED,
    "error": ErrorInfo(
        "unreadable-media", "The file holds no stream that can be decoded.", detail="moov atom not found"
    ),
}
