"""Which cell a submission goes to: that of its idempotency key's first job, else the less loaded of two that match."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import Requirement
from mediafleet.domain.cells import CellLoad, Group, choose_cell, group_by_waits, matches
from mediafleet.domain.errors import InputError, MediafleetError
from mediafleet.domain.job import Job
from mediafleet.domain.plan import Expand
from mediafleet.scheduler.accept import BREATH, first_step
from mediafleet.scheduler.homes import Homes
from mediafleet.scheduler.tasks import requirement_of
from mediafleet.store.cell_records import HomeClaim

if TYPE_CHECKING:
    from mediafleet.domain.job import Submission
    from mediafleet.kinds import KindRegistry
    from mediafleet.store.cell_store import CellStore

LOOK_EVERY_S = 2.0
"""How often loads are read; in between, an instance counts what it has handed out itself."""


def wishes_of(submission: Submission, kinds: KindRegistry) -> frozenset[Requirement]:
    """Return what the first tasks of a submission would need; nothing where that cannot be said.

    Its inputs are not looked at and nothing is refused: the cell that gets it does both.
    """
    try:
        kind = kinds.get(submission.kind)
        job = Job(
            id="j0-draft",
            cell="0",
            tenant=submission.tenant,
            principal="",
            kind=kind.name,
            kind_version=kind.version,
            name=submission.name,
            inputs=tuple(ArtifactRef("", uri.rpartition("/")[2], uri) for uri in submission.input_uris),
            params=kinds.check_params(kind.name, submission.params),
            priority=submission.priority,
            created_ms=0,
        )
        step = first_step(kind, job)
        tasks = step.tasks if isinstance(step, Expand) else ()
        return frozenset(requirement_of(task, kind) for task in tasks)
    except MediafleetError:
        return frozenset()


class Choice(NamedTuple):
    """Where the submissions of a call go."""

    cells: list[str]
    claims: list[HomeClaim]
    """What was claimed for new idempotency keys."""


class CellChooser:
    """Knows the loads of all cells, and chooses by them."""

    def __init__(self, stores: Mapping[str, CellStore], kinds: KindRegistry) -> None:
        self._stores = stores
        self._kinds = kinds
        self._homes = Homes(stores)
        self._loads = {cell: CellLoad(cell) for cell in stores}

    async def step(self) -> None:
        """Look at the loads, and wait. Raises StoreUnavailable."""
        await self.look()
        await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Read the load of each cell; one that is away keeps what it had. Raises StoreUnavailable."""
        await asyncio.gather(*map(self._look_at, self._stores.values()))

    async def _look_at(self, store: CellStore) -> None:
        _, signatures = await store.read.pool_set()
        tasks, members = await store.read.load()
        pools = {name: signature for name, signature in signatures.items() if members.get(name)}
        slots = sum(signature.slots * members[name] for name, signature in pools.items())
        self._loads[store.keys.cell] = CellLoad(store.keys.cell, tuple(pools.values()), slots, tasks)

    async def choose(self, submissions: Sequence[Submission]) -> Choice:
        """Choose a cell for each; the same for all that no key has bound, wherever one can do all of them.

        Raises:
            StoreUnavailable: A cell does not say what it has.
            InputError: One waits for jobs of different cells.
        """
        wishes: dict[int, frozenset[Requirement]] = {}
        for number, one in enumerate(submissions):
            wishes[number] = wishes_of(one, self._kinds)
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        if not all(self._is_known(wish) for wish in wishes.values()):
            # Nodes may have come since: a job in a cell without any for it would wait for as long as that has none.
            await self.look()
        # One cell for the whole call: what one script accepts, it accepts as a whole.
        together = frozenset[Requirement]().union(*wishes.values())
        if self._is_known(together):
            chosen = dict.fromkeys(wishes, self._draw(together))
        else:
            chosen = {number: self._draw(wish) for number, wish in wishes.items()}
        known = await self._find_known(submissions)
        chosen |= known
        groups = group_by_waits([one.after for one in submissions], known)
        for group in {id(group): group for group in groups}.values():
            self._settle(group, chosen, known)
        new = [number for number, one in enumerate(submissions) if one.idempotency_key and number not in known]
        claims = await self._claim_homes(submissions, groups, chosen, new)
        for number, cell in chosen.items():
            self._count(cell, len(wishes[number]) or 1)
        return Choice([chosen[number] for number in wishes], claims)

    async def give_up(self, choice: Choice) -> None:
        """Let go of what was chosen for a call of which nothing was stored: sent again, it may go elsewhere."""
        await self._homes.leave(choice.claims)

    def _is_known(self, wishes: frozenset[Requirement]) -> bool:
        return any(matches(load, wishes) for load in self._loads.values())

    def _draw(self, wishes: frozenset[Requirement]) -> str:
        draws = (random.random(), random.random())  # noqa: S311 - a policy, no secret
        return choose_cell(list(self._loads.values()), wishes, draws)

    def _count(self, cell: str, tasks: int) -> None:
        load = self._loads[cell]
        self._loads[cell] = CellLoad(cell, load.pools, load.slots, load.tasks + tasks)

    def _settle(self, group: Group, chosen: dict[int, str], known: Mapping[int, str]) -> None:
        """Send all of a group to the cell of what it waits for, or where its first goes. Raises InputError."""
        # Of a cell that the fleet does not have there is no job: whichever cell gets it says so.
        cells = sorted(group.cells & self._stores.keys())
        if len(cells) > 1:
            raise _apart(cells)
        group.is_settled = bool(cells)
        cell = cells[0] if cells else chosen[min(group.members)]
        chosen |= {number: cell for number in group.members if number not in known}

    async def _find_known(self, submissions: Sequence[Submission]) -> dict[int, str]:
        """Return where the jobs are whose idempotency keys are known."""
        keyed = [number for number, one in enumerate(submissions) if one.idempotency_key]
        if not keyed:
            return {}
        keys = [(submissions[number].tenant, submissions[number].idempotency_key) for number in keyed]
        answers = await asyncio.gather(*(store.read.keyed_jobs(keys) for store in self._stores.values()))
        return {
            number: cell
            for cell, has in zip(self._stores, answers, strict=True)
            for number, there in zip(keyed, has, strict=True)
            if there
        }

    async def _claim_homes(
        self, submissions: Sequence[Submission], groups: Sequence[Group], chosen: dict[int, str], new: Sequence[int]
    ) -> list[HomeClaim]:
        """Agree on where the jobs of new idempotency keys go; return what was claimed. Raises InputError."""
        # Two instances may get the same new key at once: its home cell knows which choice was first. Whoever was too
        # late to see the job goes where that one goes, and its script finds the key. The first key of a group says
        # where all of it goes; only then its others can be claimed.
        firsts = {id(groups[number]): number for number in reversed(new)}
        leading = sorted(firsts.values())
        rest = [number for number in new if firsts[id(groups[number])] != number]
        made: list[HomeClaim] = []
        for numbers in filter(None, (leading, rest)):
            claims = [
                HomeClaim(submissions[number].tenant, submissions[number].idempotency_key, chosen[number])
                for number in numbers
            ]
            cells = await self._homes.claim(claims)
            made += claims
            try:
                for number, cell in zip(numbers, cells, strict=True):
                    _go_along(groups[number], chosen, number, cell)
            except InputError:
                await self._homes.leave(made)
                raise
        return made


def _go_along(group: Group, chosen: dict[int, str], number: int, cell: str) -> None:
    """Send a group to the cell of the first job of a key. Raises InputError if it cannot go there."""
    if cell != chosen[number]:
        if (group.is_settled and len(group.members) > 1) or group.cells:
            raise _apart(sorted({cell, chosen[number]}))
        chosen |= dict.fromkeys(group.members, cell)
    group.is_settled = True


def _apart(cells: Sequence[str]) -> InputError:
    return InputError(
        f"The jobs that it is to wait for are in different cells ({', '.join(cells)}) than each other or than the first job "
        "of its idempotency key; a job can wait only for jobs of its own cell. Name others, or leave after out."
    )
