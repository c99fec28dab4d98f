"""Lets finished jobs and unused artifacts go, bytes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.errors import ErrorInfo
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from mediafleet.artifacts.blobs import BlobStore
    from mediafleet.domain.artifact import Artifact
    from mediafleet.store import Store

GONE = ErrorInfo("upload-expired", "The upload was not completed in time; upload the file again.")

log = structlog.get_logger(__name__)


class Retention:
    """Removes what the reaper names. The store names it again later if this is interrupted."""

    def __init__(self, store: Store, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs

    async def let_go(self, jobs: Sequence[str], artifacts: Sequence[str]) -> None:
        """Remove jobs past their retention, and artifacts that nobody uses."""
        for job_id in jobs:
            await self.forget_job(job_id)
        for artifact_id in artifacts:
            await self.drop_artifact(artifact_id, error=GONE, unused=True)

    async def forget_job(self, job_id: str) -> None:
        """Remove a finished job's records; its artifacts follow at the next tick."""
        # The document goes with the last piece, so the inputs have to be known before the first.
        job = await self._store.read.job_document(job_id)
        inputs = [ref.id for ref in job.inputs] if job else []
        while not await self._store.forget(job_id, inputs=inputs):
            pass

    async def drop_artifact(self, artifact_id: str, *, error: ErrorInfo, unused: bool) -> bool:
        """Remove an artifact; False if `unused` is asked for and a job uses it.

        The record goes first where a job might still take the artifact up; bytes without a record are
        swept later (`Sweeper`).
        """
        # Read first: only the record says where the bytes are.
        artifact = await self._store.read.artifact(artifact_id)
        dropped = await self._store.drop_artifact(artifact_id, error=as_text(error), unused=unused)
        if dropped and artifact and artifact.blob:
            await self._blobs.delete(artifact.blob)
        return dropped

    async def drop_upload(self, artifact: Artifact) -> None:
        """Remove an upload that is not complete and that no job waits for any more."""
        if await self._store.drop_upload(artifact.ref.id):
            await self._blobs.delete(artifact.blob)
