"""What the store's scripts take and return, and the stored shapes that are not domain words."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from mediafleet.domain.capability import Requirement
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import JobStatus, PriorityClass


class QueueSpec(msgspec.Struct, frozen=True):
    """What all tasks of one queue have in common."""

    requirement: Requirement
    priority: PriorityClass
    policy: str = "least_loaded"

    @property
    def id(self) -> str:
        """Name of the queue: 16 hexadecimal digits of a hash of the spec."""
        # Fields are written in the order of the class and capabilities are sorted, so all instances find the same name.
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=8).hexdigest()


class TaskRecord(msgspec.Struct, frozen=True):
    """A task to be created, as `create_task` in `includes/task.lua` takes it."""

    id: str
    name: str
    job: str
    queue: str
    tenant: str
    cost: int
    score: int
    """Milliseconds; smaller goes first in its tenant's turn."""
    doc: str
    """A `TaskSpec` as JSON."""
    after: list[str]
    """Ids of the tasks that must be DONE first."""
    waits: list[str]
    """Ids of artifacts that must be complete first."""
    max_tries: int
    total_ms: int
    weight: float


class JobRecord(msgspec.Struct, frozen=True):
    """A job to be accepted."""

    id: str
    kind: str
    key: str
    """Idempotency key, empty for none."""
    doc: str
    """A `Job` as JSON."""
    tenant: str
    created: int
    retention_ms: int
    outcome_of: str
    inputs: list[str]
    """Ids of the artifacts it uses."""
    weight: float
    tasks: list[TaskRecord]


class SubmittedJob(msgspec.Struct, frozen=True):
    """One answer of `submit`."""

    id: str
    created: bool


class Submitted(msgspec.Struct, frozen=True):
    """Reply of `submit`."""

    jobs: list[SubmittedJob]
    queues: list[str]
    missing: str = ""


class PoolShare(msgspec.Struct, frozen=True):
    """A pool as the placing script needs it."""

    id: str
    slots: int


class PlacedTask(msgspec.Struct, frozen=True):
    """One assignment, as the placing script returns it."""

    task: str
    grant: str
    attempt: int
    executor: str
    cost: int
    job: str
    doc: str


class Placed(msgspec.Struct, frozen=True):
    """Reply of `place`."""

    assignments: list[PlacedTask]
    waiting: bool
    version: int
    """Version of the pool set; what the caller knows is stale if it differs."""


class Stop(msgspec.Struct, frozen=True):
    """An attempt that a node must end."""

    task: str
    grant: str
    executor: str
    """Executor id; `<node>/` where only the node is known."""


class Stops(msgspec.Struct, frozen=True):
    """Reply of `commit`."""

    stops: list[Stop]


class NodeAttempts(msgspec.Struct, frozen=True):
    """Attempts that one node confirms on a link of that epoch."""

    node: str
    epoch: int
    attempts: tuple[AttemptRef, ...]


class ResultRecord(msgspec.Struct, frozen=True):
    """A result that a node delivered."""

    task: str
    grant: str
    result: str
    """A `TaskResult` as JSON."""
    outputs: list[str]


class Finished(msgspec.Struct, frozen=True):
    """Reply of `finish`."""

    verdicts: list[Literal["accepted", "duplicate", "stale"]]
    stops: list[Stop]
    queues: list[str]


class FailureRecord(msgspec.Struct, frozen=True):
    """An attempt that ended without a result; see `fail.lua`."""

    task: str
    grant: str
    how: Literal["failed", "lost", "stopped"]
    error: str = "{}"
    retryable: bool = False
    delays: list[int] = []
    delay_ms: int = 0


class Failed(msgspec.Struct, frozen=True):
    """Reply of `fail`."""

    verdicts: list[Literal["retried", "failed", "lost", "released", "stale"]]
    queues: list[str]


class ExecutorRecord(msgspec.Struct, frozen=True):
    """An executor of a node that registers."""

    id: str
    slots: int
    pool: str
    doc: str
    """An `Executor` as JSON."""


class NodeDocument(msgspec.Struct, frozen=True):
    """The unchanging part of a node's record."""

    host: str
    version: str
    facts: dict[str, object] = {}


class NodeRecord(msgspec.Struct, frozen=True):
    """A node that registers."""

    node: str
    instance: str
    incarnation: str
    doc: str
    draining: bool
    lease_ms: int
    executors: list[ExecutorRecord]
    pools: dict[str, str]
    announced: tuple[AttemptRef, ...]


class NodeAdmitted(msgspec.Struct, frozen=True):
    """Reply of `register`."""

    epoch: int
    keep: tuple[AttemptRef, ...]
    drop: tuple[AttemptRef, ...]
    lost: int
    draining: bool
    queues: list[str]


class NodeReport(msgspec.Struct, frozen=True):
    """A heartbeat."""

    node: str
    epoch: int
    load: str
    running: tuple[AttemptRef, ...]


class Renewed(msgspec.Struct, frozen=True):
    """Reply of `renew`."""

    unknown: list[str]
    stops: list[Stop]


class Unlinked(msgspec.Struct, frozen=True):
    """Reply of `unlink`."""

    current: bool
    lost: int
    queues: list[str]


class Drained(msgspec.Struct, frozen=True):
    """Reply of `drain`."""

    found: bool
    instance: str


class ReapRules(msgspec.Struct, frozen=True):
    """What `reap` goes by."""

    gap_ms: int
    grace_ms: int
    retention_ms: int
    """How long a node that is gone is remembered."""
    timeout_error: str
    delays: list[int]
    limit: int = 200
    retry_ms: int = 60_000
    """When retention that the caller did not finish is named again."""


class Reaped(msgspec.Struct, frozen=True):
    """Reply of `reap`."""

    grace: bool
    stops: list[Stop]
    jobs: list[str]
    artifacts: list[str]
    queues: list[str]
    more: bool
    expired: dict[str, int] | list[int] = {}
    """Counts by what ended; MessagePack of an empty Lua table is a list."""
    nodes: list[str] = []
    """Nodes whose lease ended."""


class OutcomeRecord(msgspec.Struct, frozen=True):
    """How a plan ends its job."""

    status: JobStatus
    field: Literal["result", "error"]
    text: str
    data: str
    outputs: list[str]


class ExpandPiece(msgspec.Struct, frozen=True):
    """A part of what a plan returned; see `expand.lua`."""

    job: str
    version: int
    outcome_of: str
    tasks: list[TaskRecord]
    last: bool
    queues: dict[str, str]
    outcome: OutcomeRecord | None = None


class Expanded(msgspec.Struct, frozen=True):
    """Reply of `expand`."""

    applied: bool
    queues: list[str]


class CancelPiece(msgspec.Struct, frozen=True):
    """Reply of `cancel`."""

    status: str
    cursor: int
    stops: list[Stop]


class RetryPiece(msgspec.Struct, frozen=True):
    """Reply of `retry`."""

    status: str
    cursor: int
    queues: list[str]


class ProgressRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far one attempt is."""

    task: str
    grant: str
    fraction: float
    stage: str
    about: str
    """JSON object with the same stage, speed and ETA, for the event."""
    speed: float | None = None
    eta_ms: int | None = None


class Stale(msgspec.Struct, frozen=True):
    """Reply of `progress`."""

    stale: int


class Forgotten(msgspec.Struct, frozen=True):
    """Reply of `forget`."""

    done: bool


class Completed(msgspec.Struct, frozen=True):
    """Reply of `complete_artifact`."""

    completed: bool
    queues: list[str]


class Dropped(msgspec.Struct, frozen=True):
    """Reply of `drop_artifact`."""

    dropped: bool


class Opened(msgspec.Struct, frozen=True):
    """Reply of `open_artifact`."""

    opened: bool
