"""Small files that are either there as a whole or not at all, also after a power cut."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"
"""Ends the name of a file that is not complete; safe to remove at start."""


def write_durably(path: Path, content: bytes, *, writer: str = "") -> None:
    """Replace the file in one step, and return when the disk has it.

    Blocks; call it in a thread where that matters. One writer a path at a time, or of one name.
    """
    temporary = path.with_name(f"{path.name}{writer}{TEMPORARY_SUFFIX}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Only after the sync: some file systems write the new name
        # before the bytes, and a power cut would leave it empty.
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost, although the content is on the disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
