"""What a plan may weigh beside its job: what is free in the fleet now, and what it has decided before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from mediafleet.domain.capability import find_lacking


class FreeSlots(msgspec.Struct, frozen=True):
    """An executor that takes work and has room."""

    node: str
    capabilities: tuple[str, ...]
    slots: int
    """Free for batch work, 1 or more."""


class Room(msgspec.Struct, frozen=True):
    """The fleet as one plan sees it, a snapshot: what is free may be taken a moment later."""

    free: tuple[FreeSlots, ...] = ()
    """Of executors that can run the kind; of very many only some."""
    waiting: int = 0
    """Tasks, also of other jobs, that wait for these executors and are as urgent as the job or more."""
    tasks: frozenset[str] = frozenset()
    """Names of all tasks that the job has, whatever their states: what a plan decided by an earlier room stands there."""
    unplaced: frozenset[str] = frozenset()
    """Those of them that no executor has now."""

    def slots_by_node(self, capabilities: Iterable[str]) -> dict[str, int]:
        """Return how many slots are free on each node that offers all of these."""
        wanted = tuple(capabilities)
        found = Counter[str]()
        for one in self.free:
            if not find_lacking(wanted, frozenset(one.capabilities)):
                found[one.node] += one.slots
        return dict(found)
