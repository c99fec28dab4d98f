"""Blobs: bytes under a key, complete or not there at all, in bounded memory whatever their size.

In a local folder or an object store, both through `obstore`; what differs is in `shelves`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any, cast

import obstore

from mediafleet.artifacts.buckets import Bucket
from mediafleet.artifacts.shelves import FAULTS, BucketShelf, FolderShelf
from mediafleet.artifacts.staging import StagedBlob, Staging
from mediafleet.domain.errors import ConfigError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from obstore import ObjectMeta

    from mediafleet.artifacts.shelves import Shelf
    from mediafleet.domain.artifact import Fingerprint

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}){0,5}")


class BlobStore:
    """The blobs of one root, which several processes may share; any number of calls may run at once."""

    def __init__(self, root: Path | Bucket, *, staging: Path | None = None) -> None:
        """Open a folder, which is made where it is missing, or an object store.

        Args:
            staging: Folder of this machine for what is on its way to an object store.

        Raises:
            ConfigError: The folder cannot be made or used, or there is none for what is on its way.
        """
        self._shelf: Shelf = _shelf(root, staging)
        self._staging = Staging(self._shelf.staging)
        self._store: Any = self._shelf.store
        self.marks = self._shelf.marks

    @property
    def root(self) -> str:
        """The root, as sentences name it."""
        return self._shelf.shown

    @property
    def bucket(self) -> Bucket | None:
        """The object store, if that is the root."""
        return self._shelf.bucket if isinstance(self._shelf, BucketShelf) else None

    async def describe(self, key: str) -> tuple[str, Fingerprint | None]:
        """Return the address of a blob, and where it is a file the proof that somebody else sees the same."""
        return await self._shelf.describe(_check(key))

    async def begin(self, key: str) -> None:
        """Make a staged blob of no bytes. Raises Unavailable."""
        await self._staging.begin(_check_plain(key))

    async def staged_size(self, key: str) -> int:
        """Return how many bytes of a staged blob are there and on disk.

        Raises:
            NotFound: Nothing is staged under the key.
        """
        return await self._staging.size(_check_plain(key))

    def claim(self, key: str) -> AbstractAsyncContextManager[StagedBlob]:
        """Hold a staged blob as its only writer, in whichever process.

        Raises:
            NotFound: Nothing is staged under the key.
            Conflict: Somebody else is writing.
        """
        return self._staging.claim(_check_plain(key))

    async def publish(self, staged: StagedBlob, key: str) -> None:
        """Make a staged blob one that can be read. An existing one of that key is replaced. Raises Conflict."""
        await self._shelf.take(staged, _check(key))

    async def sha256(self, key: str) -> str:
        """Return the hash of a blob's bytes, hexadecimal. Raises NotFound."""
        digest = hashlib.sha256()
        async for block in self.stream(key):
            await asyncio.to_thread(digest.update, block)
        return digest.hexdigest()

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 0
    ) -> AsyncGenerator[bytes]:
        """Yield a blob's bytes in order, in pieces of one size and a last, smaller one.

        Args:
            start: First byte.
            length: How many; to the end if None, and never beyond it.
            chunk_bytes: Size of the pieces; 0 for what suits the place.

        Raises:
            NotFound: There is no such blob, or it was deleted meanwhile.
        """
        # Asked for once: a range beyond the end would be an error of the store and not an end.
        size = await self.size(key)
        end = size if length is None else min(size, start + length)
        chunk_bytes = chunk_bytes or self._shelf.block_bytes
        try:
            for position in range(start, end, chunk_bytes):
                wanted = min(chunk_bytes, end - position)
                yield bytes(await obstore.get_range_async(self._store, key, start=position, length=wanted))
        except FileNotFoundError:
            raise _missing(key) from None
        except FAULTS as error:
            raise self._shelf.explain(error) from error

    async def size(self, key: str) -> int:
        """Return how many bytes a blob has.

        Raises:
            NotFound: There is no such blob.
        """
        _check(key)
        try:
            return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError:
            raise _missing(key) from None
        except FAULTS as error:
            raise self._shelf.explain(error) from error

    async def delete(self, key: str) -> None:
        """Remove a blob and what is staged of it; it is no error if there is none."""
        _check(key)
        await self._staging.discard(key)
        try:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, key)
        except FAULTS as error:
            raise self._shelf.explain(error) from error

    async def list_keys(self, prefix: str = "", *, before_ms: int | None = None) -> AsyncGenerator[str]:
        """Yield the keys below a prefix, which ends at a `/` of the key; in no order.

        Args:
            before_ms: Only blobs that were complete by then, milliseconds since 1970.

        Raises:
            Unavailable: The folder cannot be read.
        """
        pages: AsyncIterator[Sequence[ObjectMeta]] = cast("Any", obstore).list(self._store, prefix=prefix or None)
        try:
            async for page in pages:
                for found in page:
                    is_old = before_ms is None or found["last_modified"].timestamp() * 1000 < before_ms
                    if is_old and _KEY.fullmatch(found["path"]):
                        yield found["path"]
        except FAULTS as error:
            raise self._shelf.explain(error) from error

    async def belongs_to(self, store: str) -> bool:
        """Tell whether the folder is that of a store, by its identity; a folder that is nobody's becomes its own."""
        return await self._shelf.belongs_to(store)

    def local_path(self, key: str) -> Path:
        """Return where a blob's file is in a root that is a folder; it need not exist."""
        assert isinstance(self._shelf, FolderShelf)  # noqa: S101 - objects have no path
        return self._shelf.root / _check(key)

    async def discard_staged(self, key: str) -> None:
        """Remove what is staged under a key; it is no error if nothing is."""
        await self._staging.discard(_check_plain(key))

    async def list_staged(self, *, before_ms: int) -> list[str]:
        """Return the keys of staged blobs that have not moved since, milliseconds since 1970."""
        return await self._staging.list_keys(before_ms=before_ms)


def _shelf(root: Path | Bucket, staging: Path | None) -> Shelf:
    if not isinstance(root, Bucket):
        return FolderShelf(root)
    if staging is None:
        raise ConfigError(f"What is on its way to {root.url} needs a folder of this machine.")
    return BucketShelf(root, staging)


def _check(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise InvalidRequest(f"{key!r} is no key of a blob; use a-z, 0-9, '.', '_' and '-', in parts divided by '/'.")
    return key


def _check_plain(key: str) -> str:
    if "/" in key:
        raise InvalidRequest(f"{key!r} is no key to stage a blob under; it has parts.")
    return _check(key)


def _missing(key: str) -> NotFound:
    return NotFound(f"There is no blob {key!r}; it may have been removed after its retention.")
