"""Small files that would cost a careless reader gigabytes, hours or its head. Each is made in well under a second."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from mediafleet.testing import make_clip, run_ffmpeg


def png(path: Path, side: int) -> Path:
    """Write a black square; at 30000 pixels a side it has 100 KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = bytes(1 + (side + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def pictures(path: Path, sides: list[int]) -> Path:
    """Write a film of squares, each of a size of its own; NUT, because it takes any codec."""
    opened: Any = av.open(str(path), "w", format="nut")  # its stubs know no codec of ours
    with opened as film:
        stream = film.add_stream("png", rate=25)
        stream.width = stream.height = sides[0]
        stream.pix_fmt = "monob"
        for number, side in enumerate(sides):
            packet: Any = av.Packet(png(path.with_suffix(".png"), side).read_bytes())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            film.mux(packet)
    return path


async def cover(path: Path, side: int) -> Path:
    """Write a film with cover art of that size."""
    picture = png(path.with_suffix(".png"), side)
    await make_clip(
        path,
        seconds=0.2,
        sound=False,
        extra=[
            *("-attach", f"file:{picture}"),
            *("-metadata:s:t", "mimetype=image/png", "-metadata:s:t", "filename=cover.png"),
        ],
    )
    return path


async def gap(path: Path, hours: float) -> Path:
    """Write half a second, nothing for hours, and half a second."""
    clip = await make_clip(path.with_name("steady.mp4"), sound=False)
    jump = f"setpts=PTS+gt(N\\,12)*{int(hours * 3600)}/TB"
    await run_ffmpeg(["-i", f"file:{clip}", "-vf", jump, "-fps_mode", "passthrough"], path)
    return path


async def chapters(path: Path, count: int) -> Path:
    """Write a film with so many chapters."""
    marks = path.with_suffix(".txt")
    parts = (f"[CHAPTER]\nTIMEBASE=1/100000\nSTART={n}\nEND={n + 1}\ntitle=c{n}\n" for n in range(count))
    marks.write_text(";FFMETADATA1\n" + "".join(parts))
    clip = await make_clip(path.with_name("plain.mp4"), seconds=0.2, sound=False)
    await run_ffmpeg(["-i", f"file:{clip}", "-i", f"file:{marks}", "-map_chapters", "1", "-c", "copy"], path)
    return path


async def attachments(path: Path, names: list[str], content: bytes = b"x") -> Path:
    """Write a film with attached files that call themselves so."""
    attached = path.with_suffix(".txt")
    attached.write_bytes(content)
    words: list[str] = []
    for number, name in enumerate(names, start=1):
        words += ["-attach", f"file:{attached}", f"-metadata:s:{number}", "mimetype=application/x-truetype-font"]
        words += [f"-metadata:s:{number}", f"filename={name}"]
    return await make_clip(path, seconds=0.2, sound=False, extra=words)


def streams(path: Path, count: int) -> Path:
    """Write a Matroska file whose header announces so many tracks; each is one of sound."""

    def element(number: str, data: bytes) -> bytes:
        return bytes.fromhex(number) + struct.pack(">Q", 1 << 56 | len(data)) + data

    def word(number: str, value: int) -> bytes:
        return element(number, struct.pack(">I", value))

    tracks = b"".join(
        element("AE", word("D7", n) + word("73C5", n) + word("83", 2) + element("86", b"A_PCM/INT/LIT"))
        for n in range(1, count + 1)
    )
    block = element("A3", b"\x81\x00\x00\x80" + bytes(16))
    header = element("1A45DFA3", element("4282", b"matroska"))
    segment = element("1654AE6B", tracks) + element("1F43B675", word("E7", 0) + block)
    path.write_bytes(header + element("18538067", segment))
    return path
