"""Asks a child process what is in a media file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from mediafleet.domain.errors import TransientFailure, UnreadableMedia
from mediafleet.kinds.transcode import failures
from mediafleet.kinds.transcode.caps import CAPS, Excess, find_in_log, refuse
from mediafleet.kinds.transcode.demuxers import ALLOWED
from mediafleet.kinds.transcode.media import MediaInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.kinds.seam import ChildProcess

SCRIPT = Path(__file__).with_name("_probe.py")
"""What looks into a file."""
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


class _Refusal(msgspec.Struct, frozen=True):
    error: str
    encrypted: bool = False
    playlist: bool = False


async def probe(starter: Starter, path: Path, *, name: str) -> MediaInfo:
    """Return what is in the file; reads it to its end, decodes one picture of each video stream.

    Args:
        path: Absolute.
        name: The user's name of the file, for sentences.

    Raises:
        UnreadableMedia: It is no media, is damaged, is encrypted, names other files, holds more than `caps` allow, or
            crashed the demuxer.
        TransientFailure: It took so long that the disk seems to hang.
    """
    bounds = msgspec.json.encode(CAPS).decode()
    child = await starter.start_script(SCRIPT, [str(path), ALLOWED, bounds])
    try:
        async with asyncio.timeout(_patience_s(path)):
            line = await _read_all(child)
            # After all is read: a child whose pipe is full would never end.
            code = await child.wait()
    except TimeoutError:
        sentence = f"{failures.show_name(name)} could not be read in good time; check the disk or the share it lies on."
        raise TransientFailure(sentence) from None
    finally:
        # Also when the task is cancelled: the demuxer of a broken file may run on for ever.
        await child.stop()
    if code != 0 or not line:
        if excess := find_in_log(child.errors()):
            raise refuse(excess, name=name)
        sentence = f"{failures.show_name(name)} is damaged in a way that stops every reader."
        raise UnreadableMedia(sentence, detail=child.errors())
    return _understand(line, name=name, log=child.errors())


def _patience_s(path: Path) -> float:
    return _LEAST_S + path.stat().st_size / _SLOWEST_BYTES_PER_S


async def _read_all(child: ChildProcess) -> bytes:
    parts: list[bytes] = []
    while part := await child.read_line():
        parts.append(part)
    return b"".join(parts)


def _understand(line: bytes, *, name: str, log: str) -> MediaInfo:
    # Looked into before it is decoded whole: a refusal has none of the fields that a description needs.
    answer = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    if "excess" in answer:
        raise refuse(msgspec.json.decode(line, type=Excess), name=name)
    if "error" not in answer:
        return _check_pictures(msgspec.json.decode(line, type=MediaInfo), log, name=name)
    refusal = msgspec.json.decode(line, type=_Refusal)
    if refusal.encrypted:
        raise failures.encrypted(name)
    if refusal.playlist:
        raise failures.playlist(name)
    said = f"{log}\n{refusal.error}"
    if excess := find_in_log(said):
        raise refuse(excess, name=name)
    raise failures.explain(said, name=name)


def _check_pictures(info: MediaInfo, log: str, *, name: str) -> MediaInfo:
    """Return the inventory, unless a picture could not be looked at because it is too large."""
    is_blind = any(stream.type == "video" and not stream.decodable for stream in info.streams)
    if is_blind and (excess := find_in_log(log)):
        raise refuse(excess, name=name)
    return info
