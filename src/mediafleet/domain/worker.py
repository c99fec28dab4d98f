"""Workers of older fleets: they know tasks by numbers, and neither jobs nor grants."""

from __future__ import annotations

import hashlib
import re

import msgspec

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.frames import AttemptRef

LINK = "signalr"
"""The kind of link that they are behind."""
MOST_ID = 200


class HeldAttempt(msgspec.Struct, frozen=True):
    """An attempt that an executor holds slots for, with what its node was told."""

    task: str
    grant: str
    executor: str
    """Its name on the node."""
    cost: int
    spec: msgspec.Raw
    """A `TaskSpec`, as it was stored."""

    @property
    def ref(self) -> AttemptRef:
        """What messages about it carry."""
        return AttemptRef(self.task, self.grant)


def task_key(number: object) -> str:
    """Return the idempotency key of the job that a number of `/api/tasks` stands for."""
    return f"signalr-task-{number}"


def check_worker_id(worker_id: str) -> str:
    """Return the id that a worker gives itself. Raises InvalidRequest."""
    if not worker_id.strip() or len(worker_id) > MOST_ID or not worker_id.isprintable():
        raise InvalidRequest(
            f"A worker needs an id of 1 to {MOST_ID} printable characters; {worker_id[:40]!r} is none."
        )
    return worker_id


def worker_node_id(cell: str, worker_id: str) -> str:
    """Return the node id of a worker: always the same, on whatever instance it comes back."""
    readable = re.sub(r"[^a-z0-9]+", "-", worker_id.lower()).strip("-")[:40] or "worker"
    return f"n{cell}-{readable}-{hashlib.blake2b(worker_id.encode(), digest_size=5).hexdigest()}"
