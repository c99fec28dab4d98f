"""Blobs: bytes under a key, complete or not there at all, in bounded memory whatever their size.

On a local folder through `obstore`, whose other stores (S3, GCS, Azure) fit behind the same class.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from mediafleet.artifacts.disk import BLOCK_BYTES, explain
from mediafleet.artifacts.marks import Marks
from mediafleet.artifacts.staging import StagedBlob, Staging
from mediafleet.domain.errors import ConfigError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from obstore import ObjectMeta

_STAGING = ".staging"
"""Folder of blobs that are not complete; no key can name anything in it, because of its dot."""
_MARKS = ".instances"
"""Folder of the marks of scheduler instances; no key can name it, because of its dot."""
_OWNER_FILE = ".store"
"""Says whose records tell what in the folder is in use; no key can name it, because of its dot."""
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}){0,5}")
_FAULTS = (OSError, BaseError)
"""What obstore and the file system raise; a missing object is a FileNotFoundError."""


class BlobStore:
    """The blobs under one folder, which several processes may share; any number of calls may run at once."""

    def __init__(self, root: Path) -> None:
        """Open the folder, and make it where it is missing.

        Raises:
            ConfigError: It cannot be made or used.
        """
        self._root = root.expanduser().absolute()
        self._staging = Staging(self._root / _STAGING)
        self.marks = Marks(self._root / _MARKS)
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store = LocalStore(prefix=self._root, automatic_cleanup=True)
        except _FAULTS as error:
            raise ConfigError(
                f"{self._root} cannot hold artifacts; choose a folder that you may write to as artifacts.root."
            ) from error

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

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
        await staged.publish(self._root / _check(key))

    async def sha256(self, key: str) -> str:
        """Return the hash of a blob's bytes, hexadecimal. Raises NotFound."""
        digest = hashlib.sha256()
        async for block in self.stream(key):
            await asyncio.to_thread(digest.update, block)
        return digest.hexdigest()

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = BLOCK_BYTES
    ) -> AsyncGenerator[bytes]:
        """Yield a blob's bytes in order, in pieces of `chunk_bytes` and a last, smaller one.

        Args:
            start: First byte.
            length: How many; to the end if None, and never beyond it.

        Raises:
            NotFound: There is no such blob, or it was deleted meanwhile.
        """
        # Asked for once: a range beyond the end would be an error of the store and not an end.
        size = await self.size(key)
        end = size if length is None else min(size, start + length)
        try:
            for position in range(start, end, chunk_bytes):
                wanted = min(chunk_bytes, end - position)
                yield bytes(await obstore.get_range_async(self._store, key, start=position, length=wanted))
        except FileNotFoundError:
            raise _missing(key) from None
        except _FAULTS as error:
            raise explain(error, self._root) from error

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
        except _FAULTS as error:
            raise explain(error, self._root) from error

    async def delete(self, key: str) -> None:
        """Remove a blob and what is staged of it; it is no error if there is none."""
        _check(key)
        await self._staging.discard(key)
        try:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, key)
        except _FAULTS as error:
            raise explain(error, self._root) from error

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
        except _FAULTS as error:
            raise explain(error, self._root) from error

    async def belongs_to(self, store: str) -> bool:
        """Tell whether the folder is that of a store, by its identity; a folder that is nobody's becomes its own."""
        return await asyncio.to_thread(_claim, self._root / _OWNER_FILE, store)

    def local_path(self, key: str) -> Path:
        """Return where a blob's file is, for readers on this machine; it need not exist."""
        return self._root / _check(key)

    async def discard_staged(self, key: str) -> None:
        """Remove what is staged under a key; it is no error if nothing is."""
        await self._staging.discard(_check_plain(key))

    async def list_staged(self, *, before_ms: int) -> list[str]:
        """Return the keys of staged blobs that have not moved since, milliseconds since 1970."""
        return await self._staging.list_keys(before_ms=before_ms)


def _claim(file: Path, store: str) -> bool:
    draft = file.with_name(f"{file.name}-{secrets.token_hex(6)}")
    try:
        draft.write_text(store)
        # Of two that claim it at once one is first, and no reader ever sees half of it.
        os.link(draft, file)
    except FileExistsError:
        return file.read_text() == store
    finally:
        draft.unlink(missing_ok=True)
    return True


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
