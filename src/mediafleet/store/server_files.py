"""The private server's files: where its socket lies, and which process an earlier owner left behind.

Nothing here signals a process that is not proven to be the server of the same data directory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import psutil

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_SOCKET_PATH = 100
"""Bytes; `sun_path` holds 104 on macOS and 108 on Linux, with the final zero."""
_SHORT_FOLDER_PREFIX = "mediafleet-"
_START_TIME_TOLERANCE_S = 2.0
"""Linux derives start times from its boot time, which moves by up to a second when the clock is set."""


class ServerRecord(msgspec.Struct, frozen=True):
    """What is written beside a running server, for the next owner to find it by."""

    pid: int
    started_s: float
    """Start time of the process, seconds since 1970: with the pid it names a process for ever."""
    socket: str


def choose_socket(directory: Path) -> Path:
    """Return where the server should listen: in its directory, else, where that path is too long, in a new short one.

    A short folder is made private (0700) under the folder for temporary files; `discard_socket` removes it.
    """
    socket = directory / "redis.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
        return socket
    base = tempfile.gettempdir()
    # A name made by mkdtemp adds 8 random letters; /tmp is short on every system we run on.
    room = LONGEST_SOCKET_PATH - len(_SHORT_FOLDER_PREFIX) - len("12345678/redis.sock") - 1
    folder = tempfile.mkdtemp(prefix=_SHORT_FOLDER_PREFIX, dir=base if len(os.fsencode(base)) <= room else "/tmp")  # noqa: S108 - private by mkdtemp
    return type(directory)(folder) / "redis.sock"


def discard_socket(socket: Path, directory: Path) -> None:
    """Remove the socket, and its folder if it is a short one made for it."""
    with suppress(OSError):
        socket.unlink(missing_ok=True)
        # The path may come from a record on disk: only a folder with our own beginning is removed with all it holds.
        if socket.parent != directory and socket.parent.name.startswith(_SHORT_FOLDER_PREFIX):
            shutil.rmtree(socket.parent)


def write_record(path: Path, *, pid: int, socket: Path) -> None:
    """Note a server that was just started; atomic, so that a killed writer leaves no half record."""
    record = ServerRecord(pid, psutil.Process(pid).create_time(), str(socket))
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(record))
    draft.replace(path)


def read_record(path: Path) -> ServerRecord | None:
    """Return the record an earlier owner left, or None if there is none that can be read."""
    # A power loss can leave a file of the right length with other bytes in it; text that is no UTF-8 is a ValueError.
    with suppress(OSError, ValueError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=ServerRecord)
    return None


def find_process(record: ServerRecord) -> psutil.Process | None:
    """Return the live process that the record means; None if it ended, also if its pid was given to another."""
    try:
        process = psutil.Process(record.pid)
        is_same = abs(process.create_time() - record.started_s) <= _START_TIME_TOLERANCE_S
        # A zombie has ended, and keeps its pid only until its parent, which may be this process, waits for it.
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, ValueError):
        # psutil answers a negative pid with a ValueError.
        return None
