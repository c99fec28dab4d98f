"""Why a task waits, and what placing would do with it now: pure, from a snapshot to an explanation.

The choice itself is that of domain/placement.py, which the placing script is held to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import find_lacking, is_covered
from mediafleet.domain.explanation import (
    Absence,
    Ask,
    ExecutorWhy,
    Explanation,
    FleetSnapshot,
    PoolLack,
    PoolMembers,
    TaskSnapshot,
    Turn,
    Verdict,
    Waiting,
)
from mediafleet.domain.ids import node_of
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.placement import Candidate, Policy, Wish, choose
from mediafleet.scheduler import why_words as words
from mediafleet.scheduler.why_start import estimate_start

if TYPE_CHECKING:
    from mediafleet.domain.capability import Requirement
    from mediafleet.domain.explanation import AbsentExecutor

SHOWN_EXECUTORS = 50
SHOWN_LACKS = 10
_CLASSES = tuple(PriorityClass)
_IN_ORDER = tuple(Verdict)
_ESTIMATED = (Waiting.ROOM, Waiting.TURN)


class Choice(msgspec.Struct, frozen=True):
    """What placing would pick, and how all others fare."""

    taken: str
    """Empty where none has room, and where it is drawn."""
    executors: tuple[ExecutorWhy, ...]

    @property
    def has_room(self) -> bool:
        """Tell whether the task could be placed now."""
        return any(one.verdict in {Verdict.TAKEN, Verdict.CANDIDATE} for one in self.executors)


def explain(fleet: FleetSnapshot, ask: Ask, task: TaskSnapshot | None = None) -> Explanation:
    """Return what placing would do with a task now.

    Args:
        task: Where it is a task that exists; None for a simulation.
    """
    matching = [pool for pool in fleet.pools if is_covered(ask.requirement, pool.signature)]
    lacking = sorted(
        (lack(ask.requirement, pool) for pool in fleet.pools if not is_covered(ask.requirement, pool.signature)),
        key=lambda one: (len(one.missing) + (one.slots_short > 0), one.pool),
    )
    choice = pick(fleet, ask, matching)
    turn = find_turn(fleet, ask, matching)
    waits_for = _waits_for(fleet, ask, choice, turn, task)
    estimate = estimate_start(fleet, ask, matching) if waits_for in _ESTIMATED else None
    begins = {Waiting.NOTHING: fleet.now_ms, Waiting.BACK_OFF: task.held_until_ms if task else None}
    begins |= dict.fromkeys(_ESTIMATED, estimate.starts_ms if estimate else None)
    found = Explanation(
        waits_for=waits_for,
        words=(),
        pools=tuple(pool.name for pool in matching),
        policy=ask.policy,
        would_take=choice.taken,
        executors=choice.executors[:SHOWN_EXECUTORS],
        executors_left_out=max(0, len(choice.executors) - SHOWN_EXECUTORS),
        lacking=tuple(lacking[:SHOWN_LACKS]),
        lacking_left_out=max(0, len(lacking) - SHOWN_LACKS),
        turn=turn,
        starts_ms=begins.get(waits_for),
        estimate=estimate,
    )
    verdicts = Counter(one.verdict for one in choice.executors)
    return msgspec.structs.replace(found, words=words.sentences(found, ask, verdicts, task=task, fleet=fleet))


def lack(requirement: Requirement, pool: PoolMembers) -> PoolLack:
    """Return what a pool that does not match lacks."""
    missing = find_lacking(requirement.capabilities, frozenset(pool.signature.capabilities))
    short = max(0, requirement.slots - pool.signature.slots)
    return PoolLack(pool.name, tuple(missing), short)


def pick(fleet: FleetSnapshot, ask: Ask, matching: Sequence[PoolMembers]) -> Choice:
    """Return which executor a task would get if it were its turn now."""
    seen = {candidate.executor: candidate for pool in matching for candidate in _candidates(pool, ask.priority)}
    absent = {one.executor: one for one in fleet.absent if _would_match(one, ask, seen)}
    # What its queue holds for it goes before the policy.
    held = next((one.executor for one in absent.values() if _is_ready_for(one, ask)), "")
    wish = Wish(ask.requirement.slots, ask.policy, ask.excluded, ask.near)
    winner = choose(list(seen.values()), wish)
    is_drawn = ask.policy is Policy.RANDOM
    taken = held or ("" if is_drawn or winner is None else winner.executor)
    reserved = {pool.name: pool for pool in matching if pool.batch_used}
    # The reference falls back to nodes where the task failed only if no other has room.
    avoids = winner is not None and node_of(winner.executor) not in ask.excluded

    def verdict(one: Candidate) -> Verdict:
        if one.executor == taken:
            return Verdict.TAKEN
        if one.free < wish.cost:
            is_kept = one.pool in reserved and one.slots - reserved[one.pool].used[one.executor] >= wish.cost
            return Verdict.LIVE_RESERVE if is_kept else Verdict.FULL
        return Verdict.EXCLUDED if avoids and node_of(one.executor) in ask.excluded else Verdict.CANDIDATE

    found = [
        words.executor_why(one, verdict(one), ask, used=_really_used(one, reserved), taken=taken)
        for one in seen.values()
    ]
    found += [words.absent_why(one, ask, is_taken=one.executor == held) for one in absent.values()]
    found.sort(key=lambda one: (_IN_ORDER.index(one.verdict), one.used / one.slots, one.executor))
    return Choice(taken, tuple(found))


def _would_match(one: AbsentExecutor, ask: Ask, seen: Collection[str]) -> bool:
    # One that does without something else is in a pool that matches, and is looked at there.
    return one.executor not in seen and is_covered(ask.requirement, one.signature)


def _candidates(pool: PoolMembers, priority: PriorityClass) -> list[Candidate]:
    seen = pool.batch_used if priority is PriorityClass.BATCH and pool.signature.live_reserve else pool.used
    signature = pool.signature
    return [Candidate(name, signature.slots, used, signature.priority, pool.name) for name, used in seen.items()]


def _really_used(one: Candidate, reserved: dict[str, PoolMembers]) -> int:
    return reserved[one.pool].used.get(one.executor, one.used) if one.pool in reserved else one.used


def _is_ready_for(one: AbsentExecutor, ask: Ask) -> bool:
    """Tell whether the task's queue holds the executor and it has room by now."""
    if one.absence is not Absence.HELD or ask.line is None or one.held_for != ask.line.queue:
        return False
    as_batch = one.batch_used + one.signature.live_reserve if ask.priority is PriorityClass.BATCH else 0
    return max(one.used, as_batch) + ask.requirement.slots <= one.signature.slots


def find_turn(fleet: FleetSnapshot, ask: Ask, matching: Sequence[PoolMembers]) -> Turn | None:
    """Return when it is the task's turn in its queue; None for what is in no queue."""
    line = ask.line
    if line is None or ask.tenant not in line.tenants:
        return None
    mine = (line.tenants[ask.tenant], ask.tenant)
    cost = ask.requirement.slots
    before = [
        tenant
        for tenant, time in line.tenants.items()
        # One at its cap is passed over when its turn comes.
        if (time, tenant) < mine and not is_at_cap(fleet, tenant, cost)
    ]
    urgent = [
        requirement
        for priority, requirement in fleet.waiting
        if _CLASSES.index(priority) < _CLASSES.index(ask.priority)
        and any(is_covered(requirement, pool.signature) for pool in matching)
    ]
    return Turn(line.before + 1, len(before) + 1, line.is_cut, len(urgent))


def is_at_cap(fleet: FleetSnapshot, tenant: str, cost: int) -> bool:
    """Tell whether a tenant may use no such slots more."""
    share = fleet.rules.tenants.get(tenant)
    return share is not None and share.cap > 0 and fleet.running.get(tenant, 0) + cost > share.cap


def _waits_for(fleet: FleetSnapshot, ask: Ask, choice: Choice, turn: Turn | None, task: TaskSnapshot | None) -> Waiting:
    before = _before_placing(task)
    if before:
        return before
    if fleet.is_paused:
        return Waiting.PAUSE
    if not choice.executors:
        return Waiting.POOL
    if is_at_cap(fleet, ask.tenant, ask.requirement.slots) or (task is not None and task.is_parked):
        return Waiting.TENANT_CAP
    if not choice.has_room:
        return Waiting.ROOM
    is_first = turn is None or (turn.own == turn.tenant == 1 and not turn.urgent_queues)
    return Waiting.NOTHING if is_first else Waiting.TURN


def _before_placing(task: TaskSnapshot | None) -> Waiting | None:
    if task is None:
        return None
    if task.is_paused:
        return Waiting.PAUSE
    if task.jobs:
        return Waiting.JOB
    if task.parents:
        return Waiting.TASK
    if task.uploads:
        return Waiting.UPLOAD
    return Waiting.BACK_OFF if task.held_until_ms is not None else None
