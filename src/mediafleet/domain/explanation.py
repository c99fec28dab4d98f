"""Why a task waits: what is looked at (a snapshot of the fleet and of the task), and what is said of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from mediafleet.domain.capability import Requirement, Signature
from mediafleet.domain.health import Withheld
from mediafleet.domain.job import DEFAULT_TENANT
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.placement import Policy
from mediafleet.domain.rules import FleetRules

# --- what is looked at ---------------------------------------------------------------------


class PoolMembers(msgspec.Struct, frozen=True):
    """A pool and the executors that may be used of it; those of a pool that does not match need not be read."""

    name: str
    signature: Signature
    used: dict[str, int] = {}
    """Slots in use by executor."""
    batch_used: dict[str, int] = {}
    """The same as batch work must count it; empty where nothing is kept for live work."""


class Absence(StrEnum):
    """Why an executor that exists is in no pool now."""

    HELD = "held"
    """It is kept for tasks that need many slots."""
    WITHHELD = "withheld"
    """It does without what the task needs for a while: it lacked it, or too many tasks failed on it."""
    WARMUP = "warmup"
    DEGRADED = "degraded"
    DRAINING = "draining"
    PAUSED = "paused"
    UNLINKED = "unlinked"
    OFFLINE = "offline"


class AbsentExecutor(msgspec.Struct, frozen=True):
    """An executor that is in no pool now, or in none for a task that needs all that it claims."""

    executor: str
    signature: Signature
    absence: Absence
    used: int = 0
    batch_used: int = 0
    """Slots that batch work itself holds."""
    held_for: str = ""
    """The queue that holds it."""
    reason: str = ""
    """Why its node takes no new work, as a sentence."""
    withheld: tuple[Withheld, ...] = ()
    """What it does without for a while."""


class RunningWork(msgspec.Struct, frozen=True):
    """Slots of an executor that an attempt holds, and how far it is."""

    executor: str
    slots: int
    priority: PriorityClass
    kind: str = ""
    """Empty for one that was given up and whose node has not confirmed that it stopped."""
    since_ms: int | None = None
    """When it began; None where it has not, or where that is not kept."""
    fraction: float = 0.0
    """0..1, as its handler reports it."""
    eta_ms: int | None = None
    """What is left of it, as its handler reports it."""
    total_ms: float | None = None
    """What all of it takes at the speed that was measured."""


class QueuedWork(msgspec.Struct, frozen=True):
    """What waits in a queue."""

    queue: str
    priority: PriorityClass
    requirement: Requirement
    tasks: dict[str, int] = {}
    """By tenant; those at their caps left out."""


class FleetSnapshot(msgspec.Struct, frozen=True):
    """What placing goes by, of a whole cell; parts may be one step apart."""

    now_ms: int
    """By the store's clock."""
    pools: tuple[PoolMembers, ...] = ()
    absent: tuple[AbsentExecutor, ...] = ()
    running: dict[str, int] = {}
    """Slots in use by tenant."""
    rules: FleetRules = FleetRules()
    waiting: tuple[tuple[PriorityClass, Requirement], ...] = ()
    """What each queue with waiting tasks asks for."""
    running_work: tuple[RunningWork, ...] = ()
    """What keeps executors of the pools busy; of very many executors, only that of some."""
    queued: tuple[QueuedWork, ...] = ()
    """What waits for the same pools."""
    is_paused: bool = False
    """Nothing is placed at all."""
    means_ms: dict[str, float] = {}
    """How long tasks took lately, by kind."""


class Line(msgspec.Struct, frozen=True):
    """Where a task stands in its queue."""

    queue: str
    before: int = 0
    """Tasks of its own tenant that go first."""
    tenants: dict[str, float] = {}
    """Virtual time of each tenant that waits in the queue; the smallest goes first."""
    is_cut: bool = False
    """There are more tenants than were read."""


class Ask(msgspec.Struct, frozen=True):
    """What a task, or somebody who simulates one, asks of the fleet."""

    requirement: Requirement
    priority: PriorityClass = PriorityClass.BATCH
    tenant: str = DEFAULT_TENANT
    policy: Policy = Policy.LEAST_LOADED
    excluded: frozenset[str] = frozenset()
    """Nodes where it failed before."""
    near: frozenset[str] = frozenset()
    """Nodes that have its input."""
    line: Line | None = None
    """None for a simulation, and for a task that is in no queue."""


class TaskSnapshot(msgspec.Struct, frozen=True):
    """A task, and what it waits for beside an executor."""

    id: str
    state: TaskState
    ask: Ask
    executor: str = ""
    attempt: int = 0
    tries: int = 0
    error: str = ""
    """Sentence of its last failure."""
    parents: tuple[str, ...] = ()
    """Tasks that it waits for."""
    uploads: tuple[str, ...] = ()
    """Artifacts that are not complete yet."""
    held_until_ms: int | None = None
    """A back-off ends then."""
    jobs: tuple[str, ...] = ()
    """Jobs that its job waits for."""
    refusals: int = 0
    """Attempts in a row, up to the last one, that their nodes refused; 16 at most are known."""
    refused: str = ""
    """Why the last of them was."""
    is_paused: bool = False
    """Its job is."""
    is_parked: bool = False
    """Its tenant was at its cap when its turn came."""


# --- what is said --------------------------------------------------------------------------


class Verdict(StrEnum):
    """What becomes of an executor of a pool that matches."""

    TAKEN = "taken"
    """The policy takes it."""
    CANDIDATE = "candidate"
    """It has room, but another is taken; or, for `random`, any of these."""
    FULL = "full"
    LIVE_RESERVE = "live_reserve"
    """Its free slots are kept for live work."""
    EXCLUDED = "excluded"
    """It has room, but the task failed on its node and another has room too."""
    HELD = "held"
    WITHHELD = "withheld"
    WARMUP = "warmup"
    DEGRADED = "degraded"
    DRAINING = "draining"
    PAUSED = "paused"
    UNLINKED = "unlinked"
    OFFLINE = "offline"


class ExecutorWhy(msgspec.Struct, frozen=True):
    """An executor of a pool that matches, and why it is taken or not."""

    executor: str
    pool: str
    verdict: Verdict
    reason: str
    """A sentence."""
    used: int
    slots: int


class PoolLack(msgspec.Struct, frozen=True):
    """A pool that does not match."""

    pool: str
    missing: tuple[str, ...]
    """Capabilities that it lacks."""
    slots_short: int
    """Slots that an executor of it has too few, 0 for none."""


class Turn(msgspec.Struct, frozen=True):
    """When it is the task's turn, from 1."""

    own: int
    """Among the tasks of its tenant in the queue."""
    tenant: int
    """Of its tenant among those in the queue that are not at their caps."""
    at_least: bool
    """There are more tenants than were looked at."""
    urgent_queues: int
    """Queues of classes that go first and wait for the same pools."""


class Waiting(StrEnum):
    """What keeps a task from being placed now."""

    NOTHING = "nothing"
    """It is placed at the next step."""
    TURN = "turn"
    """Others go first."""
    ROOM = "room"
    """No executor of the pools that match has room."""
    POOL = "pool"
    """No pool matches."""
    TENANT_CAP = "tenant_cap"
    PAUSE = "pause"
    """Its job is paused, or the fleet is."""
    JOB = "job"
    """Its job waits for other jobs."""
    TASK = "task"
    UPLOAD = "upload"
    BACK_OFF = "back_off"


class StartEstimate(msgspec.Struct, frozen=True):
    """When a task should start that waits for room or its turn, going by what others took."""

    starts_ms: int | None
    """None where nobody can say."""
    ahead: int
    """About how many tasks go first."""
    reason: str = ""
    """Why nobody can say, as a clause."""


class Explanation(msgspec.Struct, frozen=True):
    """What placing would do with a task now, and why."""

    waits_for: Waiting
    words: tuple[str, ...]
    """The same in sentences, the most important first."""
    pools: tuple[str, ...]
    """Names of those that match."""
    would_take: str
    """The executor that it would get if it were its turn now; empty for none, and where it is drawn."""
    executors: tuple[ExecutorWhy, ...]
    """Of the pools that match, those that could be taken first; at most 50."""
    executors_left_out: int
    lacking: tuple[PoolLack, ...]
    """Pools that do not match, those that lack least first; at most 10."""
    lacking_left_out: int
    turn: Turn | None
    starts_ms: int | None
    """When it begins, where that can be known or estimated."""
    estimate: StartEstimate | None = None
    """Where it waits for room or its turn: how `starts_ms` was found, or why it was not."""
    policy: Policy = Policy.LEAST_LOADED
    """Which executor with room it gets: of its job, or else of its kind."""


class TaskWhy(msgspec.Struct, frozen=True):
    """One task of a job."""

    task: str
    state: TaskState
    sentence: str
    explanation: Explanation | None = None
    """For a task that waits."""


class ModuleState(StrEnum):
    """How far a module of a chain is."""

    LATER = "later"
    """It has no task yet: modules that it needs are not done."""
    WAITING = "waiting"
    BEGUN = "begun"
    DONE = "done"
    ENDED = "ended"


class ModuleWhy(msgspec.Struct, frozen=True):
    """One module of a job's chain."""

    chain: str
    module: str
    state: ModuleState
    task: str
    """Name of the task that runs it, maybe with others; empty while there is none."""
    needs: tuple[str, ...]
    """Capabilities and features."""
    missing: tuple[str, ...]
    """What the executor that comes nearest lacks, where none can do it."""
    sentence: str


class JobWhy(msgspec.Struct, frozen=True):
    """The answer of `GET /api/v1/jobs/{id}/why`."""

    job: str
    status: JobStatus
    sentence: str
    tasks: tuple[TaskWhy, ...]
    """Those that wait first; at most 20."""
    tasks_left_out: int
    modules: tuple[ModuleWhy, ...] = ()
    """Of the job's chains, in the order in which they run."""


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/simulate`: what a task might ask for."""

    capabilities: tuple[str, ...] = ()
    slots: int = 1
    priority: PriorityClass = PriorityClass.BATCH
    tenant: str = DEFAULT_TENANT
    policy: Policy = Policy.LEAST_LOADED
