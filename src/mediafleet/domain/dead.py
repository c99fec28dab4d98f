"""Dead letters: tasks that failed for good, with what is known of their attempts."""

from __future__ import annotations

import msgspec

from mediafleet.domain.errors import ErrorInfo


class EndedAttempt(msgspec.Struct, frozen=True):
    """An attempt that gave no result."""

    node: str
    executor: str
    at_ms: int
    how: str
    """`failed`, `timed-out`, `stalled`, `rejected`, `stopped`, `unconfirmed`, `unlinked`, `goodbye`, `removed`,
    `forgotten`, `silent`; or how its node died with it: `lease-ended`, `restarted`."""
    progress: float | None = None
    """How far it was by then, 0..1; None where nobody knows."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A task that failed for good."""

    task: str
    job: str
    kind: str
    tenant: str
    at_ms: int
    error: ErrorInfo
    attempts: int
    tries: int
    """Those of its attempts that were its own fault."""
    ends: tuple[EndedAttempt, ...]
    """The latest 16, oldest first; those whose node died stay longest."""


class DeadLetterPage(msgspec.Struct, frozen=True):
    """One page of dead letters, newest first."""

    letters: list[DeadLetter]
    total: int
    offset: int
    limit: int
