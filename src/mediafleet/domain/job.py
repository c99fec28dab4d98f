"""Jobs: what a user submits, and what is known of it later."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.limits import NO_WISH, LimitWish
from mediafleet.domain.placement import Policy

DEFAULT_TENANT = "default"
MOST_SUBMISSIONS = 10_000
"""Jobs that one call may hand in."""
Urgency = Annotated[int, msgspec.Meta(ge=-1_000, le=1_000)]
LOCAL_PRINCIPAL = "local"
"""Who acts where no credential is asked for: anybody on this machine."""


# Unknown fields are refused here, where a person or a program asks for work: a misspelt `priority` would otherwise
# be taken for one that was left out, and nobody would be told.
class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request for work, as it arrives through REST, the CLI or a source."""

    kind: str
    input: str | list[str] | None = None
    """`file:///…` or `artifact:<id>`; several where the kind takes several."""
    params: dict[str, Any] = {}
    """Checked against the params type of the kind."""
    priority: PriorityClass = PriorityClass.BATCH
    policy: Policy | None = None
    """Which executor with room its tasks get; None for what the kind says."""
    urgency: Urgency = 0
    """Among the work of its tenant and class: one more goes before what came in up to a minute earlier."""
    tenant: str = DEFAULT_TENANT
    idempotency_key: str = ""
    """A second submission of the tenant with the same key returns the first job."""
    not_before: int | str = 0
    """None of its tasks begins sooner: milliseconds since 1970, or ISO 8601 with an offset; 0 for at once."""
    deadline: int | str = 0
    """It fails if it has not ended by then; as `not_before`, 0 for none."""
    limits: LimitWish = NO_WISH
    """How long its tasks may wait, stand still and run, within what the kind allows."""
    after: list[str | int] = []
    """Jobs that must have completed before it begins: ids, or in a list of submissions places of earlier ones, from 0."""
    batch: str = ""
    """The batch that it belongs to, any word; `GET /api/v1/batches/{batch}` tells how far all of it is."""
    webhook: str = ""
    name: str = ""
    """A word for people; the input's file name where it is empty."""

    @property
    def input_uris(self) -> list[str]:
        """The inputs as a list, whatever form they came in."""
        if self.input is None:
            return []
        return [self.input] if isinstance(self.input, str) else self.input


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """An accepted submission; never changes. Kind and version stay pinned for its whole life."""

    id: str
    cell: str
    tenant: str
    principal: str
    kind: str
    kind_version: int
    name: str
    inputs: tuple[ArtifactRef, ...]
    params: dict[str, Any]
    priority: PriorityClass
    created_ms: int
    not_before_ms: int = 0
    deadline_ms: int = 0
    limits: LimitWish = NO_WISH
    policy: Policy = Policy.LEAST_LOADED
    """Of the submission, or else of its kind."""
    urgency: int = 0
    batch: str = ""
    traceparent: str = ""
    """Its trace (W3C Trace Context), where spans are made."""


def shown_stage(stage: str) -> str:
    """Return a stage as users are told of it: a node that fetches a source is the rest of its upload."""
    return f"uploading{stage.removeprefix('fetching')}" if is_fetching(stage) else stage


def shown_status(status: JobStatus, stage: str) -> JobStatus:
    """Return a status as users are told of it; records know only that a node has begun, and not whether it fetches first."""
    return JobStatus.UPLOADING if status is JobStatus.PROCESSING and is_fetching(stage) else status


def is_fetching(stage: str) -> bool:
    """Tell whether a node fetches a source in this stage."""
    return stage.partition(" ")[0] == "fetching"


class TaskSummary(msgspec.Struct, frozen=True):
    """What a user sees of one task of a job."""

    id: str
    state: TaskState
    attempt: int = 0
    tries: int = 0
    executor: str = ""
    error: ErrorInfo | None = None
    limits: dict[str, int] = {}
    """Those that hold for it, by name as in `TaskLimits`."""
    progress: float = 0.0
    """0..1."""
    pace: str = ""
    """What sort of work it is, where its speed is measured."""
    size: float = 0.0
    """How much of it, in a unit of the kind's own; 0 where that is not known."""
    after: tuple[str, ...] = ()
    """Tasks of the job that it waits for."""


# Nothing is left out of it: a client finds every field, and null where there is nothing to say.
class JobView(msgspec.Struct, frozen=True):
    """A job with all that is known of it now; the body of `GET /api/v1/jobs/{id}`."""

    id: str
    kind: str
    name: str
    status: JobStatus
    progress: float
    """0..1."""
    stage: str
    """One word for what happens now: `probing`, `encoding`, `verifying` …"""
    priority: PriorityClass
    tenant: str
    created_ms: int
    version: int
    inputs: tuple[ArtifactRef, ...] = ()
    params: dict[str, Any] = {}
    outputs: tuple[ArtifactRef, ...] = ()
    warnings: tuple[str, ...] = ()
    """Sentences about what the result lacks against the input, for example a dropped stream."""
    eta_ms: int | None = None
    """Milliseconds until it should end, by speeds that were measured; None while nobody can say, while it is paused, and at
    its end. In a list of jobs only what the node of a job's only task says."""
    speed: float | None = None
    """Media seconds per second, for kinds that have such a thing."""
    error: ErrorInfo | None = None
    result: dict[str, Any] | None = None
    """The kind's own account of the finished work."""
    started_ms: int | None = None
    finished_ms: int | None = None
    not_before_ms: int | None = None
    """Its tasks begin no sooner."""
    deadline_ms: int | None = None
    """It fails if it has not ended by then."""
    after: tuple[str, ...] = ()
    """Jobs that it was to wait for."""
    waits_for: tuple[str, ...] = ()
    """Those of them that have not completed; it begins when none is left."""
    reviews: tuple[str, ...] = ()
    """Reviews of it that a person may answer; nothing else of it goes on while its status is `review`."""
    limits: dict[str, int] = {}
    """What its submission asked for in place of its kind's limits, 0 for what the kind says; what holds is each task's."""
    policy: Policy = Policy.LEAST_LOADED
    """Which executor with room its tasks get."""
    urgency: int = 0
    batch: str = ""
    paused_ms: int | None = None
    """Since when it is paused."""
    finishing: int = 0
    """Tasks of a paused job that run still; only where a single job is asked for."""
    tasks: tuple[TaskSummary, ...] = ()
    """Only where a single job is asked for."""


class JobPage(msgspec.Struct, frozen=True):
    """One page of jobs, newest first."""

    jobs: list[JobView]
    total: int
    offset: int
    limit: int
