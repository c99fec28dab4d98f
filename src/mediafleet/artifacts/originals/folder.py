"""One folder in which originals are replaced, held open: all is done relative to it, so no link can lead elsewhere."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from errno import EACCES, EAGAIN, ELOOP, EMLINK, ENOENT, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mediafleet.artifacts.disk import BLOCK_BYTES
from mediafleet.artifacts.fingerprint import fingerprint_of_open
from mediafleet.artifacts.originals.rights import dress, is_trusted, share
from mediafleet.domain.errors import InputError, NotFound, TransientFailure

if TYPE_CHECKING:
    from types import TracebackType

    from mediafleet.domain.artifact import Fingerprint

_LOCK = "lock"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SHARED = stat.S_ISGID | 0o775
"""Of a folder's rights, what a folder in it has as well: whoever may change the one may change the other, but for others."""
_LOCK_MODE, _JOURNAL_MODE = 0o660, 0o664
"""At most; the group has of it what it has of the folder. Others could keep a lock for ever, so they cannot open it."""
_LOCK_POLL_S, _LOCK_PATIENCE_S = 0.1, 600.0
"""A lock is held while names change, or a result is read that is to give way. Who waits keeps a thread from other work."""
_HELD = {EACCES, EAGAIN}
"""How file systems say that somebody has a lock."""
_NO_LINKS = {EPERM, ENOSYS, ENOTSUP, EOPNOTSUPP, EMLINK}
"""How file systems say that they know no hard links, or take no more of them."""


class Folder:
    """An open folder; blocking. Names are plain ones: `mediafleet.artifacts.originals.journal.check_name` sees to that."""

    def __init__(self, descriptor: int, path: Path) -> None:
        """Take an open folder over, and close it with this.

        Args:
            path: To show, and to stand in ledgers; nothing is opened by it.
        """
        self.path = path
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def enter(self, name: str, *, make: bool = False) -> Folder:
        """Open a folder in this one.

        Args:
            make: Make it where it is missing; its owner and its group may do in it what they may do in this one.

        Raises:
            NotFound: There is none.
            InputError: What has that name is no folder, or is one that more may change than this one.
        """
        if make:
            with suppress(FileExistsError):
                os.mkdir(name, stat.S_IRWXU, dir_fd=self._descriptor)
                self.sync()
        try:
            folder = Folder(os.open(name, _FOLDER, dir_fd=self._descriptor), self.path / name)
        except FileNotFoundError:
            raise NotFound(f"There is no folder {str(self.path / name)!r}.") from None
        except NotADirectoryError:
            raise _no_folder(self.path / name) from None
        except OSError as error:
            if error.errno == ELOOP:
                raise _no_folder(self.path / name) from None
            raise

        # Also where whoever made it was killed right then. Whoever may rename here could have put another folder in its
        # place, which has something in it.
        if make and not folder.names():
            share(folder._descriptor, self._descriptor, most=_SHARED)
        if not is_trusted(folder._descriptor, self._descriptor):
            os.close(folder._descriptor)
            raise _not_trusted(folder.path)
        return folder

    @contextmanager
    def locked(self, cancelled: threading.Event | None = None) -> Generator[None]:
        """Keep all others, also on other machines that share the folder, out of the block.

        Args:
            cancelled: Ends the waiting, not the block.

        Raises:
            TransientFailure: Somebody has kept it for 10 minutes, or the waiting was cancelled.
        """
        descriptor = self._open_lock()
        try:
            self._wait_for_lock(descriptor, cancelled or threading.Event())
            yield
        finally:
            os.close(descriptor)

    def _wait_for_lock(self, descriptor: int, cancelled: threading.Event) -> None:
        end = time.monotonic() + _LOCK_PATIENCE_S
        while not _take_lock(descriptor):
            if time.monotonic() >= end:
                raise TransientFailure(
                    f"Somebody has kept the lock of {str(self.path)!r} for too long; see which program has the file "
                    f"{_LOCK!r} there open, or try again later."
                )
            if cancelled.wait(_LOCK_POLL_S):
                raise TransientFailure(f"It was cancelled while it waited for the lock of {str(self.path)!r}.")

    def _open_lock(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(_LOCK, flags, 0o600, dir_fd=self._descriptor)
        found = os.fstat(descriptor)
        # Not a file of somebody that was given this name as well.
        if stat.S_ISREG(found.st_mode) and (found.st_nlink, found.st_size) == (1, 0):
            share(descriptor, self._descriptor, most=_LOCK_MODE)
        return descriptor

    # --- looking -------------------------------------------------------------------------------

    def may_change(self) -> bool:
        """Tell whether names may be made and removed here, by rights and by how the file system is mounted."""
        # By descriptor, since the path may be another folder by now.
        is_as_acting = os.access in os.supports_effective_ids
        return os.access(".", os.W_OK | os.X_OK, dir_fd=self._descriptor, effective_ids=is_as_acting)

    def find(self, name: str) -> os.stat_result | None:
        """Return what a name stands for, not following links; None where nothing has it."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Return the names in the folder, sorted."""
        return sorted(entry.name for entry in os.scandir(self._descriptor))

    def fingerprint(self, name: str) -> Fingerprint | None:
        """Return the fingerprint of a regular file; None where nothing, or something else, has the name.

        Raises:
            InvalidRequest: It cannot be read, or is still being written to.
        """
        with self._reading(name) as descriptor:
            return None if descriptor is None else fingerprint_of_open(descriptor, self.path / name)

    def are_same(self, name: str, other: Folder, other_name: str) -> bool:
        """Tell whether two names are of one and the same file."""
        first, second = self.find(name), other.find(other_name)
        return first is not None and second is not None and os.path.samestat(first, second)

    def hash(self, name: str) -> str:
        """Return the SHA-256 of all bytes of a regular file; empty where nothing, or something else, has the name."""
        with self._reading(name) as descriptor:
            return "" if descriptor is None else _hash(descriptor)

    def read(self, name: str) -> bytes | None:
        """Return all bytes of a small file; None where there is none."""
        with self._reading(name) as descriptor:
            if descriptor is None:
                return None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return file.read(BLOCK_BYTES)

    @contextmanager
    def _reading(self, name: str) -> Generator[int | None]:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in {ENOENT, ELOOP}:
                yield None
                return
            raise
        try:
            yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        finally:
            os.close(descriptor)

    # --- changing ------------------------------------------------------------------------------

    def write(self, name: str, content: bytes, *, draft: str) -> None:
        """Put a small file in place as a whole, surviving a power loss."""
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=self._descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, 0o600, dir_fd=self._descriptor), "wb") as file:
            share(file.fileno(), self._descriptor, most=_JOURNAL_MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        self.sync()

    def copy_in(self, source: Path, name: str, *, on_block: Callable[[], None]) -> str:
        """Write a copy of a file under a name that is free; return the SHA-256 of what was read.

        Args:
            on_block: Called after each block; what it raises ends the copying.
        """
        digest = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        # Readable by nobody else until it has the rights of its original.
        target = os.open(name, flags, 0o600, dir_fd=self._descriptor)
        with os.fdopen(target, "wb", buffering=0) as file, source.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                view = memoryview(block)
                while view:
                    view = view[file.write(view) :]
                on_block()
        return digest.hexdigest()

    def dress(self, name: str, like: str) -> tuple[str, ...]:
        """Give a file the rights, owner, times and attributes of another; return which of these it could not be given."""
        with self._reading(name) as descriptor, self._reading(like) as original:
            return () if descriptor is None or original is None else dress(descriptor, original)

    def read_back(self, name: str) -> str:
        """Bring a file to the disk, and return the SHA-256 of what the disk has of it."""
        with self._reading(name) as descriptor:
            if descriptor is None:
                raise TransientFailure(f"The copy of the result in {str(self.path)!r} vanished while it was made.")
            os.fsync(descriptor)
            if hasattr(os, "posix_fadvise"):
                # What is in memory was just written and would prove nothing.
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            return _hash(descriptor)

    def name_also(self, name: str, other: Folder, other_name: str) -> bool:
        """Give a file another name that is free; False where the file system knows no second names.

        Raises:
            FileExistsError: The other name is taken.
        """
        try:
            os.link(
                name,
                other_name,
                src_dir_fd=self._descriptor,
                dst_dir_fd=other._descriptor,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise
        return True

    def move(self, name: str, other: Folder, other_name: str) -> None:
        """Rename a file; what had the other name is gone."""
        os.rename(name, other_name, src_dir_fd=self._descriptor, dst_dir_fd=other._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove a folder, if it is there and holds nothing."""
        with suppress(OSError):
            os.rmdir(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        """Make the names in the folder survive a power loss."""
        os.fsync(self._descriptor)


def _take_lock(descriptor: int) -> bool:
    try:
        # Ends with the process, however that ends. On NFS and SMB of Linux it holds among machines.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


def _hash(descriptor: int) -> str:
    digest, start = hashlib.sha256(), 0
    while block := os.pread(descriptor, BLOCK_BYTES, start):
        digest.update(block)
        start += len(block)
    return digest.hexdigest()


def _no_folder(path: Path) -> InputError:
    return InputError(f"{str(path)!r} is no folder of its own but a link or a file; originals cannot be kept there.")


def _not_trusted(path: Path) -> InputError:
    return InputError(
        f"{str(path)!r} may be changed by users who may not change what is beside it, so no original is kept there, or "
        "brought back from there; see what is in it, and then remove it, or make it your own and let nobody else write to it."
    )
