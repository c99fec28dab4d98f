"""One measured number."""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """A measured number and what it was compared to in the same run."""

    name: str
    value: float
    unit: str
    compared_to: str = ""
    ratio: float | None = None


def percentile(values: list[float], percent: float) -> float:
    """Return the value below which so many percent of the values lie (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]
