"""What the doors see of a scheduler: the only seam between protocols and the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import msgspec

from mediafleet.domain.artifact import Artifact, ArtifactRef, Location
from mediafleet.domain.batch import BatchView
from mediafleet.domain.catalogue import CatalogueView
from mediafleet.domain.dead import DeadLetter, DeadLetterPage
from mediafleet.domain.event import Event
from mediafleet.domain.explanation import Explanation, JobWhy, Simulation
from mediafleet.domain.frames import AttemptRef, NodeFrame, Register, Registered, SchedulerFrame
from mediafleet.domain.insight import LogLevels, MetricView
from mediafleet.domain.job import JobPage, JobView, Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import NodeView, PoolView
from mediafleet.domain.pause import FleetPause
from mediafleet.domain.review import ReviewAnswer, ReviewDocument
from mediafleet.domain.worker import HeldAttempt
from mediafleet.kinds.registry import KindRegistry


class Accepted(msgspec.Struct, frozen=True):
    """The answer to one submission."""

    job: JobView
    created: bool
    """False where an idempotency key named an earlier job."""


class UploadAnnouncement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client says before it sends bytes."""

    name: str
    size: int
    """Bytes, 0 or more."""
    sha256: str = ""
    """Hexadecimal; checked at the end where it is given."""
    grant: str = ""
    """The attempt that publishes it, where a node does."""


class WrittenUpload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client says once it has written an upload to its address."""

    sha256: str
    """Hexadecimal; whoever reads the artifact holds the bytes to it."""


class OpenUpload(msgspec.Struct, frozen=True, omit_defaults=True):
    """An upload that waits for bytes."""

    id: str
    offset: int
    """First byte that is missing."""
    length: int
    """Bytes that are missing."""
    direct: bool = False
    """The bytes may be written to the address that `…/location` gives, too, if none came here yet."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.offset + self.length


class OpenArtifact(Protocol):
    """A complete artifact, ready to be read."""

    @property
    def ref(self) -> ArtifactRef:
        """Name, size and hash."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Stream `length` bytes from `start`, in pieces of bounded size."""
        ...


# Nothing of it waits: one node that reads slowly must not hold up what is placed on all others.
class NodeLink(Protocol):
    """One open link to a node."""

    @property
    def node(self) -> str:
        """Id of the node, once it has registered."""
        ...

    @property
    def kind(self) -> str:
        """What carries it: `websocket`, where the node dialled in; `push`, where it is called; `signalr`, a hub connection."""
        ...

    @property
    def lease_ms(self) -> int:
        """How long its node keeps its work after it was last heard, milliseconds; 0 for `scheduler.node_lease_ms`."""
        ...

    def send(self, frame: SchedulerFrame) -> bool:
        """Queue a frame without waiting; False if the link is closed or its queue is full (it then closes)."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close the link soon, with a code and a reason of at most 123 bytes."""
        ...


class DeadLetters(Protocol):
    """Tasks that failed for good."""

    async def page(self, *, offset: int = 0, limit: int = 50) -> DeadLetterPage:
        """Return one page, newest first."""
        ...

    async def show(self, task: str) -> DeadLetter:
        """Return one. Raises NotFound."""
        ...

    async def retry(self, task: str) -> JobView:
        """Give its job another go. Raises NotFound, IllegalTransition."""
        ...

    async def drop(self, task: str) -> None:
        """Take it off the list; its job stays as it is. Raises NotFound."""
        ...


class Batches(Protocol):
    """Jobs that were handed in as one."""

    async def show(self, batch: str, *, offset: int = 0, limit: int = 50) -> BatchView:
        """Return how far a batch is, with one page of its jobs. Raises NotFound, InvalidRequest."""
        ...


class Pauses(Protocol):
    """Keeping work from beginning, for a while; all of it is safe to repeat."""

    async def pause_job(self, job_id: str, *, now: bool = False) -> JobView:
        """Let nothing of a job begin; what runs finishes, or is stopped now. Raises NotFound, IllegalTransition."""
        ...

    async def resume_job(self, job_id: str) -> JobView:
        """Let a job go on; one that is not paused stays as it is. Raises NotFound, IllegalTransition."""
        ...

    async def pause_node(self, node_id: str, *, now: bool = False) -> NodeView:
        """Let a node take nothing new until it is resumed; it stays in the fleet. Raises NotFound."""
        ...

    async def resume_node(self, node_id: str) -> NodeView:
        """Let a node take work again. Raises NotFound."""
        ...

    async def pause_fleet(self, *, now: bool = False) -> FleetPause:
        """Let nothing begin on any node, whatever comes; it outlives all instances and nodes."""
        ...

    async def resume_fleet(self) -> FleetPause:
        """Let the fleet go on."""
        ...

    async def fleet(self) -> FleetPause:
        """Return whether the fleet is paused."""
        ...


class Reviews(Protocol):
    """What people are asked to look through."""

    async def show(self, job_id: str, *, review: str = "") -> ReviewDocument:
        """Return the document of a review that waits, as it was published.

        Args:
            review: Its name; may be left out where the job waits for one only.

        Raises:
            NotFound: There is no such job, or it has no such review.
            Conflict: It waits for none, or for several and none is named.
        """
        ...

    async def answer(self, job_id: str, answer: ReviewAnswer) -> JobView:
        """Take a corrected document, and let the job go on; the same bytes again change nothing.

        Raises:
            NotFound: As `show`.
            InputError: It is not what the job's kind can go on with; the sentence says why.
            Outdated: It corrects another document than the one that waits.
            Conflict: The job is in another status, or somebody else has answered.
        """
        ...


class Workers(Protocol):
    """What links need whose nodes know neither jobs nor grants."""

    async def new_number(self) -> int:
        """Return a number for a task, which none had before: 1, 2 and so on."""
        ...

    async def numbered(self, number: int) -> str:
        """Return the job that was submitted with the key of a number (`domain.worker.task_key`). Raises NotFound."""
        ...

    async def attempts_at(self, node: str) -> list[HeldAttempt]:
        """Return the attempts that a node holds slots for, without those that it was told to stop."""
        ...

    async def attempt_at(self, task: str, node: str) -> AttemptRef | None:
        """Return the attempt of a task by which a result of a node still counts; None if there is none."""
        ...


class Catalogues(Protocol):
    """Which services provide which features."""

    def view(self) -> CatalogueView:
        """Return what is in use, and where it comes from."""
        ...


class Insight(Protocol):
    """What operators see beside jobs and nodes."""

    async def render(self) -> bytes:
        """Return the metrics in the Prometheus text format; also while the store is away."""
        ...

    async def metrics(self) -> list[MetricView]:
        """Return the metrics as data; also while the store is away."""
        ...

    async def log_levels(self) -> LogLevels:
        """Return which lines the instances write."""
        ...

    async def set_log_level(self, module: str, level: str) -> LogLevels:
        """Let all instances write the lines of a module from a level on. Raises InvalidRequest."""
        ...


class Fleet(Protocol):
    """Everything that can be asked of a scheduler instance. Errors are `MediafleetError`s."""

    @property
    def kinds(self) -> KindRegistry:
        """The installed job kinds."""
        ...

    @property
    def dead(self) -> DeadLetters:
        """The dead letters."""
        ...

    @property
    def batches(self) -> Batches:
        """The batches."""
        ...

    @property
    def pauses(self) -> Pauses:
        """What is paused."""
        ...

    @property
    def reviews(self) -> Reviews:
        """The reviews."""
        ...

    @property
    def workers(self) -> Workers:
        """Numbers and attempts of workers of older fleets."""
        ...

    @property
    def catalogue(self) -> Catalogues:
        """The catalogue of services."""
        ...

    @property
    def takes_direct_uploads(self) -> bool:
        """Whether the bytes of uploads may be written to where artifacts live, past the scheduler."""
        ...

    @property
    def insight(self) -> Insight:
        """Metrics and log levels."""
        ...

    async def submit(self, submissions: Sequence[Submission], *, principal: str) -> list[Accepted]:
        """Accept all submissions or none, in order; idempotent where they carry a key."""
        ...

    async def job(self, job_id: str) -> JobView:
        """Return a job with its tasks. Raises NotFound."""
        ...

    async def wait(self, job_id: str) -> JobView:
        """Return a job once it is final, however long that takes. Raises NotFound; safe to cancel."""
        ...

    async def jobs(
        self, *, status: JobStatus | None = None, kind: str = "", offset: int = 0, limit: int = 50
    ) -> JobPage:
        """Return one page, newest first."""
        ...

    async def cancel(self, job_id: str) -> JobView:
        """End a job. Raises NotFound, IllegalTransition."""
        ...

    async def retry(self, job_id: str) -> JobView:
        """Give a failed or cancelled job another go. Raises NotFound, IllegalTransition."""
        ...

    def events(self, *, after: str = "", job: str = "") -> AsyncIterator[Event]:
        """Follow events from now, or after a position; those of one job end with its final event."""
        ...

    async def nodes(self) -> list[NodeView]:
        """Return all nodes that retention has not removed."""
        ...

    async def node(self, node_id: str) -> NodeView:
        """Return one node. Raises NotFound."""
        ...

    async def drain(self, node_id: str, *, draining: bool) -> NodeView:
        """Let a node finish what it runs and take nothing new, or undo that. Raises NotFound."""
        ...

    async def pools(self) -> list[PoolView]:
        """Return the pools that have executors."""
        ...

    async def why(self, job_id: str) -> JobWhy:
        """Return why a job's tasks wait. Raises NotFound."""
        ...

    async def simulate(self, wish: Simulation) -> Explanation:
        """Return what would become of a task now; nothing is reserved. Raises InvalidRequest."""
        ...

    async def stats(self) -> dict[str, Any]:
        """Return counts of jobs, nodes, slots and queued tasks, with rates, ages and means."""
        ...

    async def cluster(self) -> dict[str, Any]:
        """Return instances and the store's state."""
        ...

    async def check_ready(self) -> None:
        """Return if the store answers. Raises StoreUnavailable."""
        ...

    async def announce_upload(self, announcement: UploadAnnouncement, *, principal: str) -> Artifact:
        """Open an upload."""
        ...

    async def receive_upload(
        self, artifact_id: str, *, offset: int, length: int, chunks: AsyncIterator[bytes]
    ) -> ArtifactRef | OpenUpload:
        """Take the next bytes of an upload, and say what is missing still; what came stays on any fault.

        Raises:
            NotFound: There is no such upload.
            UploadMismatch: Offset, length or hash do not fit; the sentence says where to go on.
            Conflict: Another request is sending the same upload, or all of it has come.
        """
        ...

    async def find_upload(self, artifact_id: str) -> OpenUpload | None:
        """Return how far an upload is; None if it is complete. Raises NotFound."""
        ...

    async def open_artifact(self, artifact_id: str) -> OpenArtifact:
        """Open a complete artifact for reading. Raises NotFound."""
        ...

    async def locate_artifact(self, artifact_id: str) -> Location:
        """Return where the bytes may be read, or those of an open upload be written, for a while.

        Raises:
            NotFound: They have no address of their own, or there is no such artifact.
        """
        ...

    async def complete_upload(self, artifact_id: str, *, sha256: str) -> ArtifactRef:
        """Note that all bytes were written to the address of an open upload. Raises NotFound, UploadMismatch."""
        ...

    async def discard_upload(self, artifact_id: str) -> None:
        """Remove an upload that no job uses. Raises NotFound, Conflict."""
        ...

    async def attach(self, link: NodeLink, frame: Register) -> Registered:
        """Register a node on a link; an older link of the same node is closed with code 4409."""
        ...

    async def receive(self, link: NodeLink, frame: NodeFrame) -> None:
        """Handle a frame of a registered link."""
        ...

    def keep(self, link: NodeLink) -> None:
        """Note that a part of a frame has come: the lease goes on, and all else stays as it was last said."""
        ...

    async def detach(self, link: NodeLink) -> None:
        """Note that a link is closed; safe to repeat."""
        ...
