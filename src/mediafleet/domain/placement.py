"""The readable reference of how an executor is chosen; the placing script must agree with it.

A property test holds the script to these functions on tens of thousands of fleets, and `why` and
`simulate` explain decisions with them. Why these policies: docs/decisions/0006.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.ids import node_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Policy(StrEnum):
    """Which executor with room a task gets, among those of all pools that match."""

    LEAST_LOADED = "least_loaded"
    """The smallest share of slots in use."""
    RANDOM = "random"
    """Any, each as likely as the next."""
    PRIORITY = "priority"
    """An idle one first, then by the operator's priority of the node, then the fewest slots in use."""
    SPREAD = "spread"
    """The fewest slots in use, however many there are."""
    PACK = "pack"
    """The largest share of slots in use, so that others stay free for tasks that need many."""


class Candidate(msgspec.Struct, frozen=True):
    """An executor of a pool that matches, as the policy sees it."""

    executor: str
    slots: int
    used: int
    """Slots held. For batch work at least those that batch holds and those kept for live work together."""
    priority: int = 0
    pool: str = ""

    @property
    def free(self) -> int:
        """Slots that are not held."""
        return self.slots - self.used


def rank(policy: Policy, candidate: Candidate) -> tuple[float, ...]:
    """Return what candidates are compared by; the smallest is best, and equal ones are left to locality and name."""
    match policy:
        case Policy.LEAST_LOADED:
            return (candidate.used / candidate.slots,)
        case Policy.PRIORITY:
            return (candidate.used > 0, -candidate.priority, candidate.used)
        case Policy.SPREAD:
            return (candidate.used,)
        case Policy.PACK:
            return (-candidate.used / candidate.slots,)
        case Policy.RANDOM:
            return ()


class Wish(msgspec.Struct, frozen=True):
    """What a task asks of the choice, beside its pools."""

    cost: int = 1
    policy: Policy = Policy.LEAST_LOADED
    excluded: frozenset[str] = frozenset()
    """Nodes where it failed before: taken only if no other has room."""
    near: frozenset[str] = frozenset()
    """Nodes that have its input: they win ties."""


def choose(candidates: Sequence[Candidate], wish: Wish, *, draw: float = 0.0) -> Candidate | None:
    """Return the executor that a task gets, or None if none has room.

    Args:
        candidates: Executors in the order in which their pools are offered.
        draw: 0 ≤ draw < 1, for the policy `random`.
    """
    with_room = [candidate for candidate in candidates if candidate.free >= wish.cost]
    fresh = [candidate for candidate in with_room if node_of(candidate.executor) not in wish.excluded]
    eligible = fresh or with_room
    if not eligible:
        return None
    if wish.policy is Policy.RANDOM:
        return _in_pool_order(eligible)[int(draw * len(eligible))]
    best = min(rank(wish.policy, candidate) for candidate in eligible)
    ties = [candidate for candidate in eligible if rank(wish.policy, candidate) == best]
    return min(_nearest(ties, wish.near), key=lambda candidate: candidate.executor)


def _nearest(ties: Sequence[Candidate], near: Collection[str]) -> Sequence[Candidate]:
    return [candidate for candidate in ties if node_of(candidate.executor) in near] or ties


def _in_pool_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    order: dict[str, int] = {}
    for candidate in candidates:
        order.setdefault(candidate.pool, len(order))
    return sorted(candidates, key=lambda c: (order[c.pool], c.used, c.executor))
