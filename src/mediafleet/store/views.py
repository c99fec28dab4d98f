"""Turns stored hashes into domain records; pure."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from mediafleet.domain.capability import Signature
from mediafleet.domain.dead import DeadLetter, EndedAttempt
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.health import Withheld
from mediafleet.domain.ids import job_of, name_of, node_of
from mediafleet.domain.job import Job, JobView, TaskSummary, shown_status
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, FINAL_TASK_STATES, PLACED_TASK_STATES, JobStatus, TaskState
from mediafleet.domain.limits import limits_of_rule, show_limits
from mediafleet.domain.node import Executor, ExecutorView, NodeState, NodeView, PoolView, RunningView
from mediafleet.domain.plan import FinishedTask, TaskResult, TaskSpec
from mediafleet.domain.review import is_review_queue
from mediafleet.store.records import NodeDocument

_job = msgspec.json.Decoder(Job).decode
_error = msgspec.json.Decoder(ErrorInfo).decode
_result = msgspec.json.Decoder(TaskResult).decode


class PlanState(msgspec.Struct, frozen=True):
    """What a plan is called with, and the version that its result may be applied at."""

    job: Job
    version: int
    status: JobStatus
    finished: list[FinishedTask]
    open: int
    """Tasks that are not final."""
    runnable: int
    """Those of them that do not wait, directly or not, for a task that can no longer be DONE."""
    names: frozenset[str]
    """All tasks of the job."""
    waiting: dict[str, int] = {}
    """Those of them that no executor has now, with how often one had them."""
    chains: str = ""
    """What was decided about its chains, as it was recorded."""
    people: int = 0
    """`open` where nothing but reviews can go on, 0 where something else can."""


def _number(fields: dict[str, str], name: str) -> int | None:
    text = fields.get(name, "")
    # Lua has one kind of number, and may write a whole one with a point or an exponent.
    return int(float(text)) if text else None


def job_view(fields: dict[str, str], tasks: dict[str, dict[str, str]] | None = None) -> JobView:
    """Return a job as users see it."""
    job = _job(fields["doc"])
    result = _result(fields["result"]) if fields.get("result") else None
    status, stage = JobStatus(fields["status"]), fields.get("stage", "")
    return JobView(
        id=job.id,
        kind=job.kind,
        name=job.name,
        status=shown_status(status, stage),
        # The sum of many tasks' shares is off by rounding errors.
        progress=min(1.0, max(0.0, float(fields.get("progress") or 0))),
        stage=stage,
        priority=job.priority,
        tenant=job.tenant,
        created_ms=job.created_ms,
        version=int(fields["version"]),
        inputs=job.inputs,
        params=job.params,
        outputs=result.outputs if result else (),
        warnings=result.warnings if result else (),
        # What was told before a pause, or before the end, says nothing any more.
        eta_ms=_number(fields, "eta_ms") if status in {JobStatus.PROCESSING, JobStatus.UPLOADING} else None,
        speed=float(fields["speed"]) if fields.get("speed") else None,
        error=_error(fields["error"]) if fields.get("error") else None,
        result=result.result if result else None,
        started_ms=_number(fields, "started"),
        finished_ms=_number(fields, "finished"),
        not_before_ms=job.not_before_ms or None,
        # Of the record and not of the document: a retry after it has passed goes on without one.
        deadline_ms=_number(fields, "deadline"),
        after=tuple(fields.get("after", "").split()),
        # One that has ended keeps them for a retry, but waits for nothing now.
        waits_for=() if status in FINAL_JOB_STATUSES else tuple(fields.get("awaits", "").split()),
        reviews=() if status in FINAL_JOB_STATUSES else tuple(fields.get("reviews", "").split()),
        limits=show_limits(job.limits),
        policy=job.policy,
        urgency=job.urgency,
        batch=job.batch,
        paused_ms=_number(fields, "paused") if status is JobStatus.PAUSED else None,
        finishing=_count_placed(tasks) if status is JobStatus.PAUSED and tasks else 0,
        # A task may be forgotten between the reading of the list and that of its hash.
        tasks=tuple(task_summary(name, task) for name, task in (tasks or {}).items() if task),
    )


def _count_placed(tasks: dict[str, dict[str, str]]) -> int:
    return sum(task.get("state") in PLACED_TASK_STATES for task in tasks.values())


def task_summary(task: str, fields: dict[str, str]) -> TaskSummary:
    """Return a task as users see it."""
    grant = fields.get("grant", "")
    # Grants of earlier attempts stay in the hash; only the current one says where the task is.
    executor = fields.get(f"grant:{grant}", "|").partition("|")[2] if grant else ""
    paced = paced_of(fields.get("doc", "{}"))
    return TaskSummary(
        id=task,
        state=TaskState(fields["state"]),
        attempt=int(fields.get("attempt", 0)),
        tries=int(fields.get("tries", 0)),
        executor=executor,
        error=_error(fields["error"]) if fields.get("error") else None,
        limits=show_limits(limits_of_rule(fields["rule"])) if fields.get("rule") else {},
        progress=min(1.0, max(0.0, float(fields.get("fraction") or 0))),
        pace=paced.pace,
        size=paced.size,
        after=tuple(fields.get("after", "").split()),
    )


class Paced(msgspec.Struct, frozen=True):
    """What of a task's specification tells how long it takes."""

    kind: str = ""
    pace: str = ""
    size: float = 0.0


def paced_of(doc: str | bytes) -> Paced:
    """Return what a task's specification says of how long it takes."""
    return _paced(doc)


_paced = msgspec.json.Decoder(Paced).decode


def finished_task(fields: dict[str, str]) -> FinishedTask:
    """Return a final task as its plan sees it."""
    spec = msgspec.json.decode(fields["doc"], type=TaskSpec)
    result = _result(fields["result"]) if fields.get("result") else TaskResult()
    state = TaskState(fields["state"])
    # What failed before a later try succeeded stays in the hash; to a plan it would look like the task's outcome.
    has_error = state is not TaskState.DONE and bool(fields.get("error"))
    return FinishedTask(
        name=spec.name,
        step=spec.step,
        state=state,
        result=result.result,
        outputs=result.outputs,
        warnings=result.warnings,
        error=_error(fields["error"]) if has_error else None,
        node=node_of(fields.get(f"grant:{fields.get('grant')}", "").partition("|")[2]),
    )


def dead_letter(task: str, at_ms: int, fields: dict[str, str]) -> DeadLetter:
    """Return a task that failed for good."""
    spec = msgspec.json.decode(fields["doc"], type=TaskSpec)
    return DeadLetter(
        task=task,
        job=job_of(task),
        kind=spec.kind,
        tenant=spec.tenant,
        at_ms=at_ms,
        error=_error(fields["error"]) if fields.get("error") else ErrorInfo("", ""),
        attempts=int(fields.get("attempt", 0)),
        tries=int(fields.get("tries", 0)),
        ends=tuple(map(_ended_attempt, fields.get("ends", "").split())),
    )


def _ended_attempt(line: str) -> EndedAttempt:
    # An older version wrote fewer parts.
    at_ms, how, executor, progress, *_ = [*line.split("|"), ""]
    return EndedAttempt(node_of(executor), executor, int(at_ms), how, float(progress) if progress else None)


def plan_state(job: dict[str, str], tasks: dict[str, dict[str, str]]) -> PlanState:
    """Return what the plan of a job is called with; `tasks` are all of it by id."""
    final = {name: task for name, task in tasks.items() if task["state"] in FINAL_TASK_STATES}
    return PlanState(
        job=_job(job["doc"]),
        version=int(job["version"]),
        status=JobStatus(job["status"]),
        finished=[finished_task(task) for task in final.values()],
        open=int(job["open"]),
        runnable=len(tasks.keys() - final.keys() - _doomed(tasks)),
        names=frozenset(map(name_of, tasks)),
        waiting={name_of(n): int(t.get("attempt") or 0) for n, t in tasks.items() if t["state"] == TaskState.NEW},
        chains=job.get("chains", ""),
        people=int(job["open"]) if _waits_for_people(job, tasks) else 0,
    )


def _doomed(tasks: dict[str, dict[str, str]]) -> set[str]:
    """Return the ids of tasks that have, however far up, a parent that ended without being DONE."""
    return _below(
        tasks, [name for name, task in tasks.items() if task["state"] in FINAL_TASK_STATES - {TaskState.DONE}]
    )


def _waits_for_people(job: dict[str, str], tasks: dict[str, dict[str, str]]) -> bool:
    """Tell whether there are reviews that may be answered, and all else that is open comes after reviews or never."""
    if not job.get("reviews"):
        return False
    left = {name for name, task in tasks.items() if task["state"] not in FINAL_TASK_STATES}
    reviews = [name for name in left if is_review_queue(tasks[name]["rule"].partition("|")[0])]
    return left <= {*reviews, *_below(tasks, reviews), *_doomed(tasks)}


def _below(tasks: dict[str, dict[str, str]], parents: list[str]) -> set[str]:
    """Return the ids of tasks that wait, however far down, for any of the parents."""
    children: dict[str, list[str]] = defaultdict(list)
    for name, task in tasks.items():
        for parent in task.get("after", "").split():
            children[parent].append(name)
    left, found = list(parents), set[str]()
    while left:
        new = set(children[left.pop()]) - found
        found |= new
        left += new
    return found


def executor_view(executor_id: str, fields: dict[str, str], grants: dict[str, str]) -> ExecutorView:
    """Return an executor with what it runs."""
    executor = msgspec.json.decode(fields["doc"], type=Executor)
    running: list[RunningView] = []
    for held in grants.values():
        cost, _, _, task = held.split("|", 3)
        running.append(RunningView(task, job_of(task), int(cost)))
    return ExecutorView(
        id=executor_id,
        name=executor.name,
        pool=fields["pool"],
        slots=int(fields["slots"]),
        used=int(fields.get("used") or 0),
        capabilities=executor.capabilities,
        running=tuple(running),
        withheld=withheld_of(fields.get("health", "")),
    )


def withheld_of(health: str) -> tuple[Withheld, ...]:
    """Return what is withheld from an executor, or lately was, by what scripts keep of its health."""
    entries: dict[str, Any] = msgspec.json.decode(health)["withheld"] if health else {}
    return tuple(msgspec.convert({**entries[name], "capability": name}, Withheld) for name in sorted(entries))


def node_view(node_id: str, fields: dict[str, str], executors: list[ExecutorView]) -> NodeView:
    """Return a node as users see it."""
    document = msgspec.json.decode(fields["doc"], type=NodeDocument)
    state = NodeState(fields["state"])
    return NodeView(
        id=node_id,
        host=document.host,
        version=document.version,
        state=state,
        registered_ms=int(fields["registered"]),
        seen_ms=int(fields["seen"]),
        executors=tuple(executors),
        facts=document.facts,
        instance=fields.get("instance", ""),
        load=msgspec.json.decode(fields["load"], type=dict[str, float]) if fields.get("load") else {},
        reason=node_reason(state, fields),
        link=document.link,
    )


_REASONS: dict[str, str] = {
    NodeState.WARMUP: "It is still finding out what it can do.",
    NodeState.PAUSED: "An operator paused it.",
    NodeState.UNLINKED: "Its link is down.",
    NodeState.OFFLINE: "It is gone.",
}


def node_reason(state: str, fields: dict[str, str]) -> str:
    """Return in a sentence why a node takes no new work; empty where it does."""
    if state == NodeState.DEGRADED:
        parts = [part for part in (fields.get("pressed"), fields.get("ailing")) if part]
        return f"Too little of it is free or well: {'; '.join(parts)}."
    if state == NodeState.DRAINING:
        who = "An operator" if fields.get("drained") == "1" else "The node itself"
        return f"{who} said that it takes nothing new."
    return _REASONS.get(state, "")


def pool_view(pool: str, signature: Signature, members: list[tuple[bytes, float]]) -> PoolView:
    """Return a pool with what is free in it."""
    return PoolView(
        pool=pool,
        capabilities=signature.capabilities,
        slots=signature.slots,
        executors=len(members),
        free=sum(signature.slots - int(used) for _, used in members),
        live_reserve=signature.live_reserve,
        priority=signature.priority,
    )
