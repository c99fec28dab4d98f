"""A kind that hands a whole film to a worker of an older fleet, by the paths that the worker knows it by.

Only workers behind a `signalr` link take it; our own nodes subtitle by the kind `subtitle`, in steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from mediafleet.domain.capability import Requirement, kind_capability
from mediafleet.domain.errors import CapabilityMissing, InvalidParams
from mediafleet.domain.job import DEFAULT_TENANT
from mediafleet.domain.limits import KindLimits, TaskLimits
from mediafleet.domain.plan import Expand, FinishedTask, NewTask, Step, TaskResult
from mediafleet.domain.worker import task_key
from mediafleet.kinds.seam import Kind, TaskContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.job import Job, Submission

NAME = "subtitize"
WORKER = "link:signalr"
"""What executors behind a `signalr` link offer, and nobody else."""
OFFERED = (kind_capability(NAME, 1), WORKER)
TASK_TIMEOUT_S = 3_600
RETRIES = 3
MOST_NUMBER = 2**31 - 1
"""Workers keep numbers of tasks in 32 bits with a sign."""

_Path = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,4096}$(?!\n)",
        description="a path or address of 1 to 4096 characters, without control characters",
    ),
]


class SubtitizeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker is told; nothing of it is looked at here."""

    video_path: _Path
    """As the worker reaches it."""
    raw_subtitle_path: _Path
    """Where it writes what is spoken."""
    translated_subtitle_path: _Path
    """Where it writes the translation."""
    language: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,34}$(?!\n)", description="a language such as es or pt-BR (BCP 47)"),
    ]
    """To translate into."""
    number: Annotated[int, Meta(ge=1, le=MOST_NUMBER)]
    """How `/api/tasks` has numbered it, which is what workers call it by."""


def check_number(submission: Submission) -> None:
    """Keep numbers apart: each stands for one job only, which is found by it. Raises InvalidParams."""
    if submission.tenant != DEFAULT_TENANT or submission.idempotency_key != task_key(submission.params.get("number")):
        raise InvalidParams(
            f"Workers know a task of the kind {NAME!r} by a number that is given once; "
            "hand the film in with POST /api/tasks, which numbers it."
        )


def plan_subtitize(_: Job, __: Sequence[FinishedTask]) -> Step:
    """One task whose result is the job's."""
    return Expand((NewTask(name=NAME, step=NAME, requirement=Requirement((WORKER,))),), outcome_of=NAME)


async def refuse(_: TaskContext) -> TaskResult:
    """Never asked, as long as no node says that it is behind a `signalr` link."""
    raise CapabilityMissing(WORKER, "A whole film is handed to workers behind a SignalR link only.")


KIND = Kind(
    name=NAME,
    version=1,
    params=SubtitizeParams,
    plan=plan_subtitize,
    handlers={NAME: refuse},
    summary="Have a worker of an older fleet subtitle a film that it reaches by a path.",
    inputs=(0, 0),
    check=check_number,
    limits=KindLimits(TaskLimits(max_tries=RETRIES + 1, total_ms=TASK_TIMEOUT_S * 1000)),
)
