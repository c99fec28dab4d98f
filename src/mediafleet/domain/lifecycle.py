"""The life of a task and of a job, as tables; nothing else may change a state.

The store hands `TRANSITIONS` to its Lua scripts, the docs draw it, the tests walk it.
"""

from __future__ import annotations

from enum import StrEnum

from mediafleet.domain.errors import IllegalTransition


class TaskState(StrEnum):
    """Where a task stands."""

    NEW = "NEW"
    """Waits: for an executor, for a dependency, or for a time (then it is held)."""
    SELECTING = "SELECTING"
    """An executor is being chosen; passed inside the placing script."""
    RESERVED = "RESERVED"
    """Slots are held by a grant, until a short lease ends."""
    DISPATCHED = "DISPATCHED"
    """The assignment was handed to the link of the executor's node."""
    ACKED = "ACKED"
    """The node runs it; its node's lease holds the slots."""
    DONE = "DONE"
    """One result was accepted. Final."""
    FAILED = "FAILED"
    """It failed for good: no try left, or a retry cannot help. Final but for an explicit retry."""
    CANCELLED = "CANCELLED"
    """The user, or the end of its job, ended it. Final but for an explicit retry."""


class TaskEvent(StrEnum):
    """What can happen to a task."""

    SELECT = "select"
    RESERVE = "reserve"
    DISPATCH = "dispatch"
    ACK = "ack"
    FINISH = "finish"
    """A result of a grant that was not revoked: accepted from every state that is not final."""
    FAIL = "fail"
    """The task's own fault, and no try is left or none can help."""
    RETRY = "retry"
    """The task's own fault, but a try is left; spends it."""
    LOSE = "lose"
    """The attempt ended through no fault of the task: expiry, lost node, reject; spends no try."""
    READOPT = "readopt"
    """A node that was away came back, still running the attempt."""
    CANCEL = "cancel"
    REVIVE = "revive"
    """The user asks for another go at a failed or cancelled job."""


S, E = TaskState, TaskEvent

TRANSITIONS: dict[tuple[TaskState, TaskEvent], TaskState] = {
    (S.NEW, E.SELECT): S.SELECTING,
    (S.SELECTING, E.RESERVE): S.RESERVED,
    (S.RESERVED, E.DISPATCH): S.DISPATCHED,
    (S.DISPATCHED, E.ACK): S.ACKED,
    # The work that a lost node goes on with need not be begun anew, as long as nobody else has taken the task.
    (S.NEW, E.READOPT): S.ACKED,
    # Not from SELECTING: it begins and ends inside one script, so nothing can be lost there.
    **{(state, E.LOSE): S.NEW for state in (S.RESERVED, S.DISPATCHED, S.ACKED)},
    # Not from NEW or RESERVED: no node has had the task yet, so its failure cannot be the task's own.
    **{(state, E.RETRY): S.NEW for state in (S.DISPATCHED, S.ACKED)},
    **{(state, E.FAIL): S.FAILED for state in (S.NEW, S.DISPATCHED, S.ACKED)},
    # From NEW as well: the attempt was given up and its result came after all. It is as good as any other.
    **{(state, E.FINISH): S.DONE for state in (S.NEW, S.RESERVED, S.DISPATCHED, S.ACKED)},
    **{(state, E.CANCEL): S.CANCELLED for state in (S.NEW, S.SELECTING, S.RESERVED, S.DISPATCHED, S.ACKED)},
    # DONE has no way out: a retry keeps what is done, and its result may be in use already.
    (S.FAILED, E.REVIVE): S.NEW,
    (S.CANCELLED, E.REVIVE): S.NEW,
}

FINAL_TASK_STATES = frozenset({S.DONE, S.FAILED, S.CANCELLED})
PLACED_TASK_STATES = frozenset({S.RESERVED, S.DISPATCHED, S.ACKED})


def next_state(state: TaskState, event: TaskEvent, *, task: str = "task", history: tuple[str, ...] = ()) -> TaskState:
    """Return the state that follows.

    Raises:
        IllegalTransition: The table has no such move; the error carries task and history.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(task, state, event, history) from None


class JobStatus(StrEnum):
    """What a user sees of a job."""

    PENDING = "pending"
    """Accepted; no task runs yet."""
    UPLOADING = "uploading"
    """An input is on its way: from the client, or to the node."""
    PROCESSING = "processing"
    PAUSED = "paused"
    REVIEW = "review"
    """Waits for a person."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_JOB_STATUSES = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
STANDING_JOB_STATUSES = frozenset({JobStatus.PAUSED, JobStatus.REVIEW})
"""A job goes on from there when a person says so, which nobody can foretell."""
RETRYABLE_JOB_STATUSES = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})


class PriorityClass(StrEnum):
    """Strict order between kinds of work: live before interactive before batch."""

    LIVE = "live"
    INTERACTIVE = "interactive"
    BATCH = "batch"
