"""The job kind of the simulation: plans of several shapes, and work that takes time, fails, or takes its node with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from mediafleet.domain.capability import Requirement
from mediafleet.domain.job import Job
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step, TaskLimits, TaskResult
from mediafleet.kinds import Kind, KindRegistry
from mediafleet.kinds.seam import TaskContext


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a job of the simulation does."""

    shape: Literal["one", "fan", "chain", "grown"] = "one"
    seconds: float = 1.0
    slots: int = 1
    fails: int = 0
    """So many attempts of each task fail before one succeeds; more than the tries of a task make it fail for good."""
    crashes: int = 0
    """So many attempts end their node."""
    total_ms: int = 0


def plan(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """Return the tasks of the job's shape; a grown one makes its second half from the first."""
    params = msgspec.convert(job.params, Params)

    def task(name: str, *after: str) -> NewTask:
        limits = TaskLimits(max_tries=3, total_ms=params.total_ms)
        return NewTask(name, "work", Requirement(slots=params.slots), after=after, limits=limits)

    if params.shape == "fan":
        return Expand((task("a"), task("b"), task("c"), task("z", "a", "b", "c")), outcome_of="z")
    if params.shape == "chain":
        return Expand((task("a"), task("b", "a"), task("z", "b")), outcome_of="z")
    if params.shape == "grown":
        return _grow(finished, task("a"), task("z"))
    return Expand((task("z"),), outcome_of="z")


def _grow(finished: Sequence[FinishedTask], first: NewTask, second: NewTask) -> Step:
    for done in finished:
        if done.error:
            return Fail(done.error)
    if len(finished) == 2:
        return Complete({"tasks": 2})
    return Expand((first, second) if finished else (first,))


async def _never(context: TaskContext) -> TaskResult:
    raise AssertionError("The nodes of the simulation run no handlers.")


KIND = Kind("sim", 1, Params, plan, {"work": _never}, "Take time and fail as told.", inputs=(0, 0))
KINDS = KindRegistry([KIND])
