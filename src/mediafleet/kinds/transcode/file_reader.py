"""Runs a script that reads a media file and says what it found: in a child, since broken files crash and hang demuxers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from mediafleet.domain.errors import TransientFailure
from mediafleet.kinds.transcode import failures
from mediafleet.kinds.transcode.caps import CAPS
from mediafleet.kinds.transcode.demuxers import ALLOWED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mediafleet.kinds.seam import ChildProcess

_LEAST_S = 60.0
_SLOWEST_BYTES_PER_S = 4_000_000
"""A disk or share slower than this is taken for one that hangs."""


class Starter(Protocol):
    """The part of a `TaskContext` that starts children."""

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> ChildProcess:
        """Start a child without a shell."""
        ...

    async def start_script(self, script: Path, arguments: Sequence[str]) -> ChildProcess:
        """Start a script that reads its arguments from standard input."""
        ...


class Answer(NamedTuple):
    """What a reader said."""

    text: bytes
    """Its standard output; empty where it crashed before it had found anything."""
    exit_code: int | None
    log: str


async def ask_reader(starter: Starter, script: Path, path: Path, *more: str, name: str) -> Answer:
    """Run a script on a file, with the demuxers and caps of all our readers.

    Args:
        starter: Starts the child.
        script: Called with the path, the demuxers it may use, `more`, and the caps as JSON.
        path: Absolute.
        more: Further arguments of the script.
        name: The user's name of the file, for sentences.

    Raises:
        TransientFailure: It took so long that the disk seems to hang.

    Cancelling stops the child.
    """
    child = await starter.start_script(script, [str(path), ALLOWED, *more, msgspec.json.encode(CAPS).decode()])
    try:
        async with asyncio.timeout(_patience_s(path)):
            text = await _read_all(child)
            # After all is read: a child whose pipe is full would never end.
            code = await child.wait()
    except TimeoutError:
        sentence = f"{failures.show_name(name)} could not be read in good time; check the disk or the share it lies on."
        raise TransientFailure(sentence) from None
    finally:
        # Also when the task is cancelled: the demuxer of a broken file may run on for ever.
        await child.stop()
    return Answer(text, code, child.errors())


def _patience_s(path: Path) -> float:
    return _LEAST_S + path.stat().st_size / _SLOWEST_BYTES_PER_S


async def _read_all(child: ChildProcess) -> bytes:
    parts: list[bytes] = []
    while part := await child.read_line():
        parts.append(part)
    return b"".join(parts)
