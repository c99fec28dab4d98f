"""Level one of placing: which pools match which queue. No effects; the executors are level two, in the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice, takewhile, zip_longest

from mediafleet.domain.capability import Signature, is_covered
from mediafleet.store.records import PoolShare, QueueSpec, QueueTurn

MAX_POOLS = 64
"""Most pools that one script call looks at (256 held the server for 23 ms); where more match, each call takes the next."""


class PoolMatcher:
    """The pools as this instance knows them, and which of them match each queue that was asked for."""

    def __init__(self) -> None:
        self.version = -1
        self._pools: dict[str, Signature] = {}
        # Dictionaries without values: ordered sets.
        self._matches: dict[QueueSpec, dict[str, None]] = {}
        # Where a queue's next call begins, for those whose pools did not all fit into one.
        self._starts: dict[QueueSpec, int] = {}

    def update(self, version: int, pools: Mapping[str, Signature]) -> None:
        """Take over a newer set of pools; only what is new is matched."""
        gone = self._pools.keys() - pools.keys()
        new = {name: signature for name, signature in pools.items() if name not in self._pools}
        for spec, matches in self._matches.items():
            for name in gone:
                matches.pop(name, None)
            matches.update(_matching(spec, new))
        self.version, self._pools = version, dict(pools)

    def matches(self, spec: QueueSpec) -> Collection[str]:
        """Return the names of all pools that match a queue."""
        if spec not in self._matches:
            self._matches[spec] = _matching(spec, self._pools)
        return self._matches[spec]

    def is_helped(self, spec: QueueSpec, freed: Collection[str]) -> bool:
        """Tell whether slots in these pools are of use to the queue."""
        return any(name in self._pools and is_covered(spec.requirement, self._pools[name]) for name in freed)

    def forget(self, known: Collection[QueueSpec]) -> None:
        """Drop what is kept of other queues than these."""
        self._matches = {spec: found for spec, found in self._matches.items() if spec in known}
        self._starts = {spec: start for spec, start in self._starts.items() if spec in known}

    def offer(
        self, specs: Sequence[QueueSpec], *, freed: Collection[str] = ()
    ) -> tuple[list[QueueTurn], list[PoolShare]]:
        """Return queues and pools for one script call: at most MAX_POOLS, those with freed slots first.

        Where more match, each queue gets a share of the room, and goes on where its last call ended.
        """
        rings = {spec: self._ring(spec, freed) for spec in specs}
        chosen: dict[str, int] = {}
        # One of each queue in turn: a queue that matches very many pools would leave the others none.
        for names in zip_longest(*(islice(ring, MAX_POOLS) for ring in rings.values())):
            for name in names:
                if name is not None and len(chosen) < MAX_POOLS:
                    chosen.setdefault(name, len(chosen) + 1)
        return [self._turn(spec, chosen) for spec in specs], [self._share(name) for name in chosen]

    def _ring(self, spec: QueueSpec, freed: Collection[str] = ()) -> list[str]:
        matches, start = list(self.matches(spec)), self._starts.get(spec, 0)
        hinted = [name for name in matches if name in freed] if freed else []
        return list(dict.fromkeys([*hinted, *matches[start:], *matches[:start]]))

    def _turn(self, spec: QueueSpec, chosen: Mapping[str, int]) -> QueueTurn:
        matches = self.matches(spec)
        positions = [position for name, position in chosen.items() if name in matches]
        if len(positions) < len(matches):
            seen = sum(1 for _ in takewhile(chosen.__contains__, self._ring(spec)))
            self._starts[spec] = (self._starts.get(spec, 0) + seen) % len(matches)
        return QueueTurn(spec.id, spec.requirement.slots, spec.policy, positions)

    def _share(self, name: str) -> PoolShare:
        signature = self._pools[name]
        return PoolShare(name, signature.slots, signature.live_reserve, signature.priority)


def _matching(spec: QueueSpec, pools: Mapping[str, Signature]) -> dict[str, None]:
    return {name: None for name, signature in pools.items() if is_covered(spec.requirement, signature)}
