"""What a node says of an attempt, held against what the fleet knows; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.artifact import ArtifactState
from mediafleet.domain.errors import ErrorInfo, OutputRejected, TransientFailure

if TYPE_CHECKING:
    from mediafleet.domain.artifact import Artifact
    from mediafleet.domain.plan import TaskResult

LONGEST_SENTENCE = 1_000
LONGEST_DETAIL = 16 * 1024
"""Characters. An error is kept with its job and is part of every answer about it."""


DEADLINE_EXCEEDED = ErrorInfo(
    "deadline-exceeded", "The job had not ended by its deadline, so it was given up; a retry goes on without one."
)

QUEUE_TIMEOUT = ErrorInfo(
    "queue-timeout",
    "No executor became free for the task in the time that it may wait (queue_ms); add nodes, or submit it again.",
    retryable=True,
)
STALLED = ErrorInfo(
    "stalled",
    "The task made no progress for as long as its kind allows (progress_ms), so the attempt was stopped.",
    retryable=True,
)
TASK_DEADLINE_EXCEEDED = ErrorInfo("deadline-exceeded", "The task had not ended by its deadline, so it was given up.")
POISON = ErrorInfo(
    "poison",
    "The task was at work on nodes when they died, so it is given to no other: {nodes}. `mediafleet dead show` says "
    "when and how far it was; a retry of its job tries it again.",
)
"""The store puts the names of the nodes in."""
WITHDRAWN = ErrorInfo(
    "withdrawn",
    "The call that handed this job in was refused as a whole after all, so the job was withdrawn; its idempotency key "
    "is free, and the same call may be sent again.",
)


def tidy_error(error: ErrorInfo) -> ErrorInfo:
    """Return an error that can be shown: with a code and a sentence, and not of any length."""
    return ErrorInfo(
        code=error.code[:LONGEST_SENTENCE] or "task-failed",
        message=error.message[:LONGEST_SENTENCE]
        or "The task failed, and its node did not say why; see the node's log.",
        retryable=error.retryable,
        detail=error.detail[:LONGEST_DETAIL],
    )


class Belongings(msgspec.Struct, frozen=True):
    """What a task may name as an output."""

    grants: frozenset[str]
    """Of its attempts: what was published under one of them is its own."""
    artifacts: frozenset[str] = frozenset()
    """Ids of its job's inputs, and of what the job's tasks have made so far."""

    def has(self, artifact: Artifact) -> bool:
        """Tell whether the artifact is one of them."""
        return artifact.ref.id in self.artifacts or bool(artifact.grant and artifact.grant in self.grants)


def are_of_attempt(result: TaskResult, known: Mapping[str, Artifact], grant: str) -> bool:
    """Tell whether all outputs that are recorded were published by this attempt, as nearly all are."""
    return all(known[output.id].grant == grant for output in result.outputs if output.id in known)


def check_outputs(result: TaskResult, known: Mapping[str, Artifact], belongings: Belongings) -> TaskResult | ErrorInfo:
    """Return the result with its outputs as they are recorded, or why it cannot be taken.

    What a node says of an output (a name, an address, a size) would be believed by everyone who fetches it.

    Args:
        known: The recorded artifacts among the outputs, by id.
    """
    for output in result.outputs:
        artifact = known.get(output.id)
        if artifact is None or artifact.state is not ArtifactState.COMPLETE:
            sentence = f"The node named the output {output.name[:100]!r}, but its bytes are not here; the result was not taken."
            return TransientFailure(sentence).info()
        if not belongings.has(artifact):
            # It would keep somebody else's file for this job, show it to this job's owner, and outlive its own job.
            sentence = (
                f"The node named the output {artifact.ref.name[:100]!r}, which is of another job; "
                "a task may name what it published, and its job's artifacts. The result was not taken."
            )
            return OutputRejected(sentence).info()
    return msgspec.structs.replace(result, outputs=tuple(known[output.id].ref for output in result.outputs))
