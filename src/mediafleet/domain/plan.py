"""What a plan returns: the next tasks of a job, or its outcome.

A plan is a pure function `(job, finished tasks) -> Step`. It is called with what is final so far,
names every task that should exist by now, and need not remember what it named before: a task that
already exists is left as it is, because its id follows from its name.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import Requirement
from mediafleet.domain.chain import Chain
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.lifecycle import TaskState
from mediafleet.domain.limits import USUAL, TaskLimits

__all__ = [
    "Complete",
    "Expand",
    "Fail",
    "FinishedTask",
    "NewTask",
    "Step",
    "TaskLimits",
    "TaskResult",
    "TaskSpec",
    "Wait",
]


class NewTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task that a plan wants."""

    name: str
    """Unique inside the job, 1 to 40 of a-z, 0-9, `_` and `-`."""
    step: str
    """Which handler of the kind runs it."""
    # It cannot be changed, so one stands for all tasks that name none.
    requirement: Requirement = Requirement()
    """Beside `kind:<name>`, which the scheduler adds."""
    inputs: tuple[ArtifactRef, ...] = ()
    payload: dict[str, Any] = {}
    """Handed to the handler as it is."""
    after: tuple[str, ...] = ()
    """Names of tasks of the same job that must be DONE first."""
    weight: float = 1.0
    """Share of the job's progress that this task stands for, relative to its siblings."""
    limits: TaskLimits = USUAL
    near: tuple[str, ...] = ()
    """Nodes that have its inputs; one of them is taken among executors that the policy holds equal."""
    pace: str = ""
    """What sort of work it is, where the time that is left is to be told: tasks of one pace are measured together, so that
    their speed should depend on the node alone. 1 to 80 of a-z, 0-9, `:`, `.`, `_` and `-`."""
    size: float = 0.0
    """How much work of that sort, in a unit of the kind's own; 0 where that is not known, and tasks are taken as equal."""
    prefers: tuple[str, ...] = ()
    """Capabilities that it asks for as well, if an executor that could run it has them when it is planned."""


class FinishedTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task that is final, as the plan sees it."""

    name: str
    step: str
    state: TaskState
    result: dict[str, Any] = {}
    outputs: tuple[ArtifactRef, ...] = ()
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    node: str = ""
    """Where its result was made; empty where it has none."""


class Expand(msgspec.Struct, frozen=True, tag="expand"):
    """These tasks should exist."""

    tasks: tuple[NewTask, ...]
    outcome_of: str = ""
    """Name of the task whose result is the job's: when all tasks are DONE the job completes with it,
    and when one fails the job fails with its error, without asking the plan again."""
    drop: tuple[str, ...] = ()
    """Names of tasks that are not needed after all: they are removed as if they had never been. Only for tasks that no
    executor has (`Room.unplaced`); if one has begun meanwhile, nothing of the step is applied and the plan asked again."""
    whole: float = 0.0
    """Weight of all tasks that the job will have had at its end, those that only a later answer names among them, so that its
    progress neither falls nor is complete before; 0 where it has no more than were named."""
    chains: tuple[Chain, ...] = ()
    """Modules that should run; their results come back as finished tasks named `<chain>_<module>`, whatever tasks ran
    them. `mediafleet.kinds.chains.plan_chain` is a plan of one chain."""


class Complete(msgspec.Struct, frozen=True, tag="complete"):
    """The job is done."""

    result: dict[str, Any] = {}
    outputs: tuple[ArtifactRef, ...] = ()
    warnings: tuple[str, ...] = ()


class Fail(msgspec.Struct, frozen=True, tag="fail"):
    """The job has failed; tasks that still run are cancelled."""

    error: ErrorInfo


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Nothing to add until another task is final."""


Step = Expand | Complete | Fail | Wait


class TaskSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node needs to run a task; stored with it and sent unchanged in every assignment."""

    kind: str
    kind_version: int
    step: str
    name: str
    tenant: str
    inputs: tuple[ArtifactRef, ...] = ()
    payload: dict[str, Any] = {}
    params: dict[str, Any] = {}
    """The job's params, already checked."""
    weight: float = 1.0
    limits: TaskLimits = USUAL
    pace: str = ""
    size: float = 0.0
    traceparent: str = ""
    """The job's trace (W3C Trace Context), where spans are made."""
    submitted_ms: int = 0
    """When the job was accepted; only together with a trace."""


class TaskResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a handler returns."""

    result: dict[str, Any] = {}
    outputs: tuple[ArtifactRef, ...] = ()
    warnings: tuple[str, ...] = ()
