"""Level one of placing: which pools match which queue. Pure; the executors are level two, in the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mediafleet.domain.capability import Signature, is_covered
from mediafleet.store.records import PoolShare, QueueSpec, QueueTurn

MAX_POOLS = 64
"""Most pools that one script call looks at (256 held the server for 23 ms); where more match, each call takes others."""


class PoolMatcher:
    """The pools as this instance knows them, and which of them match each queue that was asked for."""

    def __init__(self) -> None:
        self.version = -1
        self._pools: dict[str, Signature] = {}
        self._matches: dict[QueueSpec, list[str]] = {}

    def update(self, version: int, pools: Mapping[str, Signature]) -> None:
        """Take over a newer set of pools; only what is new is matched."""
        gone = self._pools.keys() - pools.keys()
        new = {name: signature for name, signature in pools.items() if name not in self._pools}
        for spec, matches in self._matches.items():
            if gone:
                matches[:] = [name for name in matches if name not in gone]
            matches.extend(_matching(spec, new))
        self.version, self._pools = version, dict(pools)

    def matches(self, spec: QueueSpec) -> Sequence[str]:
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

    def offer(
        self, specs: Sequence[QueueSpec], *, freed: Collection[str], turn: int
    ) -> tuple[list[QueueTurn], list[PoolShare]]:
        """Return queues and pools for one script call: at most MAX_POOLS, those with freed slots first.

        Args:
            turn: A number that rises with each call; where more pools match, it says where to begin.
        """
        chosen: dict[str, int] = {}
        turns: list[QueueTurn] = []
        for spec in specs:
            wanted = _rotated(self.matches(spec), freed, turn)
            for name in wanted:
                if len(chosen) < MAX_POOLS:
                    chosen.setdefault(name, len(chosen) + 1)
            positions = sorted(chosen[name] for name in wanted if name in chosen)
            turns.append(QueueTurn(spec.id, spec.requirement.slots, spec.policy, positions))
        return turns, [self._share(name) for name in chosen]

    def _share(self, name: str) -> PoolShare:
        signature = self._pools[name]
        return PoolShare(name, signature.slots, signature.live_reserve, signature.priority)


def _matching(spec: QueueSpec, pools: Mapping[str, Signature]) -> list[str]:
    return [name for name, signature in pools.items() if is_covered(spec.requirement, signature)]


def _rotated(matches: Sequence[str], freed: Collection[str], turn: int) -> Sequence[str]:
    if len(matches) <= MAX_POOLS:
        return matches
    hinted = [name for name in matches if name in freed][:MAX_POOLS] if freed else []
    start = turn * MAX_POOLS % len(matches)
    rest = [*matches[start : start + MAX_POOLS], *matches[: max(0, start + MAX_POOLS - len(matches))]]
    return list(dict.fromkeys([*hinted, *rest]))[:MAX_POOLS]
