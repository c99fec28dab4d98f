"""Which cells the jobs of new idempotency keys go to: agreed on in each key's home cell, many keys at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.cells import home_of_key
from mediafleet.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from mediafleet.store.cell_records import HomeClaim
    from mediafleet.store.cell_store import CellStore

CLAIMS_AT_ONCE = 200
"""About a millisecond of a server's time."""

log = structlog.get_logger(__name__)


class Homes:
    """Speaks to the home cells of keys."""

    def __init__(self, stores: Mapping[str, CellStore]) -> None:
        self._stores = stores

    async def claim(self, claims: Sequence[HomeClaim]) -> list[str]:
        """Return the cell that each key was claimed for first, in order. Raises StoreUnavailable."""
        first: dict[int, str] = {}

        async def claim_there(cell: str, numbers: list[int]) -> None:
            for part in _parts(numbers):
                cells = await self._stores[cell].claim_homes([claims[number] for number in part])
                first.update(zip(part, cells, strict=True))

        await asyncio.gather(*(claim_there(cell, numbers) for cell, numbers in self._by_home(claims).items()))
        return [first[number] for number in range(len(claims))]

    async def leave(self, claims: Sequence[HomeClaim]) -> None:
        """Let go of the claims of a call of which nothing was stored; those that cannot be end by themselves."""

        async def leave_there(cell: str, numbers: list[int]) -> None:
            for part in _parts(numbers):
                await self._stores[cell].leave_homes([claims[number] for number in part])

        try:
            await asyncio.gather(*(leave_there(cell, numbers) for cell, numbers in self._by_home(claims).items()))
        except StoreUnavailable as error:
            log.warning("keys of a call that was refused keep their cells for a while", reason=error.message)

    def _by_home(self, claims: Sequence[HomeClaim]) -> dict[str, list[int]]:
        cells = list(self._stores)
        found: dict[str, list[int]] = defaultdict(list)
        for number, claim in enumerate(claims):
            found[home_of_key(claim.tenant, claim.key, cells)].append(number)
        return found


def _parts(numbers: Sequence[int]) -> list[Sequence[int]]:
    return [numbers[start : start + CLAIMS_AT_ONCE] for start in range(0, len(numbers), CLAIMS_AT_ONCE)]
