"""Files that may be used in place: those below folders that the operator named, and nothing else."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.artifacts.fingerprint import fingerprint_of_open, open_regular
from mediafleet.domain.errors import InputError, NotFound

if TYPE_CHECKING:
    from mediafleet.domain.artifact import Fingerprint

READ_BYTES = 1024 * 1024
_LONGEST_PATH_BYTES = 1024
"""What F_GETPATH of macOS writes at most (MAXPATHLEN in sys/param.h)."""


class FileRoots:
    """Opens files below its folders. Whoever may write there can move names about, so the opened file is judged."""

    def __init__(self, folders: Sequence[str], *, setting: str = "artifacts.file_roots") -> None:
        """Take absolute paths; `~` is the user that runs this.

        Args:
            setting: Which one names the folders, for sentences.
        """
        self._folders = [Path(folder).expanduser() for folder in folders]
        self._setting = setting

    async def fingerprint(self, path: Path) -> Fingerprint:
        """Return the fingerprint of a file that may be used.

        Raises:
            InputError: It lies outside the folders.
            NotFound: There is no such file.
            InvalidRequest: It is no regular file, cannot be read, or is still being written to.
        """
        return (await self.prove(path))[0]

    async def prove(self, path: Path) -> tuple[Fingerprint, str]:
        """Return the fingerprint of a file that may be used, and a word that is another one after each change of the file.

        The word differs from one machine to the next. Errors are those of `fingerprint`.
        """
        return await asyncio.to_thread(self._prove, path)

    async def read(self, path: Path, expected: Fingerprint, *, start: int, length: int) -> AsyncGenerator[bytes]:
        """Stream a range of the file that was fingerprinted, in pieces of bounded size.

        Raises:
            InputError, NotFound, InvalidRequest: As for `fingerprint`; NotFound also for another file of that name.
        """
        descriptor = await self._open_elsewhere(path)
        try:
            if await asyncio.to_thread(fingerprint_of_open, descriptor, path) != expected:
                raise NotFound(f"The file {path.name!r} has changed since it was submitted; submit it again.")
            end = start + length
            while start < end and (
                piece := await asyncio.to_thread(os.pread, descriptor, min(READ_BYTES, end - start), start)
            ):
                start += len(piece)
                yield piece
        finally:
            os.close(descriptor)

    def open_folder(self, path: Path) -> tuple[int, Path]:
        """Open a folder in which files may be changed; return its descriptor, which the caller closes, and where it is.

        Blocking. What is done relative to the descriptor happens in that folder, whatever becomes of names and links.

        Raises:
            InputError: It lies outside the folders.
            NotFound: There is no such folder.
        """
        self._check(path / "_", _resolve(path))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound(f"There is no folder {str(path)!r} here: {error.strerror}.") from error
        try:
            real = _path_of(descriptor)
            self._check(path / "_", real)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, real

    async def _open_elsewhere(self, path: Path) -> int:
        """Open in a thread; a reader that goes away meanwhile leaves nothing open."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, path))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread cannot be stopped, so what it opens is closed when it comes.
            opening.add_done_callback(_close_opened)
            raise

    def _prove(self, path: Path) -> tuple[Fingerprint, str]:
        descriptor = self._open(path)
        try:
            # First: what changes while it is read must not pass for what was read.
            found = os.fstat(descriptor)
            # The second time cannot be set, unlike the first, which programs that copy files do set.
            version = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_ctime_ns}"
            return fingerprint_of_open(descriptor, path), version
        finally:
            os.close(descriptor)

    def _open(self, path: Path) -> int:
        # Asked before anything is opened, so that the answer does not tell which files exist elsewhere.
        self._check(path, _resolve(path))
        descriptor = open_regular(path)
        try:
            # A link in the path may have been turned since; what the system really opened cannot.
            self._check(path, _path_of(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _check(self, asked: Path, real: Path) -> None:
        if not any(real.is_relative_to(_resolve(folder)) for folder in self._folders):
            raise InputError(
                f"Files may not be used in place from {str(asked.parent)!r}; "
                f"upload the file, or add the folder to {self._setting}."
            )


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        # A circle of links is a RuntimeError before Python 3.13.
        raise InputError(f"{str(path)!r} leads nowhere: its links go in a circle.") from error


def _close_opened(opening: asyncio.Future[int]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())


def _path_of(descriptor: int) -> Path:
    """Return where the system says that an opened file is. Raises InputError where it cannot be asked."""
    try:
        if sys.platform == "darwin":
            from fcntl import F_GETPATH, fcntl  # noqa: PLC0415 - exists there only

            return Path(os.fsdecode(fcntl(descriptor, F_GETPATH, bytes(_LONGEST_PATH_BYTES)).rstrip(b"\0")))
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError as error:
        raise InputError("This system cannot tell where an opened file lies; upload the file instead.") from error
