"""Removes bytes that nobody knows of: what a kill left between a record and its bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.artifact import ArtifactState
from mediafleet.domain.errors import StoreUnavailable, Unavailable
from mediafleet.domain.ids import cell_of, is_id

if TYPE_CHECKING:
    from mediafleet.artifacts.blobs import BlobStore
    from mediafleet.domain.clock import Clock
    from mediafleet.store import Store

EVERY_S = 6 * 3600.0
"""A sweep reads the name of each blob, and only kills leave anything to find."""

log = structlog.get_logger(__name__)


class Sweeper:
    """Sweeps at start and a few times a day; any number of instances on one folder may do so at once."""

    def __init__(self, store: Store, blobs: BlobStore, clock: Clock, *, keep_ms: int) -> None:
        """Take the parts.

        Args:
            keep_ms: Age below which bytes are left alone, milliseconds.
        """
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._keep_ms = keep_ms

    async def step(self) -> None:
        """Sweep, and wait until the next sweep is due. Raises StoreUnavailable."""
        try:
            await self.sweep()
        except StoreUnavailable:
            raise
        except Unavailable as error:
            # A folder that cannot be walked now cannot be walked a second later either.
            log.warning("the artifacts could not be swept", reason=error.message)
        await asyncio.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Remove what is left over, and return how many blobs that were. Raises StoreUnavailable, Unavailable."""
        if not await self._blobs.belongs_to(await self._store.identity()):
            # Records of the folder's own store are not here to say what is in use: all would look unused.
            log.warning("the artifacts belong to another store, or to one that was lost; nothing of them is swept")
            return 0
        # Old ones only: a record and its bytes do not come and go in the same moment.
        before_ms = self._clock.now_ms() - self._keep_ms
        removed = 0
        for key in await self._blobs.list_staged(before_ms=before_ms):
            if self._is_ours(key) and not await self._is_open(key):
                await self._blobs.discard_staged(key)
                removed += 1
        async for key in self._blobs.list_keys(before_ms=before_ms):
            if self._is_ours(key) and await self._store.read.artifact(key) is None:
                await self._blobs.delete(key)
                removed += 1
        if removed:
            log.info("removed bytes without a record", blobs=removed)
        return removed

    def _is_ours(self, key: str) -> bool:
        # A folder may hold several cells, and what is not ours is not ours to judge.
        return is_id(key, "a") and cell_of(key) == self._store.keys.cell

    async def _is_open(self, key: str) -> bool:
        artifact = await self._store.read.artifact(key)
        return artifact is not None and artifact.state is ArtifactState.OPEN
