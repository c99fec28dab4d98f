"""Shares and means of the last while, as numbers that fade; pure, the clock is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from mediafleet.domain.insight import KindTally

HALF_LIFE_S = 600.0
"""After so long an outcome counts half: an hour later nobody is reproached with it."""
MOST_NAMES = 10_000
FORGOTTEN = 0.01
"""What weighs less than this is dropped."""


@dataclass
class _Fading:
    """Three numbers that fade together."""

    at_s: float
    count: float = 0.0
    failed: float = 0.0
    took_ms: float = 0.0

    def fade(self, now_s: float) -> None:
        factor = 0.5 ** (max(0.0, now_s - self.at_s) / HALF_LIFE_S)
        self.count, self.failed, self.took_ms = self.count * factor, self.failed * factor, self.took_ms * factor
        self.at_s = now_s


class Tally(msgspec.Struct, frozen=True):
    """What is left of the counts of one node or kind."""

    outcomes: float
    """How many, each one weighed by its age."""
    failure_rate: float
    """0..1."""
    mean_ms: float


class FadingTallies:
    """Counts by name, at most `MOST_NAMES`; what is old weighs little."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Fading] = {}

    def note(self, name: str, tally: KindTally, *, now_s: float) -> None:
        """Add to the counts of a name."""
        known = self._tallies.get(name)
        if known is None:
            if len(self._tallies) >= MOST_NAMES:
                self._drop_forgotten(now_s)
                if len(self._tallies) >= MOST_NAMES:
                    return
            known = self._tallies[name] = _Fading(now_s)
        known.fade(now_s)
        known.count += tally.runs
        known.failed += tally.failed
        known.took_ms += tally.took_ms

    def read(self, *, now_s: float) -> dict[str, Tally]:
        """Return what is left, by name."""
        self._drop_forgotten(now_s)
        return {
            name: Tally(round(one.count, 2), round(one.failed / one.count, 3), round(one.took_ms / one.count, 1))
            for name, one in self._tallies.items()
        }

    def worst(self, most: int, *, now_s: float) -> dict[str, float]:
        """Return the names with the highest failure rates above 0, and those."""
        failing = [(tally.failure_rate, name) for name, tally in self.read(now_s=now_s).items() if tally.failure_rate]
        return {name: rate for rate, name in sorted(failing, key=lambda pair: (-pair[0], pair[1]))[:most]}

    def _drop_forgotten(self, now_s: float) -> None:
        for one in self._tallies.values():
            one.fade(now_s)
        self._tallies = {name: one for name, one in self._tallies.items() if one.count >= FORGOTTEN}


class RateMeter:
    """Rates a second of counters that only rise, over the last while."""

    def __init__(self, *, over_s: float = 60.0) -> None:
        self._over_s = over_s
        self._samples: deque[tuple[float, Mapping[str, float]]] = deque()

    def sample(self, totals: Mapping[str, float], *, now_s: float) -> None:
        """Note the counters as they are."""
        self._samples.append((now_s, totals))
        # The newest of those that are too old stays: the rate is over all of the while, and not over less.
        while len(self._samples) > 1 and now_s - self._samples[1][0] >= self._over_s:
            self._samples.popleft()

    def read(self) -> dict[str, float]:
        """Return the rates; nothing before there are two samples."""
        if len(self._samples) <= 1:
            return {}
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        if last_s <= first_s:
            return {}
        return {name: round((total - first.get(name, 0.0)) / (last_s - first_s), 3) for name, total in last.items()}
