"""A file of which some stretches are there: as long as the whole from the start, with holes where nothing came yet."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, Any

from mediafleet.artifacts.disk import BLOCK_BYTES, sync_file, sync_folder
from mediafleet.artifacts.fingerprint import fingerprint_of
from mediafleet.artifacts.ranges import Range, merge_ranges, missing_ranges
from mediafleet.artifacts.staging import finish
from mediafleet.domain.errors import MediafleetError, TransientFailure

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.domain.artifact import ArtifactRef


class Parts:
    """The file and what of it is there; one writer at a time, any number of readers of what is there.

    What is there is known to this object alone: a file that outlives it is worth nothing.
    """

    def __init__(self, path: Path, ref: ArtifactRef) -> None:
        """Make the file; blocking, but short. Raises OSError."""
        self.path = path
        self.there: tuple[Range, ...] = ()
        self._ref = ref
        self._digest: Any = hashlib.sha256()
        self._hashed = 0
        with path.open("xb") as file:
            file.truncate(ref.size)

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are there."""
        return not self.missing(((0, self._ref.size),))

    def missing(self, wanted: tuple[Range, ...]) -> tuple[Range, ...]:
        """Return the stretches that are wanted and not there."""
        return missing_ranges(wanted, self.there)

    async def write(self, start: int, chunk: bytes) -> None:
        """Put bytes in their place. A cancel does not tear it: what is noted as there is there."""
        await finish(asyncio.to_thread(self._write, start, chunk))

    async def seal(self, to: Path) -> None:
        """Check all bytes and give the file its name, which it has only after they are on the disk.

        Raises:
            TransientFailure: They are not those that were wanted.
        """
        while self._hashed < self._ref.size:
            await finish(asyncio.to_thread(self._catch_up))
        await finish(asyncio.to_thread(self._seal, to))

    def _write(self, start: int, chunk: bytes) -> None:
        with self.path.open("r+b", buffering=0) as file:
            rest, position = memoryview(chunk), start
            while rest:
                written = os.pwrite(file.fileno(), rest, position)
                rest, position = rest[written:], position + written
        if start == self._hashed:
            # Saves reading a file that comes from its start to its end, as most do.
            self._digest.update(chunk)
            self._hashed += len(chunk)
        self.there = merge_ranges([*self.there, (start, start + len(chunk))], size=self._ref.size)

    def _catch_up(self) -> None:
        with self.path.open("rb", buffering=0) as file:
            block = os.pread(file.fileno(), BLOCK_BYTES, self._hashed)
        if not block:
            raise _damaged(self._ref)
        self._digest.update(block)
        self._hashed += len(block)

    def _seal(self, to: Path) -> None:
        if not self._is_wanted():
            raise _damaged(self._ref)
        # A handler that writes to its input would spoil it for all that come after it.
        self.path.chmod(0o400)
        sync_file(self.path)
        self.path.rename(to)
        sync_folder(to.parent)
        self.path = to

    def _is_wanted(self) -> bool:
        if self._ref.sha256:
            return self._digest.hexdigest() == self._ref.sha256
        # A file that is used in place elsewhere has no hash; its samples say whether it is still the same.
        try:
            return self._ref.fingerprint is None or fingerprint_of(self.path) == self._ref.fingerprint
        except MediafleetError:
            return False


def _damaged(ref: ArtifactRef) -> TransientFailure:
    return TransientFailure(f"The bytes of artifact {ref.id} arrived damaged; try again.")
