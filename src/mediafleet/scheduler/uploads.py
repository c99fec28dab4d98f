"""Artifacts of this instance: their records in the store, their bytes in the blob store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import structlog

from mediafleet.artifacts.buckets import is_object_address
from mediafleet.artifacts.fingerprint import parse_input_uri, uri_of_path
from mediafleet.artifacts.roots import FileRoots
from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState, Fingerprint, Location
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
from mediafleet.scheduler.facade import OpenUpload
from mediafleet.scheduler.object_inputs import ObjectArtifact, ObjectInputs
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from mediafleet.artifacts.blobs import BlobStore
    from mediafleet.artifacts.staging import StagedBlob
    from mediafleet.domain.clock import Clock
    from mediafleet.ops.settings import ArtifactSettings
    from mediafleet.scheduler.facade import UploadAnnouncement
    from mediafleet.scheduler.retention import Retention
    from mediafleet.store import Store

MAX_NAME_BYTES = 255
SILENCE_S = 20.0
"""A sender that brings nothing for so long has gone; well below what it takes to leave a writer behind."""
ABORTED = ErrorInfo("upload-aborted", "The upload of an input was given up; upload the file again.", retryable=True)

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


@dataclass(frozen=True)
class _Part:
    """What one request brings of an upload."""

    artifact: Artifact
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length

    def check(self, arrived: int) -> None:
        """Raise UploadMismatch unless it goes on where the bytes that arrived end."""
        if self.offset == arrived and self.end <= self.artifact.ref.size:
            return
        raise UploadMismatch(
            f"The upload {self.artifact.ref.id} has {arrived} of {self.artifact.ref.size} bytes; "
            f"{self.length} from offset {self.offset} were offered. Nothing was stored; go on from offset {arrived}."
        )


def _left(artifact: Artifact, arrived: int) -> OpenUpload:
    return OpenUpload(artifact.ref.id, arrived, artifact.ref.size - arrived)


def _named(artifact_id: str, name: str, uri: str, proof: Fingerprint, version: str) -> ArtifactRef:
    # A name that is no UTF-8 cannot be written as JSON; it is shown with '?', the address keeps its bytes.
    shown = name.encode("utf-8", "replace").decode()
    return ArtifactRef(artifact_id, shown, uri=uri, size=proof.size, fingerprint=proof, version=version)


async def _whole(body: bytes) -> AsyncGenerator[bytes]:
    if body:
        yield body


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
        self._objects = ObjectInputs(settings)
        self._retention = retention
        self._keep_ms = keep_ms

    @property
    def are_direct(self) -> bool:
        """Whether bytes may be written to where artifacts live, past this instance."""
        return self._blobs.bucket is not None

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
        # Bytes before the record here, too: an upload that is known has a place for its bytes.
        await self._blobs.begin(artifact.blob)
        await self._record(artifact)
        return artifact

    async def keep(self, announcement: UploadAnnouncement, body: bytes, *, principal: str) -> ArtifactRef:
        """Store bytes that are here as an artifact; it goes after a while unless a job binds it. Safe to cancel."""
        opened = await self.announce(announcement, principal=principal)
        stored, _ = await self.receive(opened.ref.id, offset=0, length=len(body), chunks=_whole(body))
        # All of it came at once.
        return cast("ArtifactRef", stored)

    async def _record(self, artifact: Artifact) -> None:
        await self._store.open_artifact(
            artifact.ref.id,
            doc=as_text(artifact),
            state=artifact.state,
            retention_ms=self._keep_ms,
            is_output=bool(artifact.grant),
        )

    async def find(self, artifact_id: str) -> OpenUpload | None:
        """Return how far an upload is, or None if it is complete. Raises NotFound, Conflict."""
        artifact = await self._find(artifact_id)
        return None if artifact.state is ArtifactState.COMPLETE else _left(artifact, await self._arrived(artifact))

    async def receive(
        self, artifact_id: str, *, offset: int, length: int, chunks: AsyncIterator[bytes]
    ) -> tuple[ArtifactRef | OpenUpload, list[str]]:
        """Take the next bytes of an upload; return what is missing or its reference, and the queues that got work.

        What came stays on any fault, a cancel included; only bytes with another hash than was announced go.

        Raises:
            NotFound: There is no such upload, or it was given up meanwhile.
            UploadMismatch: Offset, length or hash do not fit; the sentence says where to go on.
            Conflict: Another request is sending the same upload, or all of it has come.
        """
        artifact = await self._find(artifact_id)
        if artifact.state is ArtifactState.COMPLETE:
            # The answer to the last part may have been lost on its way.
            if (offset, length) == (artifact.ref.size, 0):
                return artifact.ref, []
            raise Conflict(f"The upload {artifact_id} is complete already; announce another one.")
        try:
            async with self._blobs.claim(artifact.blob) as staged:
                part = _Part(artifact, offset, length)
                part.check(staged.size)
                return await self._take(part, staged, self._followed(artifact_id, chunks))
        except NotFound:
            # An instance may have died after it gave all bytes their name, and before it wrote that down.
            if (offset, length) != (artifact.ref.size, 0) or await self._arrived(artifact) != offset:
                raise
        return await self._complete(artifact, await self._blobs.sha256(artifact.blob))

    async def _arrived(self, artifact: Artifact) -> int:
        try:
            return await self._blobs.staged_size(artifact.blob)
        except NotFound:
            return await self._blobs.size(artifact.blob)

    async def _take(
        self, part: _Part, staged: StagedBlob, chunks: AsyncIterator[bytes]
    ) -> tuple[ArtifactRef | OpenUpload, list[str]]:
        artifact = part.artifact
        await staged.append(chunks, most=part.length)
        if staged.size != part.end:
            log.info("upload broke off", artifact=artifact.ref.id, offset=staged.size)
            raise UploadMismatch(
                f"Only {staged.size - part.offset} of {part.length} bytes came; go on from offset {staged.size}."
            )
        if staged.size != artifact.ref.size:
            return _left(artifact, staged.size), []
        digest = await staged.sha256()
        # Before they get their name, so that damaged bytes never had one.
        if artifact.ref.sha256 not in {"", digest}:
            await staged.restart()
            raise UploadMismatch(
                f"The bytes have the SHA-256 {digest}, but {artifact.ref.sha256} was announced; "
                "they were removed, send them again from offset 0."
            )
        await self._blobs.publish(staged, artifact.blob)
        return await self._complete(artifact, digest)

    async def _followed(self, artifact_id: str, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Yield the chunks while the sender sends and the upload is wanted; each part puts off its end."""
        now = asyncio.get_running_loop().time
        due = now()
        while True:
            if now() >= due:
                if not await self._store.prolong_artifact(artifact_id, retention_ms=self._keep_ms):
                    raise NotFound(f"The upload {artifact_id} was given up meanwhile; upload the file again.")
                due = now() + self._keep_ms / 4000
            try:
                # A connection that is lost in silence would keep its sender from going on over another one.
                async with asyncio.timeout(SILENCE_S):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                return
            if chunk is None:
                return
            yield chunk

    async def _complete(self, artifact: Artifact, digest: str) -> tuple[ArtifactRef, list[str]]:
        # Bytes before the record: what says that it is complete is never without them, whenever the instance dies.
        # Readers that see the same file may use it in place, like any other.
        uri, proof = await self._blobs.describe(artifact.blob)
        ref = msgspec.structs.replace(artifact.ref, sha256=digest, uri=uri, fingerprint=proof)
        done = msgspec.structs.replace(artifact, ref=ref, state=ArtifactState.COMPLETE)
        completed = await self._store.complete_artifact(ref.id, doc=as_text(done))
        if completed.completed:
            return ref, completed.queues
        if known := await self._store.read.artifact(ref.id):
            # Another instance was first with the same bytes.
            return known.ref, []
        # Whoever removed the record may have found no bytes yet; nobody else knows of them.
        await self._blobs.delete(artifact.blob)
        raise NotFound(f"The upload {ref.id} was given up meanwhile; upload the file again.")

    async def open(self, artifact_id: str) -> StoredArtifact | FileArtifact | ObjectArtifact:
        """Open a complete artifact for reading. Raises NotFound."""
        artifact = await self._find(artifact_id)
        if artifact.state is not ArtifactState.COMPLETE:
            raise NotFound(f"The artifact {artifact_id} is not complete yet.")
        if artifact.blob:
            return StoredArtifact(artifact.ref, artifact.ref.size, self._blobs, artifact.blob)
        if is_object_address(artifact.ref.uri):
            return await self._objects.open(artifact.ref)
        path, _ = parse_input_uri(artifact.ref.uri)
        # A job may wait for days; bytes of another file under the same name would be worse than none.
        try:
            found, _ = await self._prove(path)
        except InputError as error:
            raise NotFound(error.message) from error
        if found is None or found != artifact.ref.fingerprint:
            raise NotFound(f"The file {path.name!r} has changed or gone since it was submitted; submit it again.")
        return FileArtifact(artifact.ref, path, self._roots)

    async def locate(self, artifact_id: str) -> Location:
        """Return where the bytes may be read, or those of an open upload be written, for a while.

        Raises:
            NotFound: They are nowhere but here, or there is no such artifact.
        """
        artifact = await self._find(artifact_id)
        is_open = artifact.state is ArtifactState.OPEN
        if artifact.blob and (bucket := self._blobs.bucket):
            if is_open and not await self._store.prolong_artifact(artifact_id, retention_ms=self._keep_ms):
                raise NotFound(f"The upload {artifact_id} was given up meanwhile; upload the file again.")
            return await bucket.locate(artifact.blob, "PUT" if is_open else "GET")
        if not artifact.blob and is_object_address(artifact.ref.uri):
            return await self._objects.locate(artifact.ref)
        raise NotFound(f"The bytes of the artifact {artifact_id} have no address of their own; ask for them here.")

    async def complete(self, artifact_id: str, *, sha256: str) -> tuple[ArtifactRef, list[str]]:
        """Note that all bytes of an upload were written to the address that `locate` gave.

        Raises:
            NotFound: There is no such upload.
            UploadMismatch: They are not there, or not as many as were announced.
        """
        artifact = await self._find(artifact_id)
        if artifact.state is ArtifactState.COMPLETE:
            # The answer may have been lost on its way.
            return artifact.ref, []
        try:
            arrived = await self._blobs.size(artifact.blob)
        except NotFound:
            arrived = 0
        if self._blobs.bucket is None or arrived != artifact.ref.size:
            raise UploadMismatch(f"The upload {artifact_id} has {arrived} of {artifact.ref.size} bytes at its address.")
        await self._blobs.discard_staged(artifact.blob)
        return await self._complete(artifact, sha256)

    async def discard(self, artifact_id: str) -> None:
        """Remove an upload that no job uses. Raises NotFound, Conflict."""
        await self._find(artifact_id)
        if not await self._retention.drop_artifact(artifact_id, error=ABORTED, unused=True):
            raise Conflict(f"The artifact {artifact_id} belongs to a job; it goes when the job does.")

    async def abandon(self, job_id: str) -> None:
        """Remove the unfinished uploads of a job that ended, unless another job waits for them."""
        job = await self._store.read.job_document(job_id)
        inputs = [ref.id for ref in job.inputs] if job else []
        for artifact in (await self._store.read.artifacts(inputs)).values():
            if artifact.state is ArtifactState.OPEN:
                await self._retention.drop_upload(artifact)

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
        if is_object_address(uri):
            name, proof, version = await self._objects.prove(uri)
            ref = _named(new_artifact_id(self._store.keys.cell), name, uri, proof, version)
            return await self._adopt(ref, principal=principal)
        if not uri.startswith("file:"):
            raise InputError(
                f"{uri[:200]!r} cannot be used as input; give a file:// or s3:// address or upload the file first."
            )
        path, claimed = parse_input_uri(uri)
        found, version = await self._prove(path)
        if found is None or (claimed and claimed != found):
            raise InputError(f"The scheduler cannot see the file {str(path)!r} as given; upload it instead.")
        ref = _named(new_artifact_id(self._store.keys.cell), path.name, uri_of_path(path), found, version)
        return await self._adopt(ref, principal=principal)

    async def _prove(self, path: Path) -> tuple[Fingerprint | None, str]:
        try:
            return await self._roots.prove(path)
        except (NotFound, InvalidRequest):
            return None, ""

    async def _adopt(self, ref: ArtifactRef, *, principal: str) -> ArtifactRef:
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
