"""What blob store and downloads share: files that exist whole or not at all, and full disks in a sentence."""

from __future__ import annotations

import errno
import os
import re
import shutil
from typing import TYPE_CHECKING

from mediafleet.domain.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_BYTES = 1024 * 1024
"""How much is read, hashed or written at once: large enough that a thread hop costs nothing beside it."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How the obstore library writes the number of the operating system's error."""


def sync_file(path: Path) -> None:
    """Make a file's bytes survive a power loss."""
    # Reading is enough: on Linux and macOS a sync is about the file and not about the descriptor.
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power loss."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def explain(error: Exception, folder: Path) -> Unavailable:
    """Return our error for one of the file system: names a full disk, and what to do."""
    # obstore's errors carry no number of their own, only the words of the Rust library below.
    number = error.errno if isinstance(error, OSError) and error.errno else _number_in(str(error))
    if number in _FULL:
        return Unavailable(
            f"The disk of {folder} is full ({_free(folder)} free); free space there and try again.", detail=str(error)
        )
    reason = os.strerror(number) if number else "an unexpected error"
    return Unavailable(f"{folder} cannot be written to or read: {reason}.", detail=str(error))


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _number_in(text: str) -> int:
    match = _OS_ERROR.search(text)
    return int(match[1]) if match else 0


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 2**20:.0f} MiB"
    except OSError:
        return "nothing"
