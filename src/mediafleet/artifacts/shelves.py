"""Where complete blobs lie: in a folder, or in an object store. What differs between the two, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from obstore.exceptions import BaseError
from obstore.store import LocalStore

from mediafleet.artifacts.disk import BLOCK_BYTES, explain
from mediafleet.artifacts.fingerprint import fingerprint, uri_of_path
from mediafleet.artifacts.marks import Marks, check_instance, digest_of
from mediafleet.domain.errors import ConfigError, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mediafleet.artifacts.buckets import Bucket
    from mediafleet.artifacts.staging import StagedBlob
    from mediafleet.domain.artifact import Fingerprint

_STAGING = ".staging"
"""Folder of blobs that are not complete; no key can name anything in it, because of its dot."""
_MARKS = ".instances"
"""Folder of the marks of scheduler instances; no key can name it, because of its dot."""
_OWNER_FILE = ".store"
"""Says whose records tell what in the folder is in use; no key can name it, because of its dot."""
FAULTS = (OSError, BaseError)
"""What obstore and the file system raise; a missing object is a FileNotFoundError."""


class InstanceMarks(Protocol):
    """See `mediafleet.artifacts.marks.Marks`."""

    async def leave(self, instance: str) -> str:
        """Write a new mark and return its digest."""
        ...

    async def sees(self, instance: str, digest: str) -> bool:
        """Tell whether the mark of that digest is there."""
        ...

    async def remove(self, instances: Iterable[str]) -> None:
        """Take marks away, as far as that is possible."""
        ...


class Shelf(Protocol):
    """A place of complete blobs."""

    store: Any
    """The obstore that reads them."""
    shown: str
    """How sentences name it."""
    staging: Path
    marks: InstanceMarks
    block_bytes: int
    """What is read at once."""

    async def take(self, staged: StagedBlob, key: str) -> None:
        """Make a staged blob one of its own. Raises Conflict, Unavailable."""
        ...

    async def describe(self, key: str) -> tuple[str, Fingerprint | None]:
        """Return the address of a blob, and what proves to somebody else that he sees it."""
        ...

    async def belongs_to(self, store: str) -> bool:
        """See `BlobStore.belongs_to`."""
        ...

    def explain(self, error: Exception) -> Unavailable:
        """Return our error for one of `FAULTS`."""
        ...


class FolderShelf:
    """Blobs as files."""

    block_bytes = BLOCK_BYTES

    def __init__(self, root: Path) -> None:
        """Make the folder where it is missing. Raises ConfigError."""
        self.root = root.expanduser().absolute()
        self.shown = str(self.root)
        self.staging = self.root / _STAGING
        self.marks: InstanceMarks = Marks(self.root / _MARKS)
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.store = LocalStore(prefix=self.root, automatic_cleanup=True)
        except FAULTS as error:
            raise ConfigError(
                f"{self.root} cannot hold artifacts; choose a folder that you may write to as artifacts.root."
            ) from error

    async def take(self, staged: StagedBlob, key: str) -> None:
        """See `Shelf.take`."""
        await staged.publish(self.root / key)

    async def describe(self, key: str) -> tuple[str, Fingerprint | None]:
        """See `Shelf.describe`."""
        path = self.root / key
        return uri_of_path(path), await fingerprint(path)

    async def belongs_to(self, store: str) -> bool:
        """See `Shelf.belongs_to`."""
        return await asyncio.to_thread(_claim, self.root / _OWNER_FILE, store)

    def explain(self, error: Exception) -> Unavailable:
        """See `Shelf.explain`."""
        return explain(error, self.root)


class BucketShelf:
    """Blobs as objects; those on their way wait in a folder of this machine."""

    block_bytes = 8 * BLOCK_BYTES

    def __init__(self, bucket: Bucket, staging: Path) -> None:
        self.bucket = bucket
        self.store = bucket.store
        self.shown = bucket.url
        self.staging = staging
        self.marks: InstanceMarks = ObjectMarks(bucket)

    async def take(self, staged: StagedBlob, key: str) -> None:
        """See `Shelf.take`: sent in full before the staged file goes, so that it may be sent again."""
        await staged.hand_over(lambda path: self.bucket.put(key, path, size=staged.size))

    async def describe(self, key: str) -> tuple[str, Fingerprint | None]:
        """See `Shelf.describe`: whoever wants the bytes asks for an address."""
        return self.bucket.uri(key), None

    async def belongs_to(self, store: str) -> bool:
        """See `Shelf.belongs_to`."""
        if not await self.bucket.create(_OWNER_FILE, store.encode()):
            size = await self.bucket.size(_OWNER_FILE)
            return (await self.bucket.read(_OWNER_FILE, 0, size)).decode(errors="replace") == store
        return True

    def explain(self, error: Exception) -> Unavailable:
        """See `Shelf.explain`."""
        return self.bucket.explain(error)


class ObjectMarks:
    """Marks of instances as objects; see `mediafleet.artifacts.marks.Marks`."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def leave(self, instance: str) -> str:
        """Write a new mark and return its digest. Raises Unavailable."""
        token = secrets.token_hex(16)
        await self._bucket.put(f"{_MARKS}/{check_instance(instance)}", token.encode())
        return digest_of(token)

    async def sees(self, instance: str, digest: str) -> bool:
        """Tell whether the mark of that digest is there."""
        key = f"{_MARKS}/{check_instance(instance)}"
        with suppress(NotFound, Unavailable):
            found = await self._bucket.read(key, 0, await self._bucket.size(key))
            return secrets.compare_digest(hashlib.sha256(found).hexdigest(), digest)
        return False

    async def remove(self, instances: Iterable[str]) -> None:
        """Take marks away, as far as that is possible."""
        for instance in instances:
            with suppress(Unavailable):
                await self._bucket.delete(f"{_MARKS}/{check_instance(instance)}")


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
