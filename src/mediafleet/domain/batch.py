"""Batches: many jobs that were handed in as one, with what each file has of its own; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import msgspec

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.job import DEFAULT_TENANT, Submission, Urgency
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, STANDING_JOB_STATUSES, JobStatus, PriorityClass
from mediafleet.domain.limits import NO_WISH, LimitWish
from mediafleet.domain.placement import Policy

_BATCH = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LEAST_PROGRESS = 0.05
"""Of one job: less says nothing about how fast it goes, since looking into a file is not working on it."""


class BatchFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a batch; what it leaves out is as the batch says."""

    input: str | list[str]
    params: dict[str, Any] = {}
    """On top of the batch's, object by object; null takes one away."""
    name: str = ""
    priority: PriorityClass | None = None
    urgency: Urgency | None = None
    idempotency_key: str = ""


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many files in one call; the body of `POST /api/v1/batches`."""

    kind: str
    files: list[BatchFile | str]
    """A word stands for a file that is as all others."""
    batch: str = ""
    """A name for it, 1 to 64 of A-Z, a-z, 0-9, '_', '.' and '-'; empty for one that is made."""
    params: dict[str, Any] = {}
    priority: PriorityClass = PriorityClass.BATCH
    policy: Policy | None = None
    urgency: Urgency = 0
    tenant: str = DEFAULT_TENANT
    not_before: int | str = 0
    deadline: int | str = 0
    limits: LimitWish = NO_WISH


class BatchJob(msgspec.Struct, frozen=True):
    """What is shown of one job of a batch."""

    id: str
    name: str
    status: JobStatus
    progress: float
    stage: str = ""
    speed: float | None = None
    eta_ms: int | None = None


class BatchView(msgspec.Struct, frozen=True):
    """How far a batch is; the body of `GET /api/v1/batches/{id}`."""

    id: str
    total: int
    """Jobs of it that retention has not removed."""
    statuses: dict[JobStatus, int]
    progress: float
    """0..1: the mean of its jobs, where one that has ended counts whole."""
    eta_ms: int | None
    """By the measured speeds of what is left of it, or else by how fast it went since it began; None while nothing of it was measured, while it is paused or in review, and at its end."""
    started_ms: int | None
    finished_ms: int | None
    """None while any job of it has not ended."""
    jobs: tuple[BatchJob, ...] = ()
    """One page of it, in the order in which they came."""


class JobPace(NamedTuple):
    """What a batch needs of one of its jobs."""

    status: JobStatus
    progress: float
    started_ms: int | None
    finished_ms: int | None


def check_batch(name: str) -> None:
    """Raise InvalidRequest unless a batch may be called so; empty is none."""
    if name and not _BATCH.fullmatch(name):
        raise InvalidRequest(f"{name[:80]!r} is no batch: use 1 to 64 of A-Z, a-z, 0-9, '_', '.' and '-'.")


def merge_params(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return params with those of one file on top: objects are merged, null takes away, all else replaces."""
    merged = dict(common)
    for name, value in own.items():
        below = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(below, dict):
            merged[name] = merge_params(cast("dict[str, Any]", below), cast("dict[str, Any]", value))
        else:
            merged[name] = value
    return merged


def spread(request: BatchRequest, *, name: str) -> list[Submission]:
    """Return a submission for each file, in order; `name` is the batch's. Raises InvalidRequest."""
    check_batch(name)
    return [
        _submission(request, file if isinstance(file, BatchFile) else BatchFile(file), name) for file in request.files
    ]


def _submission(request: BatchRequest, file: BatchFile, name: str) -> Submission:
    return Submission(
        request.kind,
        input=file.input,
        params=merge_params(request.params, file.params),
        priority=file.priority or request.priority,
        policy=request.policy,
        urgency=request.urgency if file.urgency is None else file.urgency,
        tenant=request.tenant,
        idempotency_key=file.idempotency_key,
        not_before=request.not_before,
        deadline=request.deadline,
        limits=request.limits,
        name=file.name,
        batch=name,
    )


def sum_up(
    name: str,
    paces: Iterable[JobPace],
    *,
    now_ms: int,
    jobs: tuple[BatchJob, ...] = (),
    measured_ms: int | None = None,
) -> BatchView:
    """Return how far a batch is.

    Args:
        measured_ms: In how long it should end, where the speeds of all that is left of it were measured.
    """
    known = list(paces)
    statuses = Counter(one.status for one in known)
    done = sum(1.0 if one.status in FINAL_JOB_STATUSES else one.progress for one in known)
    has_ended = all(one.status in FINAL_JOB_STATUSES for one in known)
    started = min((one.started_ms for one in known if one.started_ms is not None), default=None)
    return BatchView(
        id=name,
        total=len(known),
        statuses=dict(statuses),
        progress=round(done / max(1, len(known)), 6),
        eta_ms=_eta_ms(known, started, now_ms=now_ms, measured_ms=measured_ms),
        started_ms=started,
        finished_ms=max((one.finished_ms or 0 for one in known), default=None) if has_ended else None,
        jobs=jobs,
    )


def _eta_ms(paces: list[JobPace], started_ms: int | None, *, now_ms: int, measured_ms: int | None) -> int | None:
    """Return what was measured, or else what is left by the pace of each job so far; None where nothing tells."""
    waiting = [one for one in paces if one.status not in FINAL_JOB_STATUSES]
    # Nobody knows when somebody resumes it, or answers.
    if all(one.status in STANDING_JOB_STATUSES for one in waiting):
        return None
    if measured_ms is not None or started_ms is None:
        return measured_ms
    # Only what ran tells of speed: a job that was cancelled before it began took no time.
    ran = [one for one in paces if one.started_ms is not None and one.status not in STANDING_JOB_STATUSES]
    known = [total for one in ran if (total := _total_ms(one, now_ms)) is not None]
    # One that began and tells of nothing yet may be the longest of all.
    if not known or len(known) < len(ran):
        return None
    mean_ms = sum(known) / len(known)
    left_ms = sum(
        (1 - one.progress) * (_total_ms(one, now_ms) or mean_ms)
        for one in waiting
        if one.status not in STANDING_JOB_STATUSES
    )
    busy_ms = sum((one.finished_ms or now_ms) - (one.started_ms or 0) for one in ran)
    # So many ran at once so far.
    lanes = max(1.0, busy_ms / max(1, now_ms - started_ms))
    return round(left_ms / lanes)


def _total_ms(pace: JobPace, now_ms: int) -> float | None:
    """Return how long a job took or will take, by its own progress; None where that is not known yet, or it never ran."""
    if pace.started_ms is None:
        return None
    if pace.finished_ms is not None:
        return pace.finished_ms - pace.started_ms
    return (now_ms - pace.started_ms) / pace.progress if pace.progress >= _LEAST_PROGRESS else None
