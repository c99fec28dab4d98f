"""One view of several cells: pure merges of what each of them says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.explanation import Explanation, Waiting
from mediafleet.domain.node import PoolView

_BEST_FIRST = (Waiting.NOTHING, Waiting.TURN, Waiting.ROOM, Waiting.TENANT_CAP)


def merge_pools(cells: Sequence[Sequence[PoolView]]) -> list[PoolView]:
    """Return the pools of all cells: those of one signature are one pool."""
    merged: dict[str, PoolView] = {}
    for pool in (pool for pools in cells for pool in pools):
        known = merged.get(pool.pool)
        merged[pool.pool] = (
            msgspec.structs.replace(pool, executors=pool.executors + known.executors, free=pool.free + known.free)
            if known
            else pool
        )
    return list(merged.values())


def merge_clusters(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the instances of all cells as one list, who leads which cell, and the rest as the first cell has it."""
    instances: dict[str, dict[str, Any]] = {}
    for view in cells.values():
        for one in view["instances"]:
            known = instances.setdefault(one["id"], {**one, "nodes": 0, "inbox": 0, "leads": False})
            known["nodes"] += one["nodes"]
            known["inbox"] += one["inbox"]
            known["leads"] |= one["leads"]
    each = [
        {"cell": cell} | {name: view[name] for name in ("leader", "epoch", "config_version")}
        for cell, view in cells.items()
    ]
    first = next(iter(cells.values()))
    return {**first, "instances": [instances[name] for name in sorted(instances)], "cells": each}


def best_explanation(cells: Sequence[Explanation]) -> Explanation:
    """Return what is said by the cell in which a task would begin first."""

    def rank(found: Explanation) -> tuple[bool, int]:
        order = _BEST_FIRST.index(found.waits_for) if found.waits_for in _BEST_FIRST else len(_BEST_FIRST)
        return not found.pools, order

    return min(cells, key=rank)


def split_position(position: str, count: int) -> list[str]:
    """Return where to go on in the events of each of so many cells.

    A position names all cells, with `_` between them; that of a single one (a job's events give such) is a time, and
    stands for all.

    Raises:
        InvalidRequest: It names another number of cells.
    """
    parts = position.split("_")
    if len(parts) == 1:
        return parts * count
    if len(parts) != count:
        raise InvalidRequest(f"The position is of {len(parts)} cells, but there are {count}; begin without one.")
    return parts


def join_positions(positions: Sequence[str]) -> str:
    """Return the position in the events of all cells."""
    return "_".join(positions)
