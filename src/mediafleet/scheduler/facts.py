"""What decisions about chains go by, and the decisions that were taken on it so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mediafleet.domain.catalogue import EMPTY, Catalogue
from mediafleet.domain.layout import FleetFacts

if TYPE_CHECKING:
    from mediafleet.store import Store


class FactSource:
    """The fleet's facts; the pools are read again only when their version has moved."""

    def __init__(self, store: Store, catalogue: Callable[[], Catalogue] = lambda: EMPTY) -> None:
        self._store = store
        self._catalogue = catalogue
        self._version = -1
        self._facts = FleetFacts()

    async def now(self) -> FleetFacts:
        """Return the facts; the same object while nothing has changed. Raises StoreUnavailable."""
        catalogue = self._catalogue()
        if await self._store.read.pools_version() != self._version:
            self._version, pools = await self._store.read.pool_set()
            # In an order of its own: what is decided must not depend on that of a hash.
            signatures = tuple(pools[name] for name in sorted(pools))
            self._facts = FleetFacts(signatures, catalogue, self._version)
        elif catalogue is not self._facts.catalogue:
            self._facts = FleetFacts(self._facts.signatures, catalogue, self._version)
        return self._facts
