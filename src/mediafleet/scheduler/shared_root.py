"""All instances of a cell must see the same artifacts: each proves it before it joins, or does not start.

An upload may come to one instance and be read through another, a node may publish to any of them, and retention removes
bytes wherever it runs. With roots of their own that would be lost files, found out one download at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from mediafleet.domain.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from mediafleet.artifacts.blobs import BlobStore
    from mediafleet.store import Store

LOOK_AGAIN_S = 0.1
PATIENCE_MS = 2_000
"""Beyond the presence of an instance that may have died a moment ago: what a shared folder may need to show a new file."""


@asynccontextmanager
async def shared_root(store: Store, blobs: BlobStore, instance: str, *, presence_ms: int) -> AsyncGenerator[None]:
    """Prove that this instance sees the artifacts of all that live, and let others prove it while the block runs.

    Args:
        presence_ms: How long an instance that says nothing counts as living.

    Raises:
        ConfigError: Another instance lives whose artifact root is not this one's.
        Unavailable: The root cannot be written to, or the store is away.
    """
    mark = await blobs.marks.leave(instance)
    try:
        await _prove(store, blobs, instance, mark=mark, presence_ms=presence_ms)
        yield
    finally:
        with suppress(StoreUnavailable):
            await store.leave_root(instance)
        await blobs.marks.remove([instance])


async def _prove(store: Store, blobs: BlobStore, instance: str, *, mark: str, presence_ms: int) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + (presence_ms + PATIENCE_MS) / 1000
    while True:
        # Asked anew each time: one that does not see our root may have ended meanwhile, and it is we who count then.
        claimed = await store.claim_root(instance, mark=mark, ttl_ms=presence_ms)
        # Left by a kill. Only those that the store of this cell knew: the folder may hold several cells.
        await blobs.marks.remove(claimed.gone)
        unseen = [root.instance for root in claimed.others if not await blobs.marks.sees(root.instance, root.mark)]
        if not unseen:
            return
        if loop.time() >= until:
            raise ConfigError(
                f"The instance {unseen[0]} runs on this store and keeps its artifacts elsewhere: its mark is not in "
                f"{blobs.root}. Several instances need one artifacts.root that all of them see, on a shared file system "
                "or in an object store; set it to the same everywhere, or stop the other instance."
            )
        await asyncio.sleep(LOOK_AGAIN_S)
