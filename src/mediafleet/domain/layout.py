"""Where the parts of a chain run: on one executor that can do all that is left, or step by step. Pure.

`lay_out` is the decision, from the chain, what of it has begun, and what the fleet has now. What it decided is
recorded with the job (`ChainRecord`), so that a plan that is asked again at the same version of its job names the same
tasks, whatever the fleet has by then (docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec

from mediafleet.domain.capability import Signature
from mediafleet.domain.catalogue import Alternatives, Catalogue
from mediafleet.domain.chain import ChainPart


class SegmentState(StrEnum):
    """How far a segment was when it was recorded."""

    WAITING = "waiting"
    """No executor has its task: it may be decided anew."""
    BEGUN = "begun"
    DONE = "done"
    ENDED = "ended"
    """It failed or was cancelled; nothing is added to its chain."""


class Segment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Parts that one task runs, one after the other, on one executor."""

    task: str
    """Name of the task."""
    parts: tuple[str, ...]
    capabilities: tuple[str, ...] = ()
    """What was chosen of the alternatives for their needs."""
    slots: int = 1
    state: SegmentState = SegmentState.WAITING


class ChainRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chain as it stands with its job: what it needs, and what was decided so far."""

    name: str
    parts: tuple[ChainPart, ...]
    base: tuple[str, ...] = ()
    """Capabilities that every part needs: that of the job's kind."""
    segments: tuple[Segment, ...] = ()
    turn: int = 0
    """How often it was decided anew after an executor had had a task of it and had lost it."""

    def with_states(self, states: dict[str, SegmentState]) -> ChainRecord:
        """Return the record with the present states of its tasks, by their names."""
        segments = (msgspec.structs.replace(one, state=states.get(one.task, one.state)) for one in self.segments)
        return msgspec.structs.replace(self, segments=tuple(segments))

    @property
    def is_open(self) -> bool:
        """Whether any of it may be decided anew, now or when the executor that has it is lost."""
        return any(segment.state in {SegmentState.WAITING, SegmentState.BEGUN} for segment in self.segments)

    @property
    def waiting(self) -> dict[str, Segment]:
        """The segments that may be decided anew, by their tasks."""
        return {segment.task: segment for segment in self.segments if segment.state is SegmentState.WAITING}


@dataclass(frozen=True)
class FleetFacts:
    """What decisions about chains go by: data, so that a decision is a function of it."""

    signatures: tuple[Signature, ...] = ()
    """Of the pools that exist."""
    catalogue: Catalogue = field(default_factory=Catalogue)
    version: int = 0
    """Of the pool set that they were read from."""
    _known: dict[tuple[Any, ...], Cover | None] = field(default_factory=dict[tuple[Any, ...], Any], compare=False)

    @cached_property
    def offers(self) -> tuple[tuple[frozenset[str], int], ...]:
        """Capabilities and slots of the signatures, as they are looked through."""
        return tuple((frozenset(one.capabilities), one.slots) for one in self.signatures)

    def recall(self, key: tuple[Any, ...], find: Callable[[], Cover | None]) -> Cover | None:
        """Return what is found for a key, looked for once: very many jobs ask the same of very many pools."""
        if key not in self._known:
            self._known[key] = find()
        return self._known[key]


class Cover(msgspec.Struct, frozen=True, order=True):
    """How a pool can run some parts."""

    ranks: tuple[int, ...]
    """For each need which of its alternatives the pool offers, 0 for the best."""
    capabilities: tuple[str, ...]


def slots_of(parts: Iterable[ChainPart]) -> int:
    """Return the slots of a task that runs the parts one after the other."""
    return max(part.slots for part in parts)


def find_cover(parts: Sequence[ChainPart], facts: FleetFacts, *, base: tuple[str, ...]) -> Cover | None:
    """Return how the pool that offers the best of the alternatives would run all the parts; None if no pool can.

    Args:
        base: Capabilities that every task of the job needs.
    """
    slots = slots_of(parts)
    names = tuple(need for part in parts for need in part.needs)

    def look() -> Cover | None:
        needs = [facts.catalogue.resolve(name) for name in names]
        found = (_cover(needs, offered, base) for offered, size in facts.offers if size >= slots)
        return min((cover for cover in found if cover is not None), default=None)

    return facts.recall((names, slots, base), look)


def _cover(needs: Sequence[Alternatives], offered: frozenset[str], base: tuple[str, ...]) -> Cover | None:
    if not offered.issuperset(base):
        return None
    ranks: list[int] = []
    taken: set[str] = set()
    for alternatives in needs:
        rank = next((i for i, wanted in enumerate(alternatives) if offered.issuperset(wanted)), None)
        if rank is None:
            return None
        ranks.append(rank)
        taken.update(alternatives[rank])
    # What was taken and not all that is offered: other pools that offer the same may run it as well.
    return Cover(tuple(ranks), tuple(sorted(taken)))


def lay_out(record: ChainRecord, facts: FleetFacts) -> ChainRecord:
    """Return the record with what has not begun decided by what the fleet has now.

    All that is left goes to one executor where one can do it; step by step otherwise, each as soon as those that it
    needs are done. Where nobody can do one of the modules, what is left waits as one task, and nothing is begun in vain.
    """
    kept = tuple(segment for segment in record.segments if segment.state is not SegmentState.WAITING)
    if any(segment.state is SegmentState.ENDED for segment in kept):
        return record
    taken = {part for segment in kept for part in segment.parts}
    left = [part for part in record.parts if part.name not in taken]
    done = {part for segment in kept if segment.state is SegmentState.DONE for part in segment.parts}
    is_running = any(segment.state is SegmentState.BEGUN for segment in kept)
    standing = _Standing(record.base, frozenset(done), is_running)
    new = _decide(record, left, facts, standing) if left else ()
    return msgspec.structs.replace(record, segments=(*kept, *new))


@dataclass(frozen=True)
class _Standing:
    base: tuple[str, ...]
    done: frozenset[str]
    is_running: bool


def _decide(record: ChainRecord, left: list[ChainPart], facts: FleetFacts, standing: _Standing) -> tuple[Segment, ...]:
    ready = [part for part in left if standing.done.issuperset(part.after)]
    # While a part runs, what needs its result cannot begin, so what is left cannot be one task.
    if not standing.is_running:
        together = find_cover(left, facts, base=standing.base)
        if together:
            return (_segment(record, left, together.capabilities, is_whole=not standing.done),)
    covers = {part.name: find_cover([part], facts, base=standing.base) for part in left}
    if all(covers.values()):
        found = ((part, covers[part.name]) for part in ready)
        return tuple(_segment(record, [part], cover.capabilities, is_whole=False) for part, cover in found if cover)
    if standing.is_running:
        return ()
    return (_segment(record, left, _best(left, facts), is_whole=not standing.done),)


def _best(parts: Sequence[ChainPart], facts: FleetFacts) -> tuple[str, ...]:
    """Return what to wait for where nobody can do it: the best alternative of each need."""
    return tuple(sorted({name for part in parts for need in part.needs for name in facts.catalogue.resolve(need)[0]}))


def _segment(
    record: ChainRecord, parts: Sequence[ChainPart], capabilities: tuple[str, ...], *, is_whole: bool
) -> Segment:
    chain, first = record.name, parts[0].name
    # The name follows from the parts and the turn alone: a decision that is taken again names the same task.
    name = chain if is_whole else f"{chain}_{first}" if len(parts) == 1 else f"{chain}_from_{first}"
    task = f"{name}_{record.turn}" if record.turn else name
    return Segment(task, tuple(part.name for part in parts), capabilities, slots_of(parts))


# --- what is said of it ------------------------------------------------------------------------


class PartLack(msgspec.Struct, frozen=True):
    """Why no pool can run a part."""

    part: str
    missing: tuple[str, ...]
    """What the pool that comes nearest lacks of the best alternative; all of it where there is no pool."""
    slots_short: int = 0
    """Slots that an executor of that pool has too few."""


def find_lack(part: ChainPart, facts: FleetFacts, *, base: tuple[str, ...]) -> PartLack | None:
    """Return what every pool lacks for a part, by the one that comes nearest; None if one can run it."""
    if find_cover([part], facts, base=base):
        return None
    wanted = {*_best([part], facts), *base}
    lacks = [
        PartLack(part.name, tuple(sorted(_missing(part, offered, facts, base))), max(0, part.slots - slots))
        for offered, slots in facts.offers
    ]
    nearest = min(lacks, key=lambda one: (len(one.missing) + (one.slots_short > 0), one.missing), default=None)
    return nearest or PartLack(part.name, tuple(sorted(wanted)))


def _missing(part: ChainPart, offered: frozenset[str], facts: FleetFacts, base: tuple[str, ...]) -> set[str]:
    missing = set(base) - offered
    for need in part.needs:
        # An older version will do as well, so the need is not what is missing where one is offered.
        short = (set(wanted) - offered for wanted in facts.catalogue.resolve(need))
        missing |= min(short, key=len)
    return missing
