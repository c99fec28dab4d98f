"""From plans to records: what the store is given for a job and its tasks; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import Requirement, check_capabilities, kind_capability
from mediafleet.domain.errors import ErrorInfo, InvalidRequest
from mediafleet.domain.frames import utf8_length
from mediafleet.domain.ids import check_name, task_id
from mediafleet.domain.job import Job, JobView
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.limits import check_limits, effective_limits, encode_limits, show_limits
from mediafleet.domain.node import MAX_SLOTS
from mediafleet.domain.pace import check_pace
from mediafleet.domain.plan import Complete, Expand, Fail, NewTask, Step, TaskResult, TaskSpec
from mediafleet.domain.retry import score_ms
from mediafleet.domain.review import MOST_REVIEWS, check_review_task, is_review
from mediafleet.kinds.seam import Kind
from mediafleet.store import records
from mediafleet.store.scripts import as_text

PIECE = 256
"""Most tasks of one script call."""
MAX_TASK_BYTES = 512 * 1024
"""Largest document of a task: it goes whole into one frame, and a node closes its link at a frame that is too large."""
MAX_TASKS = 10_000
"""Most tasks of one job: a plan that wants more is taken for a mistake."""


def requirement_of(task: NewTask, kind: Kind, version: int | None = None) -> Requirement:
    """Return what the task needs, the kind itself included, in its job's version or else its own."""
    # The kind itself is a capability, so that no task reaches a node that has not installed it.
    capabilities = _complete(task.requirement.capabilities, kind_capability(kind.name, version or kind.version))
    if task.requirement.slots < 1:
        raise InvalidRequest(f"The task {task.name!r} asks for {task.requirement.slots} slots; it needs 1 or more.")
    if task.requirement.slots > MAX_SLOTS:
        raise InvalidRequest(f"The task {task.name!r} asks for more slots than an executor may have ({MAX_SLOTS}).")
    return Requirement(capabilities, task.requirement.slots)


@lru_cache(maxsize=4096)
def _complete(capabilities: tuple[str, ...], kind: str) -> tuple[str, ...]:
    return check_capabilities((*capabilities, kind))


def check_tasks(tasks: Sequence[NewTask], kind: Kind, *, known: Collection[str] = ()) -> None:
    """Check what a plan wants before any of it is stored.

    Args:
        known: Names of tasks that the job has already.

    Raises:
        InvalidRequest: A name, step, dependency or number cannot be.
    """
    if len(tasks) > MAX_TASKS:
        raise InvalidRequest(f"The plan of {kind.name!r} wants {len(tasks)} tasks; a job has at most {MAX_TASKS}.")
    for task in tasks:
        check_name(task.name, "a task")
        if is_review(task):
            check_review_task(task)
        elif task.step not in kind.handlers:
            raise InvalidRequest(f"The kind {kind.name!r} has no step {task.step!r} for its task {task.name!r}.")
        check_limits(task.limits, task.name)
        check_pace(task.pace, task.size, task.name)
    if sum(map(is_review, tasks)) > MOST_REVIEWS:
        raise InvalidRequest(f"The plan of {kind.name!r} wants more than {MOST_REVIEWS} reviews of one job.")
    check_order(tasks, known=known)


def check_order(tasks: Sequence[NewTask], *, known: Collection[str]) -> None:
    """Check that each task can ever begin. Raises InvalidRequest.

    A task that waits for something that never comes would keep its job open for ever, without an error to show.
    """
    own = {task.name for task in tasks}
    if len(own) < len(tasks):
        repeated = Counter(task.name for task in tasks).most_common(1)[0][0]
        raise InvalidRequest(f"The plan names the task {repeated!r} twice; a name stands for one task of a job.")
    # Most jobs have one task, and thousands of them come in one call.
    if not any(task.after for task in tasks):
        return
    names = own | set(known)
    for task in tasks:
        unknown = set(task.after) - names
        if unknown:
            raise InvalidRequest(f"The task {task.name!r} waits for {min(unknown)!r}, which is no task of the job.")
    try:
        TopologicalSorter({task.name: task.after for task in tasks}).prepare()
    except CycleError as error:
        raise InvalidRequest(f"The tasks {' → '.join(error.args[1])} wait for each other.") from None


def queue_of(job: Job, task: NewTask, kind: Kind) -> records.QueueSpec:
    """Return what a task waits in; reviews of all kinds are in one that no node is ever given work of."""
    if is_review(task):
        return records.QueueSpec(task.requirement, job.priority)
    return records.QueueSpec(requirement_of(task, kind, job.kind_version), job.priority, job.policy)


def task_record(
    job: Job, task: NewTask, kind: Kind, *, waits: Sequence[str], position: int = 0
) -> tuple[records.TaskRecord, records.QueueSpec]:
    """Return the record of a task and the queue that it waits in."""
    queue = queue_of(job, task, kind)
    # A person takes as long as it takes.
    limits = task.limits if is_review(task) else effective_limits(task.limits, kind.limits, job.limits)
    spec = TaskSpec(
        kind=job.kind,
        kind_version=job.kind_version,
        step=task.step,
        name=task.name,
        tenant=job.tenant,
        inputs=task.inputs,
        payload=task.payload,
        params=job.params,
        weight=task.weight,
        pace=task.pace,
        size=task.size,
        limits=limits,
        traceparent=job.traceparent,
        submitted_ms=job.created_ms if job.traceparent else 0,
    )
    doc = as_text(spec)
    size = utf8_length(doc)
    if size > MAX_TASK_BYTES:
        raise InvalidRequest(
            f"The parameters of the task {task.name!r} take {size // 1024} KiB; {MAX_TASK_BYTES // 1024} KiB are "
            "possible. Upload large data as an artifact and name it as an input."
        )
    used = {ref.id for ref in task.inputs}
    record = records.TaskRecord(
        id=task_id(job.id, task.name),
        name=task.name,
        job=job.id,
        queue=queue.id,
        tenant=job.tenant,
        cost=queue.requirement.slots,
        # The age of the job and not of the task: later stages of an old job go before the first ones of a new job.
        score=score_ms(job.created_ms, urgency=job.urgency, position=position),
        doc=doc,
        after=[task_id(job.id, name) for name in task.after],
        # A task that does not read an upload need not wait for it.
        waits=[artifact for artifact in waits if artifact in used],
        max_tries=limits.max_tries,
        total_ms=limits.total_ms,
        weight=task.weight,
        not_before=job.not_before_ms,
        limits=encode_limits(limits),
        near=list(task.near),
    )
    return record, queue


def task_records(
    job: Job, tasks: Sequence[NewTask], kind: Kind, *, waits: Sequence[str] = (), known: Collection[str] = ()
) -> tuple[list[records.TaskRecord], dict[str, str]]:
    """Return the records of tasks, and their queues as the scripts take them. Raises InvalidRequest."""
    check_tasks(tasks, kind, known=known)
    # Reviews last, so that the last piece of many knows that somebody is asked (includes/review.lua).
    ordered = sorted(enumerate(tasks), key=lambda pair: is_review(pair[1]))
    pairs = [task_record(job, task, kind, waits=waits, position=position) for position, task in ordered]
    return [record for record, _ in pairs], {queue.id: as_text(queue) for _, queue in pairs}


def expand_pieces(
    job: Job, version: int, step: Step, kind: Kind, *, known: Collection[str] = (), weighed: bool = False
) -> list[records.ExpandPiece]:
    """Return a plan's result as the script calls that apply it. Raises InvalidRequest.

    Args:
        job: The job.
        version: What it was planned at.
        step: What its plan returned.
        kind: Whose plan it is.
        known: As in `check_tasks`.
        weighed: The plan went by more than the job's version tells (`Kind.weigh`).
    """
    if not isinstance(step, Expand):
        return [outcome_piece(job, version, step)]
    # One that adds nothing decides nothing.
    weighed = weighed and bool(step.drop or {task.name for task in step.tasks} - set(known))
    # The script asks whether they are still open: the job was read when they were.
    waits = [ref.id for ref in job.inputs if not ref.uri]
    # Without tasks there is one piece all the same: the last piece is what takes the job off the list of dirty ones.
    tasks, queues = task_records(job, step.tasks, kind, waits=waits, known=known)
    starts = range(0, max(1, len(tasks)), PIECE)
    dropped = [task_id(job.id, name) for name in step.drop]
    return [
        records.ExpandPiece(
            job=job.id,
            # The first one moves it.
            version=version + (weighed and start > 0),
            drop=[] if start else dropped,
            weighed=weighed and not start,
            outcome_of=step.outcome_of,
            tasks=tasks[start : start + PIECE],
            last=start == starts[-1],
            # With every piece: a queue that exists is left as it is, and no piece depends on an earlier one.
            queues=queues,
            whole=step.whole,
        )
        for start in starts
    ]


def outcome_piece(job: Job, version: int, step: Step) -> records.ExpandPiece:
    """Return the script call that applies a step without tasks."""
    return records.ExpandPiece(job.id, version, "", [], last=True, queues={}, outcome=outcome_record(step))


def outcome_record(step: Step) -> records.OutcomeRecord | None:
    """Return how a step ends its job, or None if it does not."""
    if isinstance(step, Complete):
        result = as_text(TaskResult(step.result, step.outputs, step.warnings))
        return records.OutcomeRecord(JobStatus.COMPLETED, "result", result, result, output_ids(step.outputs))
    if isinstance(step, Fail):
        return failed_outcome(step.error)
    return None


def failed_outcome(error: ErrorInfo) -> records.OutcomeRecord:
    """Return the failure of a job with that error."""
    text = as_text(error)
    return records.OutcomeRecord(JobStatus.FAILED, "error", text, text, [])


def output_ids(outputs: Sequence[ArtifactRef]) -> list[str]:
    """Return the artifact ids of outputs."""
    return [ref.id for ref in outputs]


def _first_tasks(step: Step) -> Expand:
    # What one script call cannot take is not taken at all: the job begins as dirty, and its plan is asked again. Where chains
    # run is decided there as well, and whether tasks get what they prefer: by what the fleet has then.
    if (
        not isinstance(step, Expand)
        or len(step.tasks) > PIECE
        or step.chains
        or any(task.prefers for task in step.tasks)
    ):
        return Expand(())
    return step


def job_record(
    job: Job, step: Step, kind: Kind, *, key: str, waits: Sequence[str], retention_ms: int
) -> tuple[records.JobRecord, dict[str, str]]:
    """Return what `submit` is given for a job and the first result of its plan. Raises InvalidRequest."""
    first = _first_tasks(step)
    tasks, queues = task_records(job, first.tasks, kind, waits=waits)
    record = records.JobRecord(
        id=job.id,
        kind=job.kind,
        key=key,
        doc=as_text(job),
        tenant=job.tenant,
        created=job.created_ms,
        retention_ms=retention_ms,
        outcome_of=first.outcome_of,
        inputs=[ref.id for ref in job.inputs],
        weight=first.whole or sum(task.weight for task in first.tasks),
        tasks=tasks,
        deadline=job.deadline_ms,
        batch=job.batch,
    )
    return record, queues


def fresh_view(job: Job, submitted: records.SubmittedJob, *, uploading: bool) -> JobView:
    """Return a job just accepted as users see it."""
    return JobView(
        id=job.id,
        kind=job.kind,
        name=job.name,
        status=JobStatus.UPLOADING if uploading else JobStatus.PENDING,
        progress=0.0,
        stage="",
        priority=job.priority,
        tenant=job.tenant,
        created_ms=job.created_ms,
        version=1,
        inputs=job.inputs,
        params=job.params,
        not_before_ms=job.not_before_ms or None,
        deadline_ms=job.deadline_ms or None,
        after=tuple(submitted.after.split()),
        waits_for=tuple(submitted.awaits.split()),
        limits=show_limits(job.limits),
        policy=job.policy,
        urgency=job.urgency,
        batch=job.batch,
    )


def decode_outputs(result: TaskResult) -> tuple[str, list[str]]:
    """Return a result as the store keeps it, and the ids of its artifacts."""
    return msgspec.json.encode(result).decode(), output_ids(result.outputs)
