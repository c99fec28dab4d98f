"""What follows a transcode whose result is to take its source's place, and what brings a source back: pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from mediafleet.artifacts.originals import CAPABILITY
from mediafleet.domain.capability import Requirement
from mediafleet.domain.errors import ErrorInfo, InvalidParams
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.domain.job import Job
    from mediafleet.kinds.transcode.params import Replace

REPLACE, RESTORE = "replace", "restore"
"""Names of the steps, and of their tasks."""
SOURCE_MTIME = "source_mtime_ns"
"""Where a transcode's account says when its source was changed last, as text: scripts would round the number."""
_DAY_MS = 24 * 3600 * 1000


class ReplaceOrder(msgspec.Struct, frozen=True):
    """Payload of the step `replace`; its inputs are the result and the original."""

    job: str
    ending: str
    """Of the result's name, with its dot."""
    trash_ms: int
    mtime_ns: str = "0"


def check_replaceable(original: ArtifactRef) -> None:
    """Return if a file can be replaced at all. Raises InvalidParams."""
    if not original.uri.startswith("file://") or original.fingerprint is None:
        raise InvalidParams(
            f"{original.name!r} was uploaded, and only a file that the fleet uses in place can be replaced; "
            "give its address (file://…) below artifacts.file_roots, or leave 'replace' out."
        )


def after_transcode(job: Job, replace: Replace, made: FinishedTask, finished: Sequence[FinishedTask]) -> Step:
    """Return what comes once the result is made: the task that puts it in place, or the job's outcome.

    Args:
        made: The task whose output is the verified result; an output it has none where the source is to stay.
        finished: All tasks that are final.
    """
    if made.state is not TaskState.DONE:
        return Fail(made.error or ErrorInfo("task-failed", f"{made.name!r} ended without a result."))
    if not made.outputs:
        return Complete(made.result, (), made.warnings)
    placed = next((task for task in finished if task.name == REPLACE), None)
    if placed is None:
        return Expand((replace_task(job, replace, made),))
    if placed.state is not TaskState.DONE:
        return Fail(placed.error or ErrorInfo("task-failed", "The original was not replaced."))
    # Without outputs: the result is where the original was, and a second copy in the store would only take its room.
    return Complete({**made.result, "replaced": placed.result}, (), (*made.warnings, *placed.warnings))


def replace_task(job: Job, replace: Replace, made: FinishedTask) -> NewTask:
    """Return the task that puts a result in its original's place."""
    result, mtime = made.outputs[0], str(made.result.get(SOURCE_MTIME, "0"))
    order = ReplaceOrder(job.id, PurePosixPath(result.name).suffix, replace.days * _DAY_MS, mtime)
    return NewTask(
        name=REPLACE,
        step=REPLACE,
        requirement=Requirement((CAPABILITY,)),
        inputs=(result, job.inputs[0]),
        payload=msgspec.to_builtins(order),
        weight=0.05,
        # It has read the original already, so it sees it; and the result may still be in its memory.
        near=(made.node,) if made.node else (),
    )


def plan_restore(job: Job) -> Step:
    """Return the one task that brings an original back; the job's input is the file as it is kept."""
    check_replaceable(job.inputs[0])
    task = NewTask(name=RESTORE, step=RESTORE, requirement=Requirement((CAPABILITY,)), inputs=job.inputs)
    return Expand((task,), outcome_of=RESTORE)
