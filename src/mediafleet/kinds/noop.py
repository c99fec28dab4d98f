"""A kind that does nothing: it measures the fleet, and shows the smallest kind there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import Requirement
from mediafleet.domain.plan import Expand, FinishedTask, NewTask, Step, TaskResult
from mediafleet.kinds.seam import Kind, TaskContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.job import Job


class NoopParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of a no-op job."""

    echo: str = ""
    """Returned in the result."""
    slots: int = 1
    """Slots the task takes."""


def plan_noop(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """One task whose result is the job's."""
    del finished
    task = NewTask(name="noop", step="noop", requirement=Requirement(slots=int(job.params["slots"])))
    return Expand((task,), outcome_of="noop")


async def run_noop(context: TaskContext) -> TaskResult:
    """Return the word that was given."""
    return TaskResult(result={"echo": context.spec.params["echo"]})


KIND = Kind(
    name="noop",
    version=1,
    params=NoopParams,
    plan=plan_noop,
    handlers={"noop": run_noop},
    summary="Do nothing, quickly.",
    inputs=(0, 0),
)
