"""A day of mixed traffic by the pure rules alone: who is placed where, when what failed comes back, how states follow.

Nothing but functions of `mediafleet.domain`, on a heap of moments: no store, no instance, no loop.
"""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count

from mediafleet.domain.lifecycle import FINAL_TASK_STATES, PriorityClass, TaskEvent, TaskState, next_state
from mediafleet.domain.placement import Candidate, Policy, Wish, choose
from mediafleet.domain.retry import back_off_ms

DAY_S = 86_400.0
SLOTS = 4
MAX_TRIES = 3
FAILING = 0.03
"""Share of attempts that fail."""
MEAN_S = {PriorityClass.LIVE: 8.0, PriorityClass.INTERACTIVE: 20.0, PriorityClass.BATCH: 90.0}
SHARE = {PriorityClass.LIVE: 0.5, PriorityClass.INTERACTIVE: 0.3, PriorityClass.BATCH: 0.2}
BUSIEST = 0.9
"""Share of all slots that the busiest hour keeps in use."""


@dataclass
class _Task:
    number: int
    priority: PriorityClass
    cost: int
    came_s: float
    state: TaskState = TaskState.NEW
    tries: int = 0
    excluded: frozenset[str] = frozenset()
    placed_s: float = -1.0
    executor: str = ""


@dataclass
class DayReport:
    """How the day went."""

    tasks: int = 0
    done: int = 0
    failed: int = 0
    decisions: int = 0
    most_used: int = 0
    """Slots in use at the busiest moment."""
    slots: int = 0
    cpu_s: float = 0.0
    waits_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict[str, list[float]](list))
    """From coming in to the first placement, by class."""

    def wait(self, priority: PriorityClass, share: float) -> float:
        """Return the wait that such a share of a class's tasks stayed below, seconds."""
        ranked = sorted(self.waits_s[priority]) or [0.0]
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))]


class _Day:
    def __init__(self, executors: int, rng: random.Random) -> None:
        self.rng = rng
        self.used = {f"n0-day{number:04}/cpu": 0 for number in range(executors)}
        self.waiting: dict[PriorityClass, list[tuple[int, _Task]]] = {priority: [] for priority in PriorityClass}
        self.moments: list[tuple[float, int, str, _Task]] = []
        self.order = count()
        self.report = DayReport(slots=executors * SLOTS)

    def at(self, when_s: float, what: str, task: _Task) -> None:
        heapq.heappush(self.moments, (when_s, next(self.order), what, task))

    def arrivals(self) -> None:
        """Draw the day's tasks: few at night, most in the afternoon."""
        mean_s = sum(SHARE[priority] * MEAN_S[priority] for priority in PriorityClass)
        peak_per_s = BUSIEST * self.report.slots / (1.3 * mean_s)
        now_s = 0.0
        while (now_s := now_s + self.rng.expovariate(peak_per_s)) < DAY_S:
            # Thinned to a wave over the day.
            if self.rng.random() < 0.55 - 0.45 * math.cos(2 * math.pi * now_s / DAY_S):
                (priority,) = self.rng.choices(list(SHARE), list(SHARE.values()))
                task = _Task(self.report.tasks, priority, self.rng.choice([1, 1, 1, 2]), now_s)
                self.report.tasks += 1
                self.at(now_s, "come", task)

    def run(self) -> DayReport:
        self.arrivals()
        while self.moments:
            now_s, _, what, task = heapq.heappop(self.moments)
            if what == "end":
                self._end(task, now_s)
            else:
                heapq.heappush(self.waiting[task.priority], (task.number, task))
            self._place(now_s)
        return self.report

    def _place(self, now_s: float) -> None:
        for queue in self.waiting.values():
            while queue and self._give(queue[0][1], now_s):
                heapq.heappop(queue)

    def _give(self, task: _Task, now_s: float) -> bool:
        self.report.decisions += 1
        candidates = [Candidate(name, SLOTS, used) for name, used in self.used.items() if used < SLOTS]
        chosen = choose(candidates, Wish(task.cost, Policy.LEAST_LOADED, task.excluded))
        if chosen is None:
            return False
        for event in (TaskEvent.SELECT, TaskEvent.RESERVE, TaskEvent.DISPATCH, TaskEvent.ACK):
            task.state = next_state(task.state, event)
        if task.placed_s < 0:
            task.placed_s = now_s
            self.report.waits_s[task.priority].append(now_s - task.came_s)
        task.executor = chosen.executor
        self.used[chosen.executor] += task.cost
        self.report.most_used = max(self.report.most_used, sum(self.used.values()))
        if self.used[chosen.executor] > SLOTS:
            raise AssertionError(f"{chosen.executor} is given more than its slots")
        self.at(now_s + self.rng.expovariate(1 / MEAN_S[task.priority]), "end", task)
        return True

    def _end(self, task: _Task, now_s: float) -> None:
        self.used[task.executor] -= task.cost
        if self.rng.random() >= FAILING:
            task.state = next_state(task.state, TaskEvent.FINISH)
            self.report.done += 1
            return
        task.tries += 1
        task.excluded |= {task.executor.partition("/")[0]}
        task.state = next_state(task.state, TaskEvent.FAIL if task.tries == MAX_TRIES else TaskEvent.RETRY)
        if task.state in FINAL_TASK_STATES:
            self.report.failed += 1
        else:
            self.at(now_s + back_off_ms(task.tries, draw=self.rng.random()) / 1000, "come", task)


def run_day(executors: int = 40, *, seed: int = 1) -> DayReport:
    """Let a day pass for so many executors."""
    started = time.process_time()
    report = _Day(executors, random.Random(seed)).run()  # noqa: S311 - repeated, and no secret
    report.cpu_s = time.process_time() - started
    return report
