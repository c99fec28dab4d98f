"""When a task that waits for room or for its turn should start: pure, an estimate from a snapshot."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from typing import TYPE_CHECKING

from mediafleet.domain.capability import is_covered
from mediafleet.domain.explanation import StartEstimate
from mediafleet.domain.lifecycle import PriorityClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mediafleet.domain.capability import Requirement, Signature
    from mediafleet.domain.explanation import Ask, FleetSnapshot, PoolMembers, RunningWork

STEPS = 1_000
"""Tasks of one requirement that are laid out one by one; of more, the rest is spread evenly."""
LEAST_FRACTION = 0.02
"""Progress below this says nothing about how fast a task is."""
_CLASSES = tuple(PriorityClass)


def estimate_start(fleet: FleetSnapshot, ask: Ask, matching: Sequence[PoolMembers]) -> StartEstimate:
    """Return when a task should start, or why nobody can say.

    It is assumed that
    - running work ends when it says it will, or else goes on at the speed that was measured or the pace of its progress, or else takes what tasks of its
      kind took on the average; what has taken longer ends at once;
    - what waits takes the average of its kind. Before this task go those of more urgent classes, those before it in its
      tenant's line, and of each other tenant of its class as much as the shares give it meanwhile;
    - no executor comes, goes or is held, nothing fails, and nobody submits anything that goes first.

    It is never in the past, and never earlier for one more task that goes first.
    """
    times = _Times(fleet)
    lanes, count = _lay_out(times, fleet, ask, matching)
    if not any(pool.used for pool in matching):
        return StartEstimate(None, count, "no executor that can do it takes work now")
    if not lanes:
        return StartEstimate(None, count, "what runs there is not known")
    if math.isinf(lanes[0]):
        return StartEstimate(None, count, times.reason())
    return StartEstimate(fleet.now_ms + round(lanes[0]), count)


def free_places(fleet: FleetSnapshot, ask: Ask, matching: Sequence[PoolMembers]) -> list[float]:
    """Return in how many milliseconds each place for such a task is free for it, as `estimate_start` takes it.

    What runs on for a time that nobody knows is left out, and executors that were not looked at.
    """
    lanes, _ = _lay_out(_Times(fleet), fleet, ask, matching)
    return sorted(lane for lane in lanes if not math.isinf(lane))


def _lay_out(times: _Times, fleet: FleetSnapshot, ask: Ask, matching: Sequence[PoolMembers]) -> tuple[list[float], int]:
    """Return when each place is free after all that goes first, as a heap, and how many tasks that are."""
    lanes, known = _lanes(times, ask, matching)
    before = list(_goes_first(fleet, ask, matching))
    for requirement, tasks in before:
        if not tasks:
            continue
        # What takes more slots than this task keeps so much more of its place busy.
        weight = requirement.slots / ask.requirement.slots
        # Where only some executors were looked at, those have their part of what goes first.
        _occupy(lanes, math.ceil(tasks * known), times.mean(_kind_of(requirement)) * weight)
    return lanes, math.ceil(sum(tasks for _, tasks in before))


def _kind_of(requirement: Requirement) -> str:
    return next((one.removeprefix("kind:") for one in requirement.capabilities if one.startswith("kind:")), "")


class _Times:
    """How long things take, in milliseconds; infinity where nobody knows."""

    def __init__(self, fleet: FleetSnapshot) -> None:
        self._now_ms, self._means_ms = fleet.now_ms, fleet.means_ms
        self._unknown: set[str] = set()
        self.running: Mapping[str, list[RunningWork]] = defaultdict(list)
        for work in fleet.running_work:
            self.running[work.executor].append(work)

    def mean(self, kind: str) -> float:
        if kind not in self._means_ms:
            self._unknown.add(kind)
        return max(0.0, self._means_ms.get(kind, math.inf))

    def left(self, work: RunningWork) -> float:
        if work.eta_ms is not None:
            return max(0.0, work.eta_ms)
        if work.total_ms is not None:
            return max(0.0, work.total_ms * (1 - work.fraction))
        took = 0 if work.since_ms is None else max(0, self._now_ms - work.since_ms)
        if took and work.fraction >= LEAST_FRACTION:
            return max(0.0, took * (1 - work.fraction) / work.fraction)
        return max(0.0, self.mean(work.kind) - took)

    def reason(self) -> str:
        kinds = " or ".join(sorted(self._unknown - {""}))
        return f"no task of the kind {kinds} has ended lately" if kinds else "what runs there is not known"


def _lanes(times: _Times, ask: Ask, matching: Sequence[PoolMembers]) -> tuple[list[float], float]:
    """Return when each place for such a task is free, as a heap, and which part of the executors was looked at."""
    lanes: list[float] = []
    looked_at = 0
    executors = [(pool.signature, *one) for pool in matching for one in pool.used.items()]
    for signature, executor, used in executors:
        work = times.running[executor]
        if sum(one.slots for one in work) < used:
            continue
        looked_at += 1
        free = _free_times(times, signature, work, is_batch=ask.priority is PriorityClass.BATCH)
        lanes += free[ask.requirement.slots - 1 :: ask.requirement.slots]
    heapq.heapify(lanes)
    return lanes, looked_at / max(1, len(executors))


def _free_times(times: _Times, signature: Signature, work: Iterable[RunningWork], *, is_batch: bool) -> list[float]:
    """Return when each slot of an executor is free for such work, the first one first."""
    live = sorted(times.left(one) for one in work if one.priority is PriorityClass.LIVE for _ in range(one.slots))
    others = [times.left(one) for one in work if one.priority is not PriorityClass.LIVE for _ in range(one.slots)]
    free = max(0, signature.slots - len(live) - len(others))
    if is_batch:
        # As many as are kept for live work are never given to batch: those that it has longest, then free ones.
        kept = min(signature.live_reserve, len(live))
        live = live[: len(live) - kept]
        free = max(0, free - (signature.live_reserve - kept))
    return sorted([*live, *others, *[0.0] * free])


def _occupy(lanes: list[float], tasks: int, duration_ms: float) -> None:
    """Lay tasks out on the lanes, each one where it starts first. No lane is free earlier for one task more."""
    if not lanes or not tasks:
        return
    for _ in range(min(tasks, STEPS)):
        heapq.heapreplace(lanes, lanes[0] + duration_ms)
    if tasks > STEPS:
        # The same for all: the heap stays one.
        lanes[:] = [lane + (tasks - STEPS) * duration_ms / len(lanes) for lane in lanes]


def _goes_first(fleet: FleetSnapshot, ask: Ask, matching: Sequence[PoolMembers]) -> Iterator[tuple[Requirement, float]]:
    """Yield how many tasks go first, by what they need."""
    rivals = [work for work in fleet.queued if any(is_covered(work.requirement, pool.signature) for pool in matching)]
    mine = _CLASSES.index(ask.priority)
    for work in rivals:
        if _CLASSES.index(work.priority) < mine:
            yield work.requirement, sum(work.tasks.values())
    same = [work for work in rivals if work.priority is ask.priority]
    if ask.line is None:
        own = {work.queue for work in same if work.requirement == ask.requirement}
        before = sum(work.tasks.get(ask.tenant, 0) for work in same if work.queue in own)
    else:
        own, before = {ask.line.queue}, ask.line.before
    yield ask.requirement, before
    allowances = {tenant: _allowance(fleet, ask, tenant, before) for work in same for tenant in work.tasks}
    for work in same:
        tasks = 0.0
        for tenant, waiting in work.tasks.items():
            if tenant != ask.tenant or work.queue not in own:
                taken = min(waiting, allowances[tenant] / work.requirement.slots)
                allowances[tenant] -= taken * work.requirement.slots
                tasks += taken
        yield work.requirement, tasks


def _allowance(fleet: FleetSnapshot, ask: Ask, tenant: str, before: int) -> float:
    """Return how many slots a tenant of the same class is given until it is the task's turn."""
    cost = ask.requirement.slots
    times = ask.line.tenants if ask.line else {}
    mine, its = times.get(ask.tenant), times.get(tenant)
    goes_later = mine is not None and its is not None and (its, tenant) > (mine, ask.tenant)
    turns = before if goes_later else before + 1
    return turns * cost * _weight(fleet, tenant) / _weight(fleet, ask.tenant)


def _weight(fleet: FleetSnapshot, tenant: str) -> float:
    share = fleet.rules.tenants.get(tenant)
    return share.weight if share else 1
