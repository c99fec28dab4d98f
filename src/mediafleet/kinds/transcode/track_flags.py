"""Clears what FFmpeg's MP4 muxer sets by itself: it enables the first track of each type where none is the default.

A player shows an enabled subtitle unasked, and the muxer has no option against it. Box names and fields: ISO/IEC 14496-12,
8.3.2 (`tkhd`) and 8.4.3 (`hdlr`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.kinds.transcode.streams import OutputPlan

_SUBTITLES = frozenset({b"sbtl", b"subt", b"subp", b"text", b"clcp"})
"""What handlers of subtitle tracks are called; chapters' titles, which are `text`, are never enabled."""
_HEADER, _LARGE_HEADER = 8, 16
_FLAGS_END = 4
"""Version and flags of a full box; the last bit says that the track is enabled."""
_HANDLER = slice(8, 12)
_ENABLED = 1


class _Box(NamedTuple):
    kind: bytes
    begin: int
    """Of its content, bytes from the file's beginning."""
    end: int


def show_no_subtitles(plan: OutputPlan, path: Path) -> None:
    """Let players show no subtitle of an output by itself, where no subtitle of the source is marked so; blocking."""
    subtitles = [one.source for one in plan.tracks if one.source.type == "subtitle"]
    if plan.container.muxer not in {"mp4", "mov"} or not subtitles:
        return
    if not any("default" in subtitle.disposition for subtitle in subtitles):
        disable_subtitles(path)


def disable_subtitles(path: Path) -> int:
    """Disable the subtitle tracks of an MP4 or MOV file, in place, and return how many were enabled; blocking."""
    count = 0
    with path.open("r+b") as file:
        whole = _Box(b"", 0, file.seek(0, os.SEEK_END))
        for track in _find(file, whole, b"moov", b"trak"):
            header = next(_find(file, track, b"tkhd"), None)
            handler = next(_find(file, track, b"mdia", b"hdlr"), None)
            if header is None or handler is None or _read(file, handler, _HANDLER.stop)[_HANDLER] not in _SUBTITLES:
                continue
            flags = _read(file, header, _FLAGS_END)
            if flags[-1] & _ENABLED:
                file.seek(header.begin + _FLAGS_END - 1)
                file.write(bytes([flags[-1] & ~_ENABLED]))
                count += 1
    return count


def _find(file: BinaryIO, box: _Box, kind: bytes, *deeper: bytes) -> Iterator[_Box]:
    """Yield the boxes in a box of one kind, or those of another kind in these."""
    for child in _children(file, box):
        if child.kind == kind:
            yield from _find(file, child, *deeper) if deeper else (child,)


def _children(file: BinaryIO, box: _Box) -> Iterator[_Box]:
    place = box.begin
    while place + _HEADER <= box.end:
        file.seek(place)
        header = file.read(_LARGE_HEADER)
        size, kind, length = int.from_bytes(header[:4]), header[4:8], _HEADER
        if size == 1:
            size, length = int.from_bytes(header[8:]), _LARGE_HEADER
        # 0 says that it is the last one.
        end = box.end if size == 0 else place + size
        if not place + length <= end <= box.end:
            return
        yield _Box(kind, place + length, end)
        place = end


def _read(file: BinaryIO, box: _Box, count: int) -> bytes:
    file.seek(box.begin)
    return file.read(min(count, box.end - box.begin)).ljust(count, b"\0")
