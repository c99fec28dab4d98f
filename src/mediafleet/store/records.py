"""What the store's scripts take and return, and the stored shapes that are not domain words."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Literal

import msgspec

from mediafleet.domain.capability import PERSON, Requirement
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.health import BreakerRules
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.pace import Did
from mediafleet.domain.rules import TenantShare
from mediafleet.store.cell_records import Full


class QueueSpec(msgspec.Struct, frozen=True):
    """What all tasks of one queue have in common."""

    requirement: Requirement
    priority: PriorityClass
    policy: str = "least_loaded"

    @property
    def id(self) -> str:
        """Name of the queue: the first letter of its class, and 16 hexadecimal digits of a hash of the spec; or `person`."""
        return _queue_id(self)


@lru_cache(maxsize=4096)
def _queue_id(spec: QueueSpec) -> str:
    # Reviews of all kinds have one queue a class, whose name scripts know (includes/names.lua).
    is_review = PERSON in spec.requirement.capabilities
    digest = "person" if is_review else hashlib.blake2b(msgspec.json.encode(spec), digest_size=8).hexdigest()
    return f"{spec.priority[0]}-{digest}"


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
    not_before: int = 0
    """Milliseconds since 1970; it is placed no sooner."""
    near: list[str] = []
    """Nodes that have its input."""
    limits: str = ""
    """`accept,queue,progress,deadline`, milliseconds, 0 for none; empty where all are 0 (`includes/rule.lua`)."""


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
    deadline: int = 0
    """Milliseconds since 1970, 0 for none: it fails if it has not ended by then."""
    after: list[str] = []
    """Ids of jobs that must have completed first; those of the same call stand before it."""
    batch: str = ""


class SubmittedJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer of `submit`."""

    id: str
    created: bool
    after: str = ""
    """Ids of the jobs that it was to wait for, with spaces between them."""
    awaits: str = ""
    """Those of them that have not completed."""


class Freed(msgspec.Struct, frozen=True):
    """Where slots became free by a script."""

    pools: list[str]
    waiting_version: int
    """Version of the set of queues that wait; what the caller knows is stale if it differs."""


class Submitted(msgspec.Struct, frozen=True):
    """Reply of `submit`."""

    jobs: list[SubmittedJob]
    queues: list[str]
    missing: str = ""
    """An artifact that a job names and that is not there."""
    unknown: str = ""
    """A job that one of them is to wait for and that is not there."""
    full: Full | None = None


class PoolShare(msgspec.Struct, frozen=True):
    """A pool as the placing script needs it."""

    id: str
    slots: int
    reserve: int = 0
    priority: int = 0


class QueueTurn(msgspec.Struct, frozen=True):
    """A queue that the placing script looks at."""

    id: str
    cost: int
    policy: str
    pools: list[int]
    """Positions of the pools that match, from 1."""


class PlaceRules(msgspec.Struct, frozen=True):
    """What `place` goes by."""

    instance: str
    reserve_ms: int
    batch_every: int = 20
    hold_after_ms: int = 5_000
    hold_ms: int = 60_000
    inbox_length: int = 10_000
    tenants: dict[str, TenantShare] = {}


class PlaceRequest(msgspec.Struct, frozen=True):
    """One call of `place`."""

    queues: list[QueueTurn]
    pools: list[PoolShare]
    grants: list[str]
    draw: float


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
    sent: int
    """Assignments that went to the inboxes of other instances."""
    waiting: list[str]
    """Those of the queues that still have tasks."""
    version: int
    """Version of the pool set; what the caller knows is stale if it differs."""


Counts = dict[str, int] | list[int]
"""Counts by a word; MessagePack of an empty Lua table is a list."""


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


class ResultRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A result that a node delivered."""

    task: str
    grant: str
    result: str
    """A `TaskResult` as JSON."""
    outputs: list[str]
    did: Did | None = None


class Finished(msgspec.Struct, frozen=True):
    """Reply of `finish`."""

    verdicts: list[Literal["accepted", "duplicate", "stale"]]
    stops: list[Stop]
    queues: list[str]
    freed: Freed


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
    freed: Freed
    dead: Counts = {}
    """New dead letters by the code of their error; `opened` counts circuit breakers by what they took away."""
    opened: Counts = {}


class ExecutorRecord(msgspec.Struct, frozen=True):
    """An executor of a node that registers."""

    id: str
    slots: int
    pool: str
    reserve: int
    doc: str
    """An `Executor` as JSON."""


class NodeDocument(msgspec.Struct, frozen=True):
    """The unchanging part of a node's record."""

    host: str
    version: str
    facts: dict[str, object] = {}
    link: str = "websocket"
    """What carries its link."""


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
    max_kills: int = 2
    """See `FleetRules`."""
    poison_error: str = "{}"
    warming: bool = False
    """It takes no work until it says that it is ready."""
    pressed: str = ""
    """What of its machine is over a limit, in words."""
    ailing: str = ""
    """What it says is wrong with it."""
    load: str = "{}"


class NodeAdmitted(msgspec.Struct, frozen=True):
    """Reply of `register`."""

    epoch: int
    keep: tuple[AttemptRef, ...]
    drop: tuple[AttemptRef, ...]
    lost: int
    draining: bool
    queues: list[str]
    freed: Freed
    dead: Counts = {}
    """As of `Failed`."""


class NodeReport(msgspec.Struct, frozen=True):
    """A heartbeat, or a sign of life without one."""

    node: str
    epoch: int
    load: str = ""
    running: tuple[AttemptRef, ...] | None = None
    """None: it did not say anything, but it is there."""
    pressed: str = ""
    """What of its machine is over a limit, in words."""
    eased: bool = True
    """All of it is well below its limits."""


class Renewed(msgspec.Struct, frozen=True):
    """Reply of `renew`."""

    unknown: list[str]
    stops: list[Stop]
    freed: Freed


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
    max_kills: int = 2
    poison_error: str = "{}"
    deadline_error: str = "{}"
    queue_error: str = "{}"
    stalled_error: str = "{}"
    task_deadline_error: str = "{}"
    dependency_error: str = "{}"
    """With {job} and {how} to be filled in."""
    breaker: BreakerRules = BreakerRules()
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
    freed: Freed
    more: bool
    expired: Counts = {}
    """Counts by what ended."""
    nodes: list[str] = []
    """Nodes whose lease ended."""
    dead: Counts = {}
    """As of `Failed`."""
    opened: Counts = {}
    halted: list[Stop] = []


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
    chains: str = ""
    """What was decided about the job's chains, JSON; empty for a job without any."""
    seen: str = ""
    """What was recorded of them when it was decided."""
    drop: list[str] = []
    """Ids of tasks that something else stands for; refused if an executor has one of them."""
    more_weight: float = 0.0  # Beside the weights of the tasks that are new.
    whole: float = 0.0  # As of `Expand`.
    waits: bool = False
    """Whether any of it may be decided anew when the fleet changes."""
    weighed: bool = False
    """Whether it goes by more than the job's version tells: then it moves the version, and only one of two is applied."""
    pools: int = 0
    """Version of the pool set that chains were decided by; where it has moved on, they are decided once more."""
    people: int = 0  # As of `PlanState`.


class Expanded(msgspec.Struct, frozen=True):
    """Reply of `expand`."""

    applied: bool
    queues: list[str]


class CancelPiece(msgspec.Struct, frozen=True):
    """Reply of `cancel`."""

    status: str
    cursor: int
    stops: list[Stop]
    dead: Counts = {}
    """As of `Failed`."""


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
