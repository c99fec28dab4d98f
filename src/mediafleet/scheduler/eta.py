"""When work that is known should be done, by what was measured of its sort; pure."""

from __future__ import annotations

import heapq
from collections import defaultdict
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from mediafleet.domain.ids import node_of
from mediafleet.domain.lifecycle import FINAL_TASK_STATES, PLACED_TASK_STATES, JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mediafleet.domain.job import JobView, TaskSummary
    from mediafleet.domain.pace import Paces


class OpenTask(NamedTuple):
    """A task that is not final, as far as its end is asked for."""

    id: str
    pace: str
    size: float
    progress: float = 0.0
    node: str = ""
    """Where it runs; empty for one that waits."""
    said_ms: int | None = None
    """What its node says that is left of it."""
    after: tuple[str, ...] = ()


def open_tasks(job: JobView) -> list[OpenTask] | None:
    """Return what is left of a job; None where nobody can tell when it goes on, or not all that it has is known."""
    may_end = job.status in {JobStatus.PENDING, JobStatus.UPLOADING, JobStatus.PROCESSING}
    left = [task for task in job.tasks if task.state not in FINAL_TASK_STATES]
    if not may_end or job.waits_for or not left:
        return None
    said_ms = job.eta_ms if len(left) == 1 else None
    return [_open_task(task, said_ms) for task in left]


def _open_task(task: TaskSummary, said_ms: int | None) -> OpenTask:
    if task.state not in PLACED_TASK_STATES:
        return OpenTask(task.id, task.pace, task.size, after=task.after)
    return OpenTask(task.id, task.pace, task.size, task.progress, node_of(task.executor), said_ms)


def eta_ms(
    tasks: Sequence[OpenTask], places: Iterable[float], paces: Paces, *, nodes: Sequence[str] = ()
) -> int | None:
    """Return in how many milliseconds the last of the tasks should be done.

    What runs goes on at the speed of its node. What waits takes the places one after the other, in its order, each task the
    one that is free first, at the speed of the nodes that may get it. None where a speed was never measured: a number
    that leaves work out would be less than the truth.

    Args:
        places: In how many milliseconds each place is free for the first task that waits.
        nodes: Those that have the places.
    """
    ends: dict[str, float] = defaultdict(float)
    free = [max(0.0, place) for place in places]
    heapq.heapify(free)
    for task in _in_order(tasks):
        total = (
            paces.on_node(task.pace, task.size, task.node) if task.node else paces.on_any(task.pace, task.size, nodes)
        )
        if task.said_ms is not None:
            ends[task.id] = float(task.said_ms)
        elif total is None or not (task.node or free):
            return None
        elif task.node:
            ends[task.id] = total * (1 - task.progress)
        else:
            start = max(free[0], *(ends[parent] for parent in task.after), 0.0)
            ends[task.id] = start + total
            heapq.heapreplace(free, ends[task.id])
    return max(0, round(max(ends.values()))) if ends else None


def _in_order(tasks: Sequence[OpenTask]) -> Iterable[OpenTask]:
    """Return the tasks, each one behind those that it waits for; else as they came."""
    if not any(task.after for task in tasks):
        return tasks
    known = {task.id: task for task in tasks}
    graph = {task.id: [parent for parent in task.after if parent in known] for task in tasks}
    return [known[name] for name in TopologicalSorter(graph).static_order()]
