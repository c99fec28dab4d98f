"""Which queues a placing call looks at, where more wait than one call can take: pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mediafleet.domain.lifecycle import PriorityClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mediafleet.store.records import QueueSpec

CLASS_ORDER = tuple(PriorityClass)
"""Live before interactive before batch."""
LEAST_OF_CLASS = 4
"""Queues of each class that waits which are looked at, however many of the classes before it wait: inside a call batch gets
its share, and what has no room makes way for what has."""


def in_order(specs: Iterable[QueueSpec]) -> list[QueueSpec]:
    """Return queues by class, and inside a class in an order that is the same everywhere."""
    return sorted(specs, key=lambda spec: (CLASS_ORDER.index(spec.priority), spec.id))


def choose_group(specs: Sequence[QueueSpec], heads: Mapping[str, Mapping[str, float]], *, most: int) -> list[QueueSpec]:
    """Return the queues whose turn it is, in order: those of tenants that had least, and of each class some.

    Inside a call the tenant with the least virtual time goes first, whatever queue its task is in; so a call must see the
    queues of those tenants. Of tenants that had as much as each other, none has its second queue before another's first:
    whoever waits in very many queues would keep the others out of the call.

    Args:
        specs: Queues with waiting tasks.
        heads: Virtual time of the tenants that wait in each of them, those with the least.
        most: Queues that the call can take; enough for some of each class.
    """
    ranks = _rank(specs, heads)
    ranked = sorted(specs, key=lambda spec: (CLASS_ORDER.index(spec.priority), ranks[spec.id], spec.id))
    of_class = {name: [spec for spec in ranked if spec.priority is name] for name in CLASS_ORDER}
    chosen = {spec for found in of_class.values() for spec in found[:LEAST_OF_CLASS]}
    rest = [spec for spec in ranked if spec not in chosen]
    return in_order(chosen.union(rest[: most - len(chosen)]))


def _rank(specs: Iterable[QueueSpec], heads: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[float, int]]:
    """Return for each queue the least virtual time in it, and how many queues its tenant has before it at that time."""
    seen = Counter[tuple[PriorityClass, str, float]]()
    ranks: dict[str, tuple[float, int]] = {}
    for spec in in_order(specs):
        lines = [(spec.priority, tenant, time) for tenant, time in heads[spec.id].items()]
        ranks[spec.id] = min((line[-1], seen[line]) for line in lines)
        seen.update(lines)
    return ranks
