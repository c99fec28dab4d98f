"""What the fleet tells those who watch it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class EventType(StrEnum):
    """Names of events, in the past tense; also the `event:` field of the SSE routes."""

    JOB_ACCEPTED = "job.accepted"
    JOB_STARTED = "job.started"
    JOB_PROGRESSED = "job.progressed"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_REVIVED = "job.revived"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    JOB_ASKED = "job.asked"
    """Nothing of it goes on until a person answers a review."""
    JOB_REVIEWED = "job.reviewed"
    """A review of it was answered; `status` says whether others are left."""
    TASK_RETRIED = "task.retried"
    TASK_DEAD = "task.dead"
    """A task failed for good and is a dead letter; the code of its error says why, `poison` among others."""
    NODE_REGISTERED = "node.registered"
    NODE_UNLINKED = "node.unlinked"
    NODE_DRAINING = "node.draining"
    NODE_PAUSED = "node.paused"
    NODE_RESUMED = "node.resumed"
    FLEET_PAUSED = "fleet.paused"
    FLEET_RESUMED = "fleet.resumed"
    NODE_CHANGED = "node.changed"
    """Its state, or what one of its executors gets work for, is another now."""
    NODE_LOST = "node.lost"
    UNKNOWN = "unknown"
    """Stands for a type that only a newer version knows, while a fleet is updated; it is passed over and counted."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One transition, in the order of the store's event stream."""

    id: str
    """Position in the stream; what a client sends back as `Last-Event-ID`."""
    type: EventType
    at_ms: int
    job: str = ""
    node: str = ""
    # msgspec gives each event a dictionary of its own, unlike a default of a function.
    data: dict[str, Any] = {}
    """`status`, `progress`, `stage`, `speed`, `eta_ms`, `error` … whatever the type has."""


def event_position(event_id: str) -> tuple[int, int]:
    """Return the two numbers of a position: as text 9-0 comes after 10-0."""
    time, _, sequence = event_id.partition("-")
    return int(time), int(sequence or 0)
