"""Bytes of blobs that are not complete: any process may go on with them, and one at a time writes.

A blob is staged in one file, `<key>/<turn>-<token>`; its size is how far it is. Whoever writes holds a lock on the
open file, which ends with its process. A writer that holds it and shows no life is left behind with the file that it
has open: the next one goes on with a copy under the name of the next turn. Nobody writes to a file that is not its
own, and nobody can publish one that it has lost, whatever wakes up late (`docs/decisions/0009-uploads-go-on.md`).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import shutil
from collections import OrderedDict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from mediafleet.artifacts.disk import BLOCK_BYTES, explain, sync_folder
from mediafleet.domain.errors import Conflict, NotFound, UploadMismatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
    from pathlib import Path

T = TypeVar("T")

TAKEOVER_S = 60.0
"""How long a writer may show no life before another one leaves it behind; longer than any block takes to write."""
FLUSH_S = 2.0
"""Bytes wait no longer than this, seconds, to be written: what a slow line brought must not be lost by a kill."""
_SYNC_BYTES = 64 * 1024 * 1024
"""Written between two syncs, so that the last one is short."""
_MOST_TALLIES = 1024


@dataclass
class _Tally:
    """The hash of the first bytes of a staged file."""

    digest: Any = field(default_factory=hashlib.sha256)
    position: int = 0


class Staging:
    """The staged blobs below one folder, which several processes may share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A hash in progress cannot be stored. It is kept here for the next part, by the name of a file, which is never
        # used twice; without it the file is read once more.
        self._tallies: OrderedDict[str, _Tally] = OrderedDict()

    async def begin(self, key: str) -> None:
        """Make the file of a blob, empty."""
        await _in_thread(self._folder, _begin, self._folder / key)

    async def size(self, key: str) -> int:
        """Return how many bytes are there and on disk. Raises NotFound."""
        return await _in_thread(self._folder, _size, self._folder / key)

    @asynccontextmanager
    async def claim(self, key: str) -> AsyncGenerator[StagedBlob]:
        """Yield the staged blob to its only writer.

        Raises:
            NotFound: Nothing is staged under the key.
            Conflict: Somebody else is writing.
        """
        claiming = asyncio.ensure_future(_in_thread(self._folder, _claim, self._folder / key))
        try:
            path, descriptor = await finish(claiming)
        except asyncio.CancelledError:
            if claiming.exception() is None:
                os.close(claiming.result()[1])
            raise
        try:
            yield StagedBlob(path, descriptor, self._tally(path.name))
        finally:
            os.close(descriptor)

    async def discard(self, key: str) -> None:
        """Remove what is staged under a key; it is no error if nothing is."""
        await _in_thread(self._folder, _discard, self._folder / key)

    async def list_keys(self, *, before_ms: int) -> list[str]:
        """Return the keys under which nothing has moved since, milliseconds since 1970."""
        return await _in_thread(self._folder, _idle, self._folder, before_ms / 1000)

    def _tally(self, name: str) -> _Tally:
        tally = self._tallies.setdefault(name, _Tally())
        self._tallies.move_to_end(name)
        if len(self._tallies) > _MOST_TALLIES:
            self._tallies.popitem(last=False)
        return tally


class StagedBlob:
    """A staged blob in the hands of its writer."""

    def __init__(self, path: Path, descriptor: int, tally: _Tally) -> None:
        self._path = path
        self._descriptor = descriptor
        self._tally = tally
        self.size = os.fstat(descriptor).st_size
        """Bytes that are there."""
        self._synced = self.size
        self._is_new = self.size == 0

    async def append(self, chunks: AsyncIterator[bytes], *, most: int) -> None:
        """Write a stream behind what is there; what came stays if it breaks off.

        Args:
            chunks: Pieces of any size; not read further than needed to know that they are too many.
            most: Bytes that may come.

        Raises:
            UploadMismatch: More came.
            Conflict: The blob was given up meanwhile, or somebody else went on with it.
        """
        limit = self.size + most
        try:
            async for block in _blocks(chunks):
                # Here and not at the end: a client that sends without end must not fill the disk.
                if self.size + len(block) > limit:
                    raise UploadMismatch(f"More bytes than the announced {most} came; announce the length of all.")
                await self._add(block)
        finally:
            await self._run(self._sync)

    async def sha256(self) -> str:
        """Return the hash of all bytes, hexadecimal; what another process took is read for it."""
        while self._tally.position < self.size:
            await self._run(self._catch_up)
        return self._tally.digest.hexdigest()

    async def publish(self, target: Path) -> None:
        """Give the file its name.

        Raises:
            Conflict: The blob was given up meanwhile, or somebody else went on with it.
        """
        await self._run(self._publish, target)

    async def hand_over(self, send: Callable[[Path], Awaitable[None]]) -> None:
        """Have the file copied to where blobs lie, and let it go once it is there; it stays if that fails.

        Raises:
            Conflict: The blob was given up meanwhile, or somebody else went on with it.
        """
        await self._run(self._sync)
        living = asyncio.create_task(self._show_life(), name="staged")
        try:
            await send(self._path)
        finally:
            living.cancel()
        if not os.fstat(self._descriptor).st_nlink:
            raise _lost()
        await self._run(_discard, self._path.parent)

    async def _show_life(self) -> None:
        while True:
            await asyncio.sleep(TAKEOVER_S / 6)
            os.utime(self._descriptor)

    async def restart(self) -> None:
        """Remove the bytes, so that they may come again."""
        await self._run(self._restart)

    async def _run(self, step: Callable[..., None], *arguments: object) -> None:
        await _in_thread(self._path.parent, step, *arguments)

    async def _add(self, block: bytes) -> None:
        if self._tally.position != self.size:
            await self._run(self._write, block)
            return
        # A copy, since a write that fails must leave the tally as it was: it catches up by reading.
        digest = self._tally.digest.copy()
        # Both let go of the interpreter: with a second core, hashing costs no time beside the disk.
        await finish(_both(asyncio.to_thread(digest.update, block), self._run(self._write, block)))
        self._tally.digest, self._tally.position = digest, self.size

    def _write(self, block: bytes) -> None:
        rest = memoryview(block)
        while rest:
            written = os.pwrite(self._descriptor, rest, self.size)
            self.size += written
            rest = rest[written:]
        if self.size - self._synced >= _SYNC_BYTES:
            self._sync()
        if not os.fstat(self._descriptor).st_nlink:
            raise _lost()

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        self._synced = self.size
        if self._is_new:
            with suppress(FileNotFoundError):
                sync_folder(self._path.parent)
                sync_folder(self._path.parent.parent)
            self._is_new = False

    def _catch_up(self) -> None:
        block = os.pread(self._descriptor, BLOCK_BYTES, self._tally.position)
        if not block:
            raise _lost()
        self._tally.digest.update(block)
        self._tally.position += len(block)
        # Reading shows no life, and a large file takes minutes.
        os.utime(self._descriptor)

    def _publish(self, target: Path) -> None:
        self._sync()
        try:
            # By its own name, which no other file ever has: who lost the blob finds nothing to publish.
            self._path.rename(target)
        except FileNotFoundError:
            raise _lost() from None
        # A rename is only a change of the folder, which the disk may forget on a power loss.
        sync_folder(target.parent)
        _discard(self._path.parent)

    def _restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.fsync(self._descriptor)
        # Another process may hold a tally of the old bytes under the old name.
        with suppress(FileNotFoundError):
            self._path = self._path.rename(_next_turn(self._path))
        self._tally = _Tally()
        self.size = self._synced = 0


async def finish(step: Awaitable[T]) -> T:
    """Run a short step to its end even if the caller is cancelled, so that nothing goes on behind its back."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # Taken note of: the cancellation is what the caller hears of.
        raise


async def _in_thread(folder: Path, step: Callable[..., T], *arguments: object) -> T:
    try:
        return await finish(asyncio.to_thread(step, *arguments))
    except OSError as error:
        raise explain(error, folder) from error


async def _both(first: Coroutine[object, object, None], second: Coroutine[object, object, None]) -> None:
    await asyncio.gather(first, second)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Gather pieces of any size into blocks of about `BLOCK_BYTES`, or of what comes in `FLUSH_S`."""
    now = asyncio.get_running_loop().time
    held: list[bytes] = []
    count, since = 0, now()
    async for chunk in chunks:
        held.append(chunk)
        count += len(chunk)
        if count >= BLOCK_BYTES or now() - since >= FLUSH_S:
            yield b"".join(held)
            held, count, since = [], 0, now()
    if held:
        yield b"".join(held)


# --- files ---------------------------------------------------------------------------------------


def _begin(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    (folder / _turn_name(0)).touch()


def _turn_name(turn: int) -> str:
    return f"{turn:08d}-{secrets.token_hex(8)}"


def _next_turn(path: Path) -> Path:
    return path.with_name(_turn_name(int(path.name.partition("-")[0]) + 1))


def _current(folder: Path) -> Path:
    # Drafts have a dot before their name. A file of an earlier turn may be what a late process left.
    names = [path.name for path in folder.glob("[0-9]*")]
    if not names:
        raise NotFound(f"Nothing of an upload {folder.name!r} is here; it may have expired. Upload the file again.")
    return folder / max(names)


def _size(folder: Path) -> int:
    descriptor = _open(_current(folder))
    try:
        # The one that wrote the last bytes may have been killed before its sync; what is told must last.
        size = os.fstat(descriptor).st_size
        os.fsync(descriptor)
        return size
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _busy(path) from None


def _claim(folder: Path) -> tuple[Path, int]:
    """Return name and descriptor of the file to write to, locked."""
    path = _current(folder)
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking it, another one may have gone on with it under another name.
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise _busy(path)
    except FileNotFoundError:
        os.close(descriptor)
        raise _busy(path) from None
    except BlockingIOError:
        os.close(descriptor)
        return _take_over(path)
    except BaseException:
        os.close(descriptor)
        raise
    return path, descriptor


def _take_over(path: Path) -> tuple[Path, int]:
    """Leave a writer without life behind with its file and go on with a copy."""
    if not _is_silent(path):
        raise _busy(path)
    taken = _next_turn(path)
    draft = taken.with_name(f".{taken.name}")
    try:
        # Of several takers one finds the old name.
        path.rename(taken)
        # Of those to come, each would leave us behind without a sign of life.
        os.utime(taken)
        shutil.copyfile(taken, draft)
        draft.replace(taken)
        # Claimed like any other: had copying taken so long that we were left behind, its turn is not the last.
        return _claim(path.parent)
    except FileNotFoundError:
        raise _busy(path) from None
    finally:
        draft.unlink(missing_ok=True)


def _is_silent(path: Path) -> bool:
    # By the clock of the file system: on a share, that of this machine may differ from it.
    probe = path.with_name(f".{secrets.token_hex(8)}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime > TAKEOVER_S
    except FileNotFoundError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def _discard(folder: Path) -> None:
    for path in [*folder.glob("*")]:
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                path.unlink()
                # Only once it has no name: frees the disk also while a writer has it open, and never what was
                # published meanwhile.
                if not os.fstat(descriptor).st_nlink:
                    os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)
    with suppress(OSError):  # What somebody makes in this moment is swept later.
        folder.rmdir()


def _idle(staging: Path, before_s: float) -> list[str]:
    return [folder.name for folder in staging.glob("*") if _moved_s(folder) < before_s]


def _moved_s(folder: Path) -> float:
    try:
        return max(path.stat().st_mtime for path in [folder, *folder.glob("*")])
    except FileNotFoundError:
        return float("inf")  # Going right now.


def _busy(path: Path) -> Conflict:
    return Conflict(f"The upload {path.parent.name} is already being received; ask again where to go on in a moment.")


def _lost() -> Conflict:
    return Conflict("The upload was given up meanwhile, or another request went on with it; ask where to go on.")
