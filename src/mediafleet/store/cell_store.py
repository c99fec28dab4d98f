"""One cell of several: a store that shares artifacts with its neighbours (docs/decisions/0017).

An artifact is recorded in the cell that its id names. A job of another cell that uses it has a copy of the record in
its own cell, made before it is submitted, because scripts see one cell only. Records come and go one by one; the bytes
go with the last of them (`has_any`), and what happens to an upload happens to all its records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mediafleet.domain.artifact import Artifact, ArtifactState
from mediafleet.domain.errors import ConfigError
from mediafleet.domain.ids import cell_of
from mediafleet.store import cell_records, records
from mediafleet.store.connection import translate_errors
from mediafleet.store.job_lists import read_page
from mediafleet.store.reader import Reader
from mediafleet.store.scripts import as_text
from mediafleet.store.store import Store

if TYPE_CHECKING:
    from mediafleet.domain.lifecycle import JobStatus


class CellReader(Reader):
    """Reads of one cell; artifacts are found wherever they are."""

    neighbours: Sequence[CellReader] = ()
    """All other cells."""

    async def artifacts(self, artifact_ids: Sequence[str]) -> dict[str, Artifact]:
        """Return the records of those of the artifacts that there are, by id."""
        found = await super().artifacts(artifact_ids)
        for neighbour in self.neighbours:
            missing = [name for name in artifact_ids if name not in found]
            if not missing:
                break
            found |= await neighbour.own_artifacts(missing)
        return found

    async def own_artifacts(self, artifact_ids: Sequence[str]) -> dict[str, Artifact]:
        """Return those that this cell has records of."""
        return await super().artifacts(artifact_ids)

    async def has_job_with(self, artifact_id: str) -> bool:
        """Tell whether a job of this cell uses the artifact."""
        with translate_errors():
            return bool(await self._redis.exists(f"{self._keys.artifact(artifact_id)}:jobs"))

    async def job_index(self, *, status: JobStatus | None, kind: str, limit: int) -> tuple[list[tuple[int, str]], int]:
        """Return the newest jobs (time of creation, id), newest first, and how many there are in all."""
        return await read_page(self._redis, self._keys, status=status, kind=kind, offset=0, limit=limit)

    async def load(self) -> tuple[int, dict[str, int]]:
        """Return how many tasks are not final, and how many executors may be used, by pool."""
        _, pools = await self.pool_set()
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hget(self._keys.open, "all")
            for pool in pools:
                pipeline.zcard(self._keys.pool_members(pool))
            tasks, *members = await pipeline.execute()
        return int(tasks or 0), dict(zip(pools, map(int, members), strict=True))


class CellStore(Store):
    """One cell among others. Make all, then let them `meet`."""

    read: CellReader

    def __init__(self, *arguments: Any, keep_ms: int, **options: Any) -> None:
        """Prepare the scripts, as a `Store` does.

        Args:
            keep_ms: How long a copy of an artifact's record is kept that no job uses, milliseconds.
        """
        super().__init__(*arguments, **options)
        self.read = CellReader(self.redis, self.keys)
        self.on_released: Callable[[Sequence[str]], None] = lambda _: None
        """Told of queues that got tasks through what a neighbour did."""
        self._keep_ms = keep_ms
        self._neighbours: Sequence[CellStore] = ()
        self._first: Store = self

    def meet(self, stores: Sequence[CellStore]) -> None:
        """Learn which cells the fleet has, this one among them."""
        self._first = stores[0]
        self._neighbours = [other for other in stores if other is not self]
        self.read.neighbours = [other.read for other in self._neighbours]

    async def identity(self) -> str:
        """Return the random name of the whole fleet's store."""
        return await (super().identity() if self._first is self else self._first.identity())

    # --- submissions -----------------------------------------------------------------------

    async def submit(
        self,
        jobs: Sequence[records.JobRecord],
        queues: dict[str, str],
        bounds: cell_records.Bounds | None = None,
        coming: cell_records.Coming | None = None,
    ) -> records.Submitted:
        """Accept jobs; artifacts of other cells that they name are borrowed before."""
        inputs = {name for job in jobs for name in job.inputs}
        for name in sorted(inputs):
            if cell_of(name) != self.keys.cell:
                await self._borrow(name)
        submitted = await super().submit(jobs, queues, bounds, coming)
        # One of this cell may be left in another one only; one that was borrowed may have gone again.
        for _ in inputs:
            if not submitted.missing or not await self._borrow(submitted.missing):
                break
            submitted = await super().submit(jobs, queues, bounds, coming)
        return submitted

    # --- artifacts -------------------------------------------------------------------------

    async def _borrow(self, artifact: str) -> bool:
        """Have a record of an artifact that another cell has; False if none has one."""
        known = await self._elsewhere(artifact)
        if known is None:
            return False
        await self.borrow_artifact(artifact, doc=as_text(known), state=known.state, retention_ms=self._keep_ms)
        # Looked at again, now that whoever lets it go or completes it finds our record: what happened in between was
        # done to theirs alone.
        known = await self._elsewhere(artifact)
        if known is None:
            # Unless a job has taken it up meanwhile, which then keeps the bytes. Else they are swept, if they are left.
            return not await super().drop_artifact(artifact, error="{}", unused=True)
        if known.state is ArtifactState.COMPLETE:
            await self.complete_here(artifact, as_text(known))
        return True

    async def _elsewhere(self, artifact: str) -> Artifact | None:
        """Return what the other cells know of an artifact: that it is complete, if any of them knows so."""
        found = await asyncio.gather(*(other.read.own_artifacts([artifact]) for other in self._neighbours))
        known = [records_of[artifact] for records_of in found if artifact in records_of]
        return next((one for one in known if one.state is ArtifactState.COMPLETE), next(iter(known), None))

    async def complete_here(self, artifact: str, doc: str) -> records.Completed:
        """Note in this cell only that all bytes are there."""
        completed = await super().complete_artifact(artifact, doc=doc)
        self.on_released(completed.queues)
        return completed

    async def complete_artifact(self, artifact: str, *, doc: str) -> records.Completed:
        """Note in every cell that all bytes are there."""
        # The others first, so that an instance which dies in between leaves an upload that its sender finds open, and
        # sends the end of again; and afterwards once more, for who borrowed it in between.
        before = [await other.complete_here(artifact, doc) for other in self._neighbours]
        own = await super().complete_artifact(artifact, doc=doc)
        after = [await other.complete_here(artifact, doc) for other in self._neighbours]
        completed = any(answer.completed for answer in (own, *before, *after))
        return records.Completed(completed=completed, queues=own.queues)

    async def prolong_artifact(self, artifact: str, *, retention_ms: int) -> bool:
        """Put off the end of an upload in every cell; False if it is open in none."""
        opened = [await super().prolong_artifact(artifact, retention_ms=retention_ms)]
        opened += [await Store.prolong_artifact(o, artifact, retention_ms=retention_ms) for o in self._neighbours]
        return any(opened)

    async def drop_upload(self, artifact: str) -> bool:
        """Remove the record of an upload that is not complete; in other cells, too, unless a job waits for it there."""
        dropped = await super().drop_upload(artifact)
        if dropped:
            for other in self._neighbours:
                await Store.drop_upload(other, artifact)
        return dropped

    async def drop_artifact(self, artifact: str, *, error: str, unused: bool) -> bool:
        """Remove an artifact's record; that of an upload which nobody goes on with in every cell."""
        own = (await self.read.own_artifacts([artifact])).get(artifact)
        is_open = own is not None and own.state is ArtifactState.OPEN
        if is_open and (known := await self._elsewhere(artifact)) and known.state is ArtifactState.COMPLETE:
            # An instance died before it could tell this cell.
            await self.complete_here(artifact, as_text(known))
            return False
        dropped = await super().drop_artifact(artifact, error=error, unused=unused)
        if dropped and is_open:
            for other in self._neighbours:
                await Store.drop_artifact(other, artifact, error=error, unused=unused)
        return dropped


async def check_cells(stores: Sequence[Store]) -> None:
    """Store the number of cells in an empty store; refuse one that was begun with another number.

    Call it before `check_schema`, which ends the emptiness.

    Raises:
        ConfigError: The number differs.
    """
    for store in stores:
        with translate_errors():
            client: Any = store.redis
            # Stores of versions that knew one cell only do not say so.
            begun = await client.hexists(store.keys.schema, "version")
            await client.hsetnx(store.keys.schema, "cells", "1" if begun else str(len(stores)))
        count = await store.read.schema_field("cells")
        if count != len(stores):
            raise ConfigError(
                f"The store was begun with {count} cell(s), not {len(stores)}: jobs, nodes and keys would not be found "
                f"again. Start with store.cells = {count}; to have another number, let all work end and begin anew "
                "under another store.prefix."
            )
