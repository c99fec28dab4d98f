"""Artifacts of this instance: their records in the store, their bytes in the blob store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import structlog

from mediafleet.artifacts.fingerprint import fingerprint, parse_input_uri, uri_of_path
from mediafleet.artifacts.roots import FileRoots
from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState, Fingerprint
from mediafleet.domain.errors import (
    Conflict,
    ErrorInfo,
    InputError,
    InvalidRequest,
    NotFound,
    UploadMismatch,
)
from mediafleet.domain.ids import is_id, new_artifact_id
from mediafleet.domain.job import DEFAULT_TENANT
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from mediafleet.artifacts.blobs import BlobStore
    from mediafleet.domain.clock import Clock
    from mediafleet.ops.settings import ArtifactSettings
    from mediafleet.scheduler.facade import UploadAnnouncement
    from mediafleet.scheduler.retention import Retention
    from mediafleet.store import Store

MAX_NAME_BYTES = 255
ABORTED = ErrorInfo("upload-aborted", "The upload of an input broke off; upload the file again.", retryable=True)

log = structlog.get_logger(__name__)


def safe_name(name: str) -> str:
    """Return a file name that is only a name. Raises InvalidRequest."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name or len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidRequest("The name of an artifact is a file name of 1 to 255 bytes, without a path.")
    return name


class StoredArtifact:
    """A complete artifact whose bytes this instance can read."""

    def __init__(self, ref: ArtifactRef, size: int, blobs: BlobStore, blob: str) -> None:
        self.ref = ref
        self.size = size
        self._blobs = blobs
        self._blob = blob

    def read(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Stream a range in pieces of bounded size."""
        return self._blobs.stream(self._blob, start=start, length=length)


class FileArtifact:
    """A file used in place, streamed to a node that cannot see it."""

    def __init__(self, ref: ArtifactRef, path: Path, roots: FileRoots) -> None:
        self.ref = ref
        self.size = ref.size
        self._path = path
        self._roots = roots

    def read(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Stream a range in pieces of bounded size."""
        # `Uploads.open` made sure that there is a fingerprint.
        proof = cast("Fingerprint", self.ref.fingerprint)
        return self._roots.read(self._path, proof, start=start, length=length)


class Uploads:
    """Opens, receives, reads and drops artifacts."""

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        clock: Clock,
        settings: ArtifactSettings,
        *,
        retention: Retention,
        keep_ms: int,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self._roots = FileRoots(settings.file_roots)
        self._retention = retention
        self._keep_ms = keep_ms
        self._receiving: set[str] = set()

    async def announce(self, announcement: UploadAnnouncement, *, principal: str) -> Artifact:
        """Open an upload. Raises InvalidRequest."""
        if not 0 <= announcement.size <= self._settings.max_upload_bytes:
            raise InvalidRequest(
                f"An upload has 0 to {self._settings.max_upload_bytes} bytes; {announcement.size} were announced."
            )
        artifact_id = new_artifact_id(self._store.keys.cell)
        artifact = Artifact(
            ref=ArtifactRef(
                artifact_id, safe_name(announcement.name), size=announcement.size, sha256=announcement.sha256
            ),
            state=ArtifactState.OPEN,
            cell=self._store.keys.cell,
            tenant=DEFAULT_TENANT,
            principal=principal,
            created_ms=self._clock.now_ms(),
            blob=artifact_id,
            grant=announcement.grant,
        )
        await self._record(artifact)
        return artifact

    async def _record(self, artifact: Artifact) -> None:
        await self._store.open_artifact(
            artifact.ref.id, doc=as_text(artifact), state=artifact.state, retention_ms=self._keep_ms
        )

    async def receive(
        self, artifact_id: str, *, offset: int, length: int, chunks: AsyncIterator[bytes]
    ) -> tuple[ArtifactRef, list[str]]:
        """Take all bytes of an upload; return its reference and the queues that got work by it.

        On any fault, a cancel included, the upload and its record are removed.

        Raises:
            NotFound: No such upload is open.
            UploadMismatch: Offset, length or hash differ from what was announced.
            Conflict: Another request is sending the same upload.
        """
        # Whatever is refused before the first byte leaves the upload as it was, so that the sender may try again.
        artifact = await self._open_upload(artifact_id)
        if offset != 0 or length != artifact.ref.size:
            raise UploadMismatch(
                f"The upload {artifact_id} takes {artifact.ref.size} bytes from offset 0; "
                f"{length} from offset {offset} were offered. Nothing was stored; send it whole."
            )
        # No await stands between this look and the entry, so of two senders exactly one comes through.
        if artifact_id in self._receiving:
            raise Conflict(f"The upload {artifact_id} is already being received; wait for it, or announce another.")
        self._receiving.add(artifact_id)
        try:
            return await self._store_bytes(artifact, chunks)
        except BaseException as error:
            log.info("upload broke off", artifact=artifact_id, reason=str(error) or type(error).__name__)
            # Also when the sender goes away or the instance stops: half an upload is worth nothing.
            await self._retention.drop_artifact(artifact_id, error=ABORTED, unused=False)
            raise
        finally:
            self._receiving.discard(artifact_id)

    async def _open_upload(self, artifact_id: str) -> Artifact:
        artifact = await self._find(artifact_id)
        if artifact.state is not ArtifactState.OPEN:
            raise Conflict(f"The upload {artifact_id} is complete already; announce another one.")
        return artifact

    async def _store_bytes(self, artifact: Artifact, chunks: AsyncIterator[bytes]) -> tuple[ArtifactRef, list[str]]:
        # Bytes before the record: what says that it is complete is never without them, whenever the instance dies.
        sha256 = await self._blobs.put(artifact.blob, chunks, size=artifact.ref.size, sha256=artifact.ref.sha256)
        path = self._blobs.local_path(artifact.blob)
        proof = await fingerprint(path)
        # Readers that see the same file may use it in place, like any other.
        ref = msgspec.structs.replace(artifact.ref, sha256=sha256, uri=uri_of_path(path), fingerprint=proof)
        done = msgspec.structs.replace(artifact, ref=ref, state=ArtifactState.COMPLETE)
        completed = await self._store.complete_artifact(ref.id, doc=as_text(done))
        if not completed.completed:
            # Whoever removed the record found no bytes yet; nobody else knows of them.
            await self._blobs.delete(artifact.blob)
            raise NotFound(f"The upload {ref.id} was given up meanwhile; upload the file again.")
        return ref, completed.queues

    async def open(self, artifact_id: str) -> StoredArtifact | FileArtifact:
        """Open a complete artifact for reading. Raises NotFound."""
        artifact = await self._find(artifact_id)
        if artifact.state is not ArtifactState.COMPLETE:
            raise NotFound(f"The artifact {artifact_id} is not complete yet.")
        if artifact.blob:
            return StoredArtifact(artifact.ref, artifact.ref.size, self._blobs, artifact.blob)
        path, _ = parse_input_uri(artifact.ref.uri)
        # A job may wait for days; bytes of another file under the same name would be worse than none.
        try:
            found = await self._fingerprint(path)
        except InputError as error:
            raise NotFound(error.message) from error
        if found is None or found != artifact.ref.fingerprint:
            raise NotFound(f"The file {path.name!r} has changed or gone since it was submitted; submit it again.")
        return FileArtifact(artifact.ref, path, self._roots)

    async def discard(self, artifact_id: str) -> None:
        """Remove an upload that no job uses. Raises NotFound, Conflict."""
        await self._find(artifact_id)
        if not await self._retention.drop_artifact(artifact_id, error=ABORTED, unused=True):
            raise Conflict(f"The artifact {artifact_id} belongs to a job; it goes when the job does.")

    async def _find(self, artifact_id: str) -> Artifact:
        artifact = await self._store.read.artifact(artifact_id) if is_id(artifact_id, "a") else None
        if artifact is None:
            raise NotFound(f"There is no artifact {artifact_id!r}; it may have expired.")
        return artifact

    async def resolve_input(self, uri: str, *, principal: str) -> ArtifactRef:
        """Return the reference of a submission's input, recorded as an artifact.

        Raises:
            InputError: The scheme is not supported, or the file cannot be vouched for.
            NotFound: No such artifact.
        """
        if uri.startswith("artifact:"):
            return (await self._find(uri.removeprefix("artifact:"))).ref
        if not uri.startswith("file:"):
            raise InputError(f"{uri[:200]!r} cannot be used as input; give a file:// address or upload the file first.")
        path, claimed = parse_input_uri(uri)
        found = await self._fingerprint(path)
        if found is None or (claimed and claimed != found):
            raise InputError(f"The scheduler cannot see the file {str(path)!r} as given; upload it instead.")
        return await self._adopt(path, found, principal=principal)

    async def _fingerprint(self, path: Path) -> Fingerprint | None:
        try:
            return await self._roots.fingerprint(path)
        except (NotFound, InvalidRequest):
            return None

    async def _adopt(self, path: Path, found: Fingerprint, *, principal: str) -> ArtifactRef:
        ref = ArtifactRef(
            new_artifact_id(self._store.keys.cell),
            # A name that is no UTF-8 cannot be written as JSON; it is shown with '?', the address keeps its bytes.
            path.name.encode("utf-8", "replace").decode(),
            uri=uri_of_path(path),
            size=found.size,
            fingerprint=found,
        )
        artifact = Artifact(
            ref=ref,
            state=ArtifactState.COMPLETE,
            cell=self._store.keys.cell,
            tenant=DEFAULT_TENANT,
            principal=principal,
            created_ms=self._clock.now_ms(),
        )
        await self._record(artifact)
        return ref
