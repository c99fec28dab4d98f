"""Blobs: bytes under a key, complete or not there at all, in bounded memory whatever their size.

On a local folder through `obstore`, whose other stores (S3, GCS, Azure) fit behind the same class.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from mediafleet.artifacts.disk import BLOCK_BYTES, explain, sync_file, sync_folder
from mediafleet.domain.errors import ConfigError, InvalidRequest, NotFound, UploadMismatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Collection, Coroutine, Sequence
    from pathlib import Path

    from obstore import ObjectMeta

T = TypeVar("T")

_STAGING = ".staging"
"""Folder of blobs that are not complete; no key can name anything in it, because of its dot."""
_OWNER_FILE = ".store"
"""Says whose records tell what in the folder is in use; no key can name it, because of its dot."""
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}){0,5}")
_FAULTS = (OSError, BaseError)
"""What obstore and the file system raise; a missing object is a FileNotFoundError."""


class BlobStore:
    """The blobs under one folder, which several processes may share; any number of calls may run at once."""

    def __init__(self, root: Path, *, owner: str = "one") -> None:
        """Open the folder, and make it where it is missing.

        Args:
            owner: A name that no other process has; what this one writes bears it until it is complete.

        Raises:
            ConfigError: It cannot be made or used.
        """
        self._root = root.expanduser().absolute()
        self._staging = f"{_STAGING}/{_check(owner)}"
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store = LocalStore(prefix=self._root, automatic_cleanup=True)
        except _FAULTS as error:
            raise ConfigError(
                f"{self._root} cannot hold artifacts; choose a folder that you may write to as artifacts.root."
            ) from error

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str = "") -> str:
        """Store a stream of bytes and return their SHA-256, hexadecimal.

        The key exists only once all bytes are there, checked and on disk; on any fault, and on cancellation,
        nothing stays. An existing blob of that key is replaced.

        Args:
            chunks: Pieces of any size; not read further than needed to know that they are too many.
            size: Bytes that must come.
            sha256: Hash that they must have; empty if it is not known.

        Raises:
            UploadMismatch: Length or hash differ from what was announced.
            Unavailable: The disk is full, or fails.
        """
        _check(key)
        staged = f"{self._staging}/{secrets.token_hex(12)}"
        try:
            digest = await self._stage(staged, chunks, size)
            # Before the rename, so that damaged bytes never had a name.
            if sha256 and digest != sha256.lower():
                raise UploadMismatch(
                    f"The bytes have the SHA-256 {digest}, but {sha256} was announced; send them again."
                )
            await _finish(self._publish(staged, key))
        except _FAULTS as error:
            raise explain(error, self._root) from error
        finally:
            await _finish(self._discard(staged))
        return digest

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
        """Remove a blob; it is no error if there is none."""
        _check(key)
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

    async def sweep_staging(self, living: Collection[str] = ()) -> int:
        """Remove what killed processes left half-written, and return of how many; owners in `living` are spared."""
        return await asyncio.to_thread(_sweep, self._root / _STAGING, frozenset(living))

    async def _stage(self, staged: str, chunks: AsyncIterator[bytes], size: int) -> str:
        """Write the bytes to a file that nobody can name and return their hash."""
        digest = hashlib.sha256()
        writer = obstore.open_writer_async(self._store, staged, buffer_size=BLOCK_BYTES, max_concurrency=2)
        received = 0
        try:
            async for block in _blocks(chunks):
                received += len(block)
                # Here and not at the end: a client that sends without end must not fill the disk.
                if received > size:
                    raise UploadMismatch(f"More bytes than the announced {size} came; announce the size of all.")
                # Both let go of the interpreter: with a second core, hashing costs no time beside the disk.
                await _finish(_both(asyncio.to_thread(digest.update, block), writer.write(block)))
            if received != size:
                raise UploadMismatch(f"Only {received} of the announced {size} bytes came; send them again.")
            await _finish(writer.close())
        finally:
            # Dropping it closes its file; the traceback of an error would keep it.
            del writer
        return digest.hexdigest()

    async def _publish(self, staged: str, key: str) -> None:
        # The bytes must be on disk before a name says that they are.
        await asyncio.to_thread(sync_file, self._root / staged)
        await obstore.rename_async(self._store, staged, key)
        # A rename is only a change of the folder, which the disk may forget on a power loss.
        await asyncio.to_thread(sync_folder, (self._root / key).parent)

    async def _discard(self, staged: str) -> None:
        await asyncio.to_thread(_remove_parts, self._root / staged)


def _remove_parts(staged: Path) -> None:
    # Until obstore closes a file it writes to one with a number behind its name.
    for part in staged.parent.glob(f"{staged.name}*"):
        with suppress(FileNotFoundError):
            # Frees the disk also while a writer that failed still has the file open.
            os.truncate(part, 0)
            part.unlink()


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Gather pieces of any size into blocks of about `BLOCK_BYTES`."""
    held: list[bytes] = []
    count = 0
    async for chunk in chunks:
        held.append(chunk)
        count += len(chunk)
        if count >= BLOCK_BYTES:
            yield b"".join(held)
            held, count = [], 0
    if held:
        yield b"".join(held)


async def _both(first: Coroutine[object, object, None], second: Coroutine[object, object, object]) -> None:
    await asyncio.gather(first, second)


async def _finish(step: Coroutine[object, object, T]) -> T:
    """Run a short step to its end even if the caller is cancelled, so that nothing goes on behind its back."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # Taken note of: the cancellation is what the caller hears of.
        raise


def _sweep(staging: Path, living: frozenset[str]) -> int:
    left = [folder for folder in staging.glob("*") if folder.name not in living]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


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


def _missing(key: str) -> NotFound:
    return NotFound(f"There is no blob {key!r}; it may have been removed after its retention.")
