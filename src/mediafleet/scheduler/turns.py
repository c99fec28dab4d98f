"""Which queues a placing call looks at, where more wait than one call can take: pure."""

from __future__ import annotations

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


def choose_group(specs: Sequence[QueueSpec], heads: Mapping[str, float], *, most: int) -> list[QueueSpec]:
    """Return the queues whose turn it is, in order: those of tenants that had least, and of each class some.

    Inside a call the tenant with the least virtual time goes first, whatever queue its task is in; so a call must see the
    queues of those tenants.

    Args:
        specs: Queues with waiting tasks.
        heads: Least virtual time of the tenants that wait in each of them.
        most: Queues that the call can take; enough for some of each class.
    """
    ranked = sorted(specs, key=lambda spec: (CLASS_ORDER.index(spec.priority), heads[spec.id], spec.id))
    of_class = {name: [spec for spec in ranked if spec.priority is name] for name in CLASS_ORDER}
    chosen = {spec for found in of_class.values() for spec in found[:LEAST_OF_CLASS]}
    rest = [spec for spec in ranked if spec not in chosen]
    return in_order(chosen.union(rest[: most - len(chosen)]))
