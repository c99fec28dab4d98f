"""Cells: partitions of executors and jobs, and which of them is whose. Pure (DESIGN.md §3, rule 10).

Jobs and artifacts name their cell in their ids. A node has chosen its id before it knew of cells, and a submission
comes with a key at most: their homes are found by a hash, which is the same on every instance and at every start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from mediafleet.domain.capability import Requirement, Signature, is_covered
from mediafleet.domain.ids import DEFAULT_CELL, cell_of, is_id

MOST_CELLS = 64
"""A position in the events of all cells names each of them: beyond that it would not fit into a header."""


class CellLoad(msgspec.Struct, frozen=True):
    """What is known of a cell when a job is given one; may be some seconds old."""

    cell: str
    pools: tuple[Signature, ...] = ()
    """Of the pools that have executors."""
    slots: int = 0
    """Of all executors that may be used."""
    tasks: int = 0
    """Those that are not final."""

    @property
    def pressure(self) -> float:
        """Tasks a slot."""
        return self.tasks / max(1, self.slots)


def cell_names(count: int, *, only: str = DEFAULT_CELL) -> tuple[str, ...]:
    """Return the names of a fleet's cells: `0`, `1` …, or `only` where there is one."""
    return (only,) if count == 1 else tuple(map(str, range(count)))


def _bucket(text: str, count: int) -> int:
    # Not Python's own hash, which is another one in each process.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) % count


def home_of_node(node: str, cells: Sequence[str]) -> str:
    """Return the cell that a node belongs to. Raises InvalidRequest for what is no id."""
    named = cell_of(node)
    # The only cell of a fleet takes no nodes of others.
    return named if len(cells) == 1 else cells[_bucket(node, len(cells))]


def home_of_key(tenant: str, key: str, cells: Sequence[str]) -> str:
    """Return the cell that remembers where the job of an idempotency key is."""
    return cells[_bucket(f"{tenant}:{key}", len(cells))]


def matches(load: CellLoad, requirements: Iterable[Requirement]) -> bool:
    """Tell whether each of the requirements has a pool in the cell."""
    return all(any(is_covered(requirement, pool) for pool in load.pools) for requirement in requirements)


def choose_cell(loads: Sequence[CellLoad], requirements: Collection[Requirement], draws: tuple[float, float]) -> str:
    """Return the less loaded of two cells that have a matching pool.

    Two drawn ones, and not the least loaded of all: what is known of loads is old, and everybody would go there.

    Args:
        loads: All cells, one or more.
        requirements: Of the first tasks of a job. Where no cell has pools for all of them, any will do: its tasks wait.
        draws: Two numbers, 0 up to 1, that pick the two cells.
    """
    candidates = [load for load in loads if matches(load, requirements)] or list(loads)
    first = candidates.pop(int(draws[0] * len(candidates)))
    if not candidates:
        return first.cell
    second = candidates[int(draws[1] * len(candidates))]
    return min(first, second, key=lambda load: load.pressure).cell


def grant_prefix(cell: str) -> str:
    """Return how the grants of a cell begin: an attempt's artifacts belong to the cell of its job."""
    # Nothing in the first cell, so that a fleet of one cell carries nothing around.
    return "" if cell == DEFAULT_CELL else f"{cell}."


def cell_of_grant(grant: str) -> str:
    """Return the cell of the attempt with that grant."""
    # The random part of a grant has no dots.
    return grant.rpartition(".")[0] or DEFAULT_CELL


class Group(msgspec.Struct):
    """Submissions of one call that wait for each other, and so go to one cell."""

    members: list[int]
    cells: set[str]
    """Of the jobs, outside of the call or known by their keys, that they wait for."""
    is_settled: bool = False
    """Its cell is fixed by what is there already."""


def group_by_waits(after: Sequence[Sequence[str | int]], known: Mapping[int, str]) -> list[Group]:
    """Return the group of each submission; those that wait for nothing are groups of their own.

    Args:
        after: What each submission waits for: ids of jobs, or numbers of earlier submissions.
        known: The cells of submissions whose job is there already; those wait for nothing any more.
    """
    groups: list[Group] = []
    for number, names in enumerate(after):
        own = Group([number], {known[number]} if number in known else set())
        groups.append(own)
        for name in names if number not in known else ():
            if isinstance(name, str):
                own.cells |= {cell_of(name)} if is_id(name, "j") else set()
            # What names no earlier one is refused when it is checked.
            elif 0 <= name < number and groups[name] is not own:
                own = _join(groups, groups[name], own)
    return groups


def _join(groups: list[Group], one: Group, other: Group) -> Group:
    # The smaller joins the larger, so that a call of thousands costs no more than n log n.
    large, small = (one, other) if len(one.members) >= len(other.members) else (other, one)
    large.members += small.members
    large.cells |= small.cells
    for member in small.members:
        groups[member] = large
    return large
