"""The messages of `/ws/node`: JSON frames tagged by `type`, many attempts in one frame.

Public protocol, described for other implementers in `docs/reference/node-protocol.md`. Fields are
only ever added; a receiver ignores those it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from mediafleet.domain.errors import ErrorInfo, InvalidRequest
from mediafleet.domain.insight import KindTally
from mediafleet.domain.node import Executor
from mediafleet.domain.pace import Did
from mediafleet.domain.plan import TaskResult

PROTOCOL_VERSION = 1
MAX_INTEGER = 2**53
"""Larger numbers do not survive JSON readers that know only doubles, nor the store's Lua."""
MAX_FRAME_BYTES = 4 * 1024 * 1024
"""A frame larger than this closes the socket: 64 assignments take well under 1 MiB."""


def utf8_length(text: str) -> int:
    """Return how many bytes the text takes in a frame."""
    # Nearly all of it is ASCII, and asking that costs nothing.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


# With names, not as an array: two versions talk to each other while a fleet is updated, and fields are only added.
class AttemptRef(msgspec.Struct, frozen=True, array_like=False):
    """Names one attempt: every message about work carries it."""

    task: str
    grant: str


# --- from the node -------------------------------------------------------------------------


class Register(msgspec.Struct, frozen=True, tag="register", tag_field="type"):
    """First frame on a link: who the node is, what it offers and what it still does."""

    protocol: int
    node: str
    incarnation: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """Random, new at each start of the node's process."""
    host: Annotated[str, msgspec.Meta(max_length=255)]
    version: Annotated[str, msgspec.Meta(max_length=100)]
    executors: tuple[Executor, ...]
    running: tuple[AttemptRef, ...] = ()
    holding: tuple[AttemptRef, ...] = ()
    """Attempts whose result waits in the node's outbox."""
    draining: bool = False
    facts: dict[str, Any] = {}
    state: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """What the node says of itself: `warmup` while it takes no work yet, `degraded`, `draining`; empty for ready."""
    load: dict[str, float] = {}
    """As in `heartbeat`: a machine that is over its limits gets no work from the first moment on."""
    headroom: dict[str, int] = {}
    """Per cent of a resource that must be free for new work, where the node differs from the fleet."""


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat", tag_field="type"):
    """Renews the node's lease; names what it runs so that both sides agree."""

    running: tuple[AttemptRef, ...] = ()
    load: dict[str, float] = {}
    """Shares 0..1 of the machine in use: `cpu` (with `cpu_own`, the part of the node's own work), `memory`, `disk`, `gpu`;
    and `memory_free_gb`, `disk_free_gb`."""
    ran: dict[str, KindTally] = {}
    """What it ran to an end since the heartbeat before, by kind."""


class JobAck(msgspec.Struct, frozen=True, tag="job_ack", tag_field="type"):
    """The node has these attempts and starts them."""

    attempts: tuple[AttemptRef, ...]


class JobReject(msgspec.Struct, frozen=True, tag="job_reject", tag_field="type"):
    """The node cannot take this attempt; the task goes elsewhere and spends no try."""

    task: str
    grant: str
    reason: str
    missing: str = ""
    """The capability that is missing, if that is the reason."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far one attempt is."""

    task: str
    grant: str
    fraction: float
    """0..1, never falling within an attempt."""
    stage: str = ""
    speed: float | None = None
    """Media seconds per second."""
    eta_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)] | None = None


class JobProgress(msgspec.Struct, frozen=True, tag="job_progress", tag_field="type"):
    """Progress of several attempts; the latest of each counts."""

    updates: tuple[Progress, ...]


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one attempt ended: exactly one of `result`, `error` and `cancelled` is set."""

    task: str
    grant: str
    result: TaskResult | None = None
    error: ErrorInfo | None = None
    cancelled: bool = False
    """The node stopped it because it was told to; frees its slots."""
    traceparent: str = ""
    """That of the task's specification, so that whoever takes the outcome can add to its trace."""
    did: Did | None = None
    """How long a result took, of a task that names its pace."""

    def __post_init__(self) -> None:
        """Raise ValueError for what is no way to end; msgspec makes it the decoder's error."""
        if (self.result is not None) + (self.error is not None) + self.cancelled != 1:
            raise ValueError("an outcome has exactly one of result, error and cancelled")


class JobResults(msgspec.Struct, frozen=True, tag="job_result", tag_field="type"):
    """Outcomes; each stays in the node's outbox until a `job_result_ack` names it."""

    outcomes: tuple[Outcome, ...]


class Misc(msgspec.Struct, frozen=True, tag="misc", tag_field="type"):
    """Everything else: log lines, changed capabilities, a goodbye."""

    event: str
    """`log`, `executors` (capabilities changed), `state` (of the node itself), `draining`, `goodbye`."""
    data: dict[str, Any] = {}
    executors: tuple[Executor, ...] = ()
    """With `executors`, and with a `state` that ends a warm-up: the whole new list."""


NodeFrame = Register | Heartbeat | JobAck | JobReject | JobProgress | JobResults | Misc

# Of both alphabets, ids and grants, with room: it keeps out what has a meaning in the names of keys. Asked by hand, since
# a pattern of msgspec takes five times as long, and every message about work has two of them.
_is_word = re.compile(r"[A-Za-z0-9._-]{1,160}").fullmatch


def check_node_frame(frame: NodeFrame) -> None:
    """Check what of a node's frame becomes part of the names of keys. Raises InvalidRequest."""
    for named in _named_attempts(frame):
        if not _is_word(named.task):
            raise InvalidRequest(f"{named.task[:80]!r} is no id of a task; say the one of the assignment.")
        if not _is_word(named.grant):
            raise InvalidRequest(f"{named.grant[:80]!r} is no grant; say the one of the assignment.")


def _named_attempts(frame: NodeFrame) -> Iterator[AttemptRef | JobReject | Progress | Outcome]:
    match frame:
        case JobResults():
            yield from frame.outcomes
        case JobAck():
            yield from frame.attempts
        case JobProgress():
            yield from frame.updates
        case Heartbeat():
            yield from frame.running
        case JobReject():
            yield frame
        case Register():
            yield from frame.running
            yield from frame.holding
        case Misc():
            pass


# --- to the node ---------------------------------------------------------------------------


class Registered(msgspec.Struct, frozen=True, tag="registered", tag_field="type"):
    """Answer to `register`."""

    node: str
    heartbeat_ms: int
    lease_ms: int
    keep: tuple[AttemptRef, ...] = ()
    """Go on with these."""
    drop: tuple[AttemptRef, ...] = ()
    """Stop these, or forget their result: they were revoked or somebody else's result was accepted."""
    draining: bool = False
    log_levels: dict[str, str] = {}
    """As in `log_levels`."""


class Assignment(msgspec.Struct, frozen=True):
    """One attempt for one executor of the node."""

    task: str
    grant: str
    attempt: int
    executor: str
    """Name of the executor on the node."""
    cost: int
    job: str
    # Sent as it was stored: the scheduler needs nothing of it, and would decode it only to encode it again.
    spec: msgspec.Raw
    """A `TaskSpec`, as it was stored."""


class JobAssign(msgspec.Struct, frozen=True, tag="job_assign", tag_field="type"):
    """Start these."""

    assignments: tuple[Assignment, ...]


class JobCancel(msgspec.Struct, frozen=True, tag="job_cancel", tag_field="type"):
    """Stop these and confirm each with an outcome `cancelled`."""

    attempts: tuple[AttemptRef, ...]
    reason: str = ""


class JobResultAck(msgspec.Struct, frozen=True, tag="job_result_ack", tag_field="type"):
    """These outcomes were recorded, or will never be wanted: drop them from the outbox."""

    attempts: tuple[AttemptRef, ...]


class Drain(msgspec.Struct, frozen=True, tag="drain", tag_field="type"):
    """Take nothing new (or, with `draining` false, take work again)."""

    draining: bool = True


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="type"):
    """Ask for a heartbeat now."""


class SetLogLevels(msgspec.Struct, frozen=True, tag="log_levels", tag_field="type"):
    """Write the lines of modules from these levels on, and of all others as at the start."""

    levels: dict[str, str]
    """`debug`, `info`, `warning` or `error` by the full name of a module; all that was set, not only what is new."""


SchedulerFrame = Registered | JobAssign | JobCancel | JobResultAck | Drain | Ping | SetLogLevels

# Made once: a decoder for a union of types takes longer to build than to use.
decode_node_frame = msgspec.json.Decoder(NodeFrame).decode
decode_scheduler_frame = msgspec.json.Decoder(SchedulerFrame).decode
encode_frame = msgspec.json.Encoder().encode
