"""Which cell a submission goes to: that of its idempotency key's first job, else the less loaded of two that match."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import Requirement
from mediafleet.domain.cells import CellLoad, choose_cell, home_of_key, matches
from mediafleet.domain.errors import MediafleetError
from mediafleet.domain.job import Job
from mediafleet.domain.plan import Expand
from mediafleet.scheduler.accept import first_step
from mediafleet.scheduler.tasks import requirement_of

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


class CellChooser:
    """Knows the loads of all cells, and chooses by them."""

    def __init__(self, stores: Mapping[str, CellStore], kinds: KindRegistry) -> None:
        self._stores = stores
        self._kinds = kinds
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

    async def choose(self, submissions: Sequence[Submission]) -> list[str]:
        """Return a cell for each; the same for all that no key has bound, wherever one can do all of them.

        Raises:
            StoreUnavailable: A cell does not say what it has.
        """
        wishes = {number: wishes_of(one, self._kinds) for number, one in enumerate(submissions)}
        if not all(self._is_known(wish) for wish in wishes.values()):
            # Nodes may have come since: a job in a cell without any for it would wait for as long as that has none.
            await self.look()
        # One cell for the whole call: what one script accepts, it accepts as a whole.
        together = frozenset[Requirement]().union(*wishes.values())
        if self._is_known(together):
            chosen = dict.fromkeys(wishes, self._draw(together))
        else:
            chosen = {number: self._draw(wish) for number, wish in wishes.items()}
        keyed = [number for number, one in enumerate(submissions) if one.idempotency_key]
        chosen |= await self._find_homes({number: submissions[number] for number in keyed}, chosen)
        for number, cell in chosen.items():
            self._count(cell, len(wishes[number]) or 1)
        return [chosen[number] for number in wishes]

    def _is_known(self, wishes: frozenset[Requirement]) -> bool:
        return any(matches(load, wishes) for load in self._loads.values())

    def _draw(self, wishes: frozenset[Requirement]) -> str:
        draws = (random.random(), random.random())  # noqa: S311 - a policy, no secret
        return choose_cell(list(self._loads.values()), wishes, draws)

    def _count(self, cell: str, tasks: int) -> None:
        load = self._loads[cell]
        self._loads[cell] = CellLoad(cell, load.pools, load.slots, load.tasks + tasks)

    async def _find_homes(self, keyed: Mapping[int, Submission], chosen: Mapping[int, str]) -> dict[int, str]:
        """Return where the jobs of idempotency keys are, or go now if they are new."""
        if not keyed:
            return {}
        keys = [(one.tenant, one.idempotency_key) for one in keyed.values()]
        answers = await asyncio.gather(*(store.read.keyed_jobs(keys) for store in self._stores.values()))
        homes = {
            number: cell
            for cell, has in zip(self._stores, answers, strict=True)
            for number, there in zip(keyed, has, strict=True)
            if there
        }
        # Two instances may get the same new key at once: its home cell knows which choice was first. Whoever was too
        # late to see the job goes where that one goes, and its script finds the key.
        for number, one in keyed.items():
            if number not in homes:
                home = self._stores[home_of_key(one.tenant, one.idempotency_key, list(self._stores))]
                homes[number] = await home.claim_home(one.tenant, one.idempotency_key, chosen[number])
        return homes
