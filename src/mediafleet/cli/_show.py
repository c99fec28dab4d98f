"""Words for jobs, nodes and pools in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediafleet.cli._text import duration_text, moment_text, size_text
from mediafleet.cli._values import value_lines
from mediafleet.domain.node import LINKED_STATES
from mediafleet.domain.placement import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediafleet.domain.dead import DeadLetter, EndedAttempt
    from mediafleet.domain.job import JobView
    from mediafleet.domain.node import NodeView, PoolView

JOB_HEADER = ("ID", "KIND", "NAME", "STATUS", "DONE", "STAGE", "AGE")
NODE_HEADER = ("ID", "HOST", "STATE", "EXECUTORS", "RUNNING", "SEEN")
DEAD_HEADER = ("TASK", "KIND", "TENANT", "CODE", "ATTEMPTS", "AGE", "WHY")
POOL_HEADER = ("POOL", "EXECUTORS", "SLOTS", "FREE", "CAPABILITIES")


def job_row(view: JobView, *, now_ms: int) -> tuple[str, ...]:
    """Return a job as a row under `JOB_HEADER`."""
    # The scheduler's clock may be ahead of ours, and nothing is younger than now.
    age = duration_text(max(0, now_ms - view.created_ms) / 1000)
    return (view.id, view.kind, view.name, view.status, f"{view.progress:.0%}", view.stage, age)


def job_facts(view: JobView, *, now_ms: int, defaults: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """Return all that people want to know of a job, as pairs of a word and a value.

    Args:
        defaults: What the kind's params are where nobody sets them.
    """
    facts = [
        ("id", view.id),
        ("kind", view.kind),
        ("name", view.name),
        ("status", f"{view.status} {view.progress:.0%} {view.stage}".strip()),
        ("age", duration_text(max(0, now_ms - view.created_ms) / 1000)),
    ]
    if view.started_ms is not None and view.finished_ms is not None:
        facts.append(("took", duration_text((view.finished_ms - view.started_ms) / 1000)))
    facts += [("input", _file(ref.uri or ref.name, ref.size)) for ref in view.inputs]
    facts += [("param", line) for line in value_lines(view.params, defaults)]
    facts += _wishes(view)
    facts += [("output", _file(ref.name, ref.size)) for ref in view.outputs]
    facts += [("result", line) for line in value_lines(view.result or {})]
    facts += [("warning", text) for text in view.warnings]
    if view.error:
        facts.append(("error", view.error.message))
    facts += [("task", f"{task.id} {task.state} attempt {task.attempt} {task.executor}".strip()) for task in view.tasks]
    return [(word, value) for word, value in facts if value]


def _wishes(view: JobView) -> list[tuple[str, str]]:
    """What its submission asked for, as far as that is not what everybody gets."""
    times = (("not before", view.not_before_ms), ("deadline", view.deadline_ms))
    wishes = [(word, moment_text(at_ms)) for word, at_ms in times if at_ms]
    if view.policy is not Policy.LEAST_LOADED:
        wishes.append(("policy", view.policy))
    if view.urgency:
        wishes.append(("urgency", str(view.urgency)))
    wishes += [("limit", f"{name} {limit}") for name, limit in view.limits.items() if limit]
    return [*wishes, *(("after", job) for job in view.after)]


def _file(name: str, size: int) -> str:
    # A file that is used in place may have a size that nobody asked for.
    return name if size < 0 else f"{name} ({size_text(size)})"


def dead_row(letter: DeadLetter, *, now_ms: int) -> tuple[str, ...]:
    """Return a task that failed for good as a row under `DEAD_HEADER`."""
    age = duration_text(max(0, now_ms - letter.at_ms) / 1000)
    attempts = str(letter.attempts)
    return (letter.task, letter.kind, letter.tenant, letter.error.code, attempts, age, letter.error.message)


def dead_facts(letter: DeadLetter, *, now_ms: int) -> list[tuple[str, str]]:
    """Return all that is known of a task that failed for good, as pairs of a word and a value."""
    facts = [
        ("task", letter.task),
        ("job", letter.job),
        ("kind", letter.kind),
        ("tenant", letter.tenant),
        ("age", duration_text(max(0, now_ms - letter.at_ms) / 1000)),
        ("code", letter.error.code),
        ("error", letter.error.message),
        ("attempts", f"{letter.attempts}, {letter.tries} of them its own fault"),
    ]
    ages = [duration_text(max(0, now_ms - end.at_ms) / 1000) for end in letter.ends]
    facts += [("ended", f"{_end_text(end)}, {age} ago") for end, age in zip(letter.ends, ages, strict=True)]
    return facts


def _end_text(end: EndedAttempt) -> str:
    progress = f" at {end.progress:.0%}" if end.progress else ""
    return f"{end.how} on {end.executor}{progress}"


def node_row(view: NodeView, *, now_ms: int) -> tuple[str, ...]:
    """Return a node as a row under `NODE_HEADER`."""
    executors = ", ".join(f"{one.name} {one.used}/{one.slots}" for one in view.executors) or "none"
    running = ", ".join(work.job for one in view.executors for work in one.running) or "–"
    seen = f"{duration_text(max(0, now_ms - view.seen_ms) / 1000)} ago"
    return (view.id, view.host, view.state, executors, running, seen)


def node_notes(view: NodeView) -> list[str]:
    """Return in sentences why a node, or an executor of it, takes no work, or not all that it could do."""
    # Of one that is gone the state says it all, and it stays listed for days.
    is_told = view.reason and view.state in LINKED_STATES
    notes = [f"{view.host or view.id} is {view.state}: {view.reason}"] if is_told else []
    notes += [f"{one.id}: {each.sentence}" for one in view.executors for each in one.withheld]
    return notes


def pool_row(view: PoolView) -> tuple[str, ...]:
    """Return a pool as a row under `POOL_HEADER`."""
    return (view.pool, str(view.executors), str(view.slots), str(view.free), " ".join(view.capabilities))
