"""The sentences of explanations; pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mediafleet.domain.explanation import Absence, ExecutorWhy, TaskWhy, Verdict, Waiting
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, TaskState
from mediafleet.domain.placement import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediafleet.domain.explanation import (
        AbsentExecutor,
        Ask,
        Explanation,
        FleetSnapshot,
        StartEstimate,
        TaskSnapshot,
    )
    from mediafleet.domain.job import JobView
    from mediafleet.domain.placement import Candidate
    from mediafleet.domain.rules import KindAside

POLICIES = {
    Policy.LEAST_LOADED: "the smallest share of its slots in use",
    Policy.RANDOM: "drawn among those with room",
    Policy.PRIORITY: "idle ones first, then by priority of the node, then the fewest slots in use",
    Policy.SPREAD: "the fewest slots in use",
    Policy.PACK: "the largest share of its slots in use",
}
_ABSENCES = {
    Absence.HELD: "It is held for other tasks, which need many slots.",
    Absence.WITHHELD: "It does without something that the task needs for a while.",
    Absence.WARMUP: "Its node is still finding out what it can do.",
    Absence.DEGRADED: "Too little of its machine is free.",
    Absence.DRAINING: "Its node drains: it finishes what it runs and takes nothing new.",
    Absence.PAUSED: "Its node is paused: it takes nothing new until it is resumed.",
    Absence.UNLINKED: "The link of its node is down.",
    Absence.OFFLINE: "Its node is offline.",
}
_BEFORE_PLACING = {Waiting.JOB, Waiting.TASK, Waiting.UPLOAD, Waiting.BACK_OFF}
_CAUSES = {
    Waiting.ROOM: "No executor that can do it takes it now.",
    Waiting.TURN: "There is room, but others have their turn first.",
    Waiting.NOTHING: "It can be placed now.",
}
_STARTS = {
    Waiting.PAUSE: "when it is resumed; when that is",
    Waiting.POOL: "when a node joins that can do it; when that is",
    Waiting.TENANT_CAP: "when its tenant has slots to spare and it is its turn; when that is",
    Waiting.UPLOAD: "when all bytes are there; when that is",
    Waiting.JOB: "after those; when they end",
    Waiting.TASK: "after those; when they end",
}
_PAUSED_JOB = "Its job is paused: nothing of it begins until it is resumed."
_PAUSED_FLEET = "The fleet is paused: nothing begins until it is resumed."
_MOST_NAMES = 5
_COUNTED = {
    Verdict.FULL: "full",
    Verdict.LIVE_RESERVE: "kept for live work",
    Verdict.HELD: "held for other tasks",
    Verdict.WITHHELD: "without what it needs for a while",
    Verdict.WARMUP: "warming up",
    Verdict.DEGRADED: "short of room on their machines",
    Verdict.DRAINING: "draining",
    Verdict.PAUSED: "paused",
    Verdict.UNLINKED: "without a link",
    Verdict.OFFLINE: "offline",
}


def executor_why(one: Candidate, verdict: Verdict, ask: Ask, *, used: int, taken: str) -> ExecutorWhy:
    """Return what is said of an executor that may be used."""
    cost = ask.requirement.slots
    reasons = {
        Verdict.TAKEN: f"The policy {ask.policy} takes it: {POLICIES[ask.policy]}.",
        Verdict.CANDIDATE: f"It has room, but {taken} goes before it." if taken else "It has room and may be drawn.",
        Verdict.FULL: f"{used} of {_slots(one.slots)} are in use; the task needs {cost}.",
        Verdict.LIVE_RESERVE: f"Of the {_slots(one.slots - used)} that are free, some are kept for live work.",
        Verdict.EXCLUDED: "The task failed on its node before, and another has room.",
    }
    return ExecutorWhy(one.executor, one.pool, verdict, reasons[verdict], used, one.slots)


def absent_why(one: AbsentExecutor, ask: Ask, *, is_taken: bool) -> ExecutorWhy:
    """Return what is said of an executor that is in no pool now."""
    verdict, reason = Verdict(one.absence), _ABSENCES[one.absence]
    if is_taken:
        verdict, reason = Verdict.TAKEN, "It was held for tasks like this one, and has room by now."
    elif one.absence is Absence.DEGRADED:
        reason = f"Its node takes nothing new: {one.reason}" if one.reason else reason
    elif one.absence is Absence.WITHHELD:
        lacking = [found for found in one.withheld if found.capability in ask.requirement.capabilities]
        reason = " ".join(found.sentence for found in lacking) or reason
    elif one.absence is Absence.HELD and ask.line and one.held_for == ask.line.queue:
        reason = "It is held for tasks like this one until enough of its slots are free."
    return ExecutorWhy(one.executor, one.signature.pool, verdict, reason, one.used, one.signature.slots)


def sentences(
    found: Explanation, ask: Ask, verdicts: Mapping[Verdict, int], *, task: TaskSnapshot | None, fleet: FleetSnapshot
) -> tuple[str, ...]:
    """Return an explanation in words, the most important first."""
    said = [_cause(found, ask, task=task, fleet=fleet), _matching(found, verdicts), _choice(found, ask)]
    return tuple(sentence for sentence in [*said, _turn(found, ask), _start(found, task, fleet)] if sentence)


def _cause(found: Explanation, ask: Ask, *, task: TaskSnapshot | None, fleet: FleetSnapshot) -> str:
    if found.waits_for is Waiting.PAUSE:
        return _PAUSED_JOB if task and task.is_paused else _PAUSED_FLEET
    if task and found.waits_for in _BEFORE_PLACING:
        return _before_placing(found.waits_for, task)
    if found.waits_for is Waiting.POOL:
        return _no_pool(found)
    if found.waits_for is Waiting.TENANT_CAP:
        return _at_cap(ask, fleet)
    return _CAUSES.get(found.waits_for, "")


def _before_placing(waits_for: Waiting, task: TaskSnapshot) -> str:
    if waits_for is Waiting.JOB:
        return f"It waits for {_jobs(task.jobs)} to complete."
    if waits_for is Waiting.TASK:
        return f"It waits for {_list(task.parents)} to be done."
    if waits_for is Waiting.UPLOAD:
        return f"It waits for the upload of {_list(task.uploads)}."
    cause = f" It failed before: {task.error}" if task.error else ""
    if task.refusals:
        why = f": {task.refused.rstrip('.')}." if task.refused else "."
        cause = f" Nodes refused it {_count(task.refusals, 'time')} in a row, and no try was spent{why}"
    what = "is tried again" if task.attempt or task.error or task.refusals else "may begin"
    return f"It waits until {_moment(task.held_until_ms or 0)} before it {what}.{cause}"


def _at_cap(ask: Ask, fleet: FleetSnapshot) -> str:
    share, cost = fleet.rules.tenants.get(ask.tenant), ask.requirement.slots
    if share is None or share.cap == 0:
        return f"Its tenant {ask.tenant!r} was at its cap when its turn came, until one of its tasks ends."
    if cost > share.cap:
        return f"It needs {_slots(cost)}, and its tenant {ask.tenant!r} may use {share.cap} at once: it never starts."
    used = fleet.running.get(ask.tenant, 0)
    return f"Its tenant {ask.tenant!r} uses {used} of the {_slots(share.cap)} that it may use at once."


def _no_pool(found: Explanation) -> str:
    if found.pools:
        return "The executors that could do it have left; their pool is kept for a minute."
    if not found.lacking:
        return "The fleet has no executors now."
    nearest = found.lacking[0]
    lacks = [*nearest.missing, *([_count(nearest.slots_short, "more slot")] if nearest.slots_short else [])]
    return f"No pool can do it; the nearest, {nearest.pool}, lacks {_list(lacks)}."


def _matching(found: Explanation, verdicts: Mapping[Verdict, int]) -> str:
    if found.waits_for is Waiting.POOL:
        return ""
    all_pools = len(found.pools) + len(found.lacking) + found.lacking_left_out
    counted = [f"{verdicts[verdict]} {word}" for verdict, word in _COUNTED.items() if verdicts.get(verdict)]
    room = sum(verdicts.get(verdict, 0) for verdict in (Verdict.TAKEN, Verdict.CANDIDATE, Verdict.EXCLUDED))
    states = ", ".join([f"{room} with room", *counted])
    executors = found.executors_left_out + len(found.executors)
    if not found.pools and counted:
        # Pools of executors that take no work fade, though they could do it.
        return f"Of {_count(executors, 'executor')} that can do it, none takes work now: {', '.join(counted)}."
    return (
        f"{len(found.pools)} of {_count(all_pools, 'pool')} can do it, with {_count(executors, 'executor')}: {states}."
    )


def _choice(found: Explanation, ask: Ask) -> str:
    if found.would_take:
        why = next((one.reason for one in found.executors if one.executor == found.would_take), "")
        return f"If it were its turn now, {found.would_take} would be taken. {why}"
    if any(one.verdict is Verdict.CANDIDATE for one in found.executors):
        return f"The policy {ask.policy} draws one of those with room."
    if found.executors:
        return f"When there is room, the policy {ask.policy} chooses: {POLICIES[ask.policy]}."
    return ""


def _turn(found: Explanation, ask: Ask) -> str:
    turn = found.turn
    if turn is None:
        return ""
    least = "at least " if turn.at_least else ""
    said = f"It is number {turn.own} of the tasks of its tenant {ask.tenant!r}, and the tenant is number {least}{turn.tenant} in turn."
    if turn.urgent_queues:
        said += f" {_count(turn.urgent_queues, 'queue')} of more urgent work may go first."
    return said


def _start(found: Explanation, task: TaskSnapshot | None, fleet: FleetSnapshot) -> str:
    if found.estimate:
        return _estimate(found.estimate, fleet.now_ms)
    if found.waits_for is Waiting.NOTHING:
        return "It starts at once." if task else "A task like this would start at once."
    if found.waits_for is Waiting.BACK_OFF:
        return f"It starts on {_moment(found.starts_ms or 0)} at the earliest."
    return f"It starts {_STARTS[found.waits_for]} cannot be known."


def _estimate(estimate: StartEstimate, now_ms: int) -> str:
    first = f"about {_count(estimate.ahead, 'task')} before it" if estimate.ahead else "none before it"
    if estimate.starts_ms is None:
        return f"When it starts cannot be said, with {first}: {estimate.reason}."
    if estimate.starts_ms <= now_ms:
        return f"It should start any moment now, with {first}."
    at, left = _clock(estimate.starts_ms), _span(estimate.starts_ms - now_ms)
    return f"It should start at about {at}, in {left}, with {first}, if tasks take as long as they did lately."


def _span(span_ms: int) -> str:
    for unit_ms, word in ((3_600_000, "hour"), (60_000, "minute")):
        if span_ms >= 2 * unit_ms:
            return _count(round(span_ms / unit_ms), word)
    return _count(math.ceil(span_ms / 1000), "second")


def task_sentence(task: TaskSnapshot) -> str:
    """Return in one sentence what a task does that does not wait."""
    match task.state:
        case TaskState.DONE:
            return "It is done."
        case TaskState.FAILED:
            return f"It failed: {task.error}" if task.error else "It failed."
        case TaskState.CANCELLED:
            return "It was cancelled."
        case TaskState.ACKED:
            return f"It runs on {task.executor}, attempt {task.attempt}."
        case TaskState.RESERVED | TaskState.DISPATCHED:
            return f"It was given to {task.executor}, which has not confirmed it yet; attempt {task.attempt}."
        case _:
            return "It never began, and the job is over."


def aside_sentence(needs: KindAside) -> str:
    """Return in one sentence what a job waits for whose kind some instance lacks."""
    what = f"the job kind {needs.kind!r} in version {needs.version}"
    if needs.having:
        return f"The job's plan waits for an instance that has {what}: {_list(needs.having)}."
    instances = _count(needs.living, "living instance")
    return f"The job's plan waits: of {instances} none has {what}; install it on one and start that anew, or cancel the job."


def job_sentence(job: JobView, tasks: tuple[TaskWhy, ...]) -> str:
    """Return in one sentence how a job stands."""
    if job.status in FINAL_JOB_STATUSES:
        return f"The job is {job.status}." + (f" {job.error.message}" if job.error else "")
    if job.waits_for:
        return f"The job waits for {_jobs(job.waits_for)} to complete."
    waiting = next((task for task in tasks if task.explanation), None)
    if waiting and waiting.explanation:
        return f"The task {waiting.task.partition('.')[2]} waits: {waiting.sentence}"
    return tasks[0].sentence if tasks else "The job has no tasks yet: its plan is being made."


def _slots(count: int) -> str:
    return _count(count, "slot")


def _count(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _jobs(ids: tuple[str, ...]) -> str:
    return f"the job{'s' if len(ids) > 1 else ''} {_list(ids)}"


def _list(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else shown


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S UTC")
