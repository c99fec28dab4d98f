"""The indexing child: prints one JSON line about when each picture of a stream is shown; imports nothing of mediafleet.

It only reads packets and decodes nothing, in a process of its own for the reasons of `_probe.py`.
`mediafleet.kinds.transcode.index` starts it, tells it on standard input what to do, and reads the line as `FrameIndex`.

    echo '["<absolute path>", "<comma-separated demuxers>", "<stream index>", "<caps as JSON>"]' | python -I _index.py
"""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import struct
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging

_BOX_BYTES, _LONG_BOX = 8, struct.Struct(">I4sQ")
"""Header of an ISO box: its size and name; a size of 1 says that the true one follows."""


def _read(container: Any, stream: Any) -> tuple[list[Any], str]:
    """Return the packets that are shown as (pts, dts, is key, duration, first byte, end), and what broke off the reading."""
    found: list[Any] = []
    try:
        # Empty packets only flush a decoder; discarded ones are hidden by an edit list.
        shown = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
        # One by one, so that what came before an error stays.
        found.extend(map(_row, shown))
    except av.error.FFmpegError as error:
        return found, error.strerror or str(error)
    return found, ""


def _row(packet: Any) -> tuple[Any, ...]:
    begin = -1 if packet.pos is None else packet.pos
    return packet.pts, packet.dts, packet.is_keyframe, packet.duration or 0, begin, begin + packet.size


def _ends(timed: list[Any]) -> list[int]:
    """Return for each picture in the order of showing where in the file it and all that are shown before it end."""
    # Not where it ends itself: pictures lie in the order of decoding.
    return list(accumulate((packet[5] for packet in timed), max))


def _is_fragmented(path: str) -> bool:
    """Tell whether an MP4 file says where its pictures are only piece by piece: to enter it, FFmpeg reads all pieces before."""
    with Path(path).open("rb") as file:
        end, place = file.seek(0, os.SEEK_END), 0
        while place < end:
            file.seek(place)
            header = file.read(_LONG_BOX.size).ljust(_LONG_BOX.size, b"\0")
            size, kind, long_size = _LONG_BOX.unpack(header)
            if kind == b"moof":
                return True
            size = long_size if size == 1 else size
            # 0 says that it is the last one; less than its own header says that it is no box.
            if size < _BOX_BYTES:
                return False
            place += size
    return False


def index(path: str, demuxers: str, number: int, *, most_pixels: int) -> dict[str, Any]:
    """Return the shown pictures of one stream in the order of showing."""
    options = {"protocol_whitelist": "file", "format_whitelist": demuxers, "max_pixels": str(most_pixels)}
    with av.open(f"file:{path}", mode="r", options=options, metadata_errors="replace") as container:
        stream = container.streams[number]
        packets, broken = _read(container, stream)
        base = stream.time_base
        header = bytes(stream.codec_context.extradata or b"")
    timed = sorted(packet for packet in packets if packet[0] is not None)
    is_placed = all(packet[4] >= 0 for packet in timed) and not ("mp4" in demuxers.split(",") and _is_fragmented(path))
    return {
        "time_base": [base.numerator, base.denominator] if base else [1, 1000],
        "pts": [packet[0] for packet in timed],
        # A stream may be entered wherever both times of a key picture have come: which of the two counts, formats differ.
        "keys": [[one[0], one[0] if one[1] is None else min(one[:2])] for one in timed if one[2]],
        "begins": [one[4] for one in timed if one[2]] if is_placed else [],
        "ends": _ends(timed) if is_placed else [],
        "last_duration": timed[-1][3] if timed else 0,
        "untimed": len(packets) - len(timed),
        "header": hashlib.sha256(header).hexdigest(),
        "broken": broken,
    }


def answer(path: str, demuxers: str, number: int, *, most_pixels: int) -> dict[str, Any]:
    """Return the index, or why there is none."""
    try:
        return index(path, demuxers, number, most_pixels=most_pixels)
    except IndexError:
        return {"broken": "it has no such stream"}
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        return {"broken": getattr(error, "strerror", None) or str(error)}


def main() -> None:
    """Wait for the line, and answer it; without one, nobody needs an answer."""
    # All that takes time comes before: this process may have been started long before it is needed.
    bind_oneself = runpy.run_path(str(Path(__file__).with_name("_bounds.py")))["bind_oneself"]
    av.logging.set_level(av.logging.ERROR)
    if line := sys.stdin.readline():
        path, demuxers, number, bounds = json.loads(line)
        caps: dict[str, int] = json.loads(bounds)
        bind_oneself(caps["memory_bytes"])
        sys.stdout.write(json.dumps(answer(path, demuxers, int(number), most_pixels=caps["pixels"])) + "\n")
        sys.stdout.flush()
    # Taking the libraries apart again costs as much time as reading a small file, and there is nothing left to save.
    os._exit(0)


if __name__ == "__main__":
    main()
