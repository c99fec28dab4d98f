"""The probing child: prints one JSON line about a media file, and imports nothing of mediafleet.

It runs by path in an isolated interpreter, so that a file which crashes or hangs the demuxer takes
down this process only, and so that it starts in a tenth of a second. `mediafleet.kinds.transcode.probe`
starts it, tells it on standard input what to do, and reads the line as `MediaInfo`.

    echo '["<absolute path>", "<comma-separated demuxers>", "<caps as JSON>"]' | python -I _probe.py
"""

from __future__ import annotations

import json
import os
import runpy
import struct
import sys
from array import array
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import av.error
import av.filter
import av.logging
from av.container import InputContainer
from av.format import Flags
from av.stream import Disposition

_DECODE_TRIES = 40
"""Packets handed to a decoder before it is given up: enough for the reordering of any codec."""
_LINES = 1080
"""Of a picture, to ask how many of them have colours."""
_LOOKED_AT = 4
"""Pictures whose side data is looked at: captions and the like need not begin with the first."""
_EXTRAS = {
    "mastering_display_metadata": "mastering",
    "content_light_level": "light",
    "a53_cc": "captions",
    "spherical": "spherical",
    "stereo3d": "stereo3d",
    "icc_profile": "icc",
    "ambient_viewing_environment": "ambient",
}
"""Side data of a picture that an encode may lose → our word for it."""
_UNEVEN_SHARE = 0.1
"""Pictures whose distances differ by more than this share are of no constant rate."""
_ENCRYPTION_MARKS = (b"encv", b"enca", b"drms", b"drmi", b"pssh")
"""Box types that only an encrypted ISO file has."""
_HEADER_BYTES = 4 << 20
"""How much of the file's start is searched for those marks."""
_DOLBY_VISION_MARKS = (b"dvcC", b"dvvC", b"dvwC")
"""Boxes of an ISO file, and the same letters as numbers in Matroska, that configure Dolby Vision of a stream."""
_CLUSTER = b"\x1f\x43\xb6\x75"
"""Where the header of a Matroska file ends."""
_BOX, _LONG_BOX = struct.Struct(">I4s"), struct.Struct(">I4sQ")
"""Header of an ISO box: its size and name; a size of 1 says that the true one follows."""
_LARGEST_MOOV = 64 << 20
_PLAYLIST_MARKS = (b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml", b"<MPD", b"[playlist]", b"[Reference]")
"""How the formats begin that are lists of other files."""
_MOST_TAGS, _MOST_CHARACTERS = 200, 1000
"""Of what a file says of itself; all that is told is kept in the memory of the node."""
_DISPOSITIONS = [
    "default",
    "dub",
    "original",
    "comment",
    "lyrics",
    "karaoke",
    "forced",
    "hearing_impaired",
    "visual_impaired",
    "attached_pic",
    "timed_thumbnails",
    "captions",
    "descriptions",
]


class ExcessError(Exception):
    """A cap is exceeded; nothing was decoded."""

    def __init__(self, what: str, found: float, at_s: float = 0.0) -> None:
        super().__init__(what)
        self.answer = {"excess": what, "found": int(found), "at_s": at_s}


class Clock:
    """Watches the times of picture and sound together: one of them may be silent while the other goes on."""

    def __init__(self, caps: dict[str, int], *, may_jump: bool) -> None:
        self._caps = caps
        # FFmpeg mends the jumps of such formats by itself; broadcasts have them wherever a programme begins.
        self._gap_s = float("inf") if may_jump else caps["gap_s"]
        self._first_s: float | None = None
        self._latest_s = 0.0

    def note(self, packet: Any) -> None:
        """Take the time of a packet that plays. Raises ExcessError."""
        if packet.pts is None or packet.time_base is None:
            return
        now_s = float(packet.pts * packet.time_base)
        if self._first_s is None:
            self._first_s = self._latest_s = now_s
        if now_s - self._latest_s > self._gap_s:
            raise ExcessError("gap_s", now_s - self._latest_s, self._latest_s - self._first_s)
        if now_s - self._first_s > self._caps["span_s"]:
            raise ExcessError("span_s", now_s - self._first_s)
        self._latest_s = max(self._latest_s, now_s)


class Track:
    """What the scan learns of one stream."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.packets = 0
        self.start: int | None = None
        self.end: int | None = None
        self.first_duration = self.last_duration = 0
        self.tries_left = _DECODE_TRIES if stream.type == "video" else 0
        self.frame: Any = None
        self.is_timed = stream.type == "audio" or (
            stream.type == "video" and not stream.disposition & Disposition.attached_pic
        )
        self.kinds: set[str] = set()
        self.is_interlaced = self.is_bottom_first = False
        self.times = array("q")

    def note(self, packet: Any) -> None:
        """Count a packet that plays; those that an edit list hides do not."""
        # PyAV ends with an empty packet for each stream, which only flushes its decoder.
        if packet.is_discard or not packet.size:
            return
        self.packets += 1
        if packet.pts is None:
            return
        if self.stream.type == "video":
            self.times.append(packet.pts)
        duration = packet.duration or 0
        # Packets come in the order of decoding; with B-frames neither the first nor the last of them is so in time.
        if self.start is None or packet.pts < self.start:
            self.start, self.first_duration = packet.pts, duration
        if self.end is None or packet.pts + duration >= self.end:
            self.end, self.last_duration = packet.pts + duration, duration

    def decode(self, packet: Any) -> None:
        """Look at the stream's first pictures, which know rotation, fields and colour better than the header."""
        if not self.tries_left:
            return
        self.tries_left -= 1
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return
        if frames and self.frame is None:
            self.frame, self.tries_left = frames[0], min(self.tries_left, _LOOKED_AT)
        for frame in frames:
            self.kinds |= {_text(data.type) for data in frame.side_data}
            if frame.interlaced_frame and not self.is_interlaced:
                self.is_interlaced, self.is_bottom_first = True, _is_bottom_first(frame)

    @property
    def is_uneven(self) -> bool:
        """Whether the pictures are of a variable rate, beyond what the clock of the file rounds."""
        times = sorted(self.times)
        gaps = sorted(after - before for before, after in pairwise(times))
        # The last picture may be shown for longer, and one odd gap is a cut and no rate.
        usual = gaps[1:-1]
        return bool(usual) and usual[-1] - usual[0] > max(2, _UNEVEN_SHARE * usual[len(usual) // 2])


def _is_bottom_first(frame: Any) -> bool:
    """Tell whether the lower lines of a picture come first. PyAV does not say, but a filter lets only such pictures pass."""
    graph = cast("Any", av.filter.Graph())
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    graph.link_nodes(source, graph.add("select", "eq(interlace_type,BOTTOMFIRST)"), graph.add("buffersink"))
    try:
        graph.configure()
        graph.push(frame)
        graph.pull()
    except av.error.FFmpegError:
        return False
    return True


def _seconds(ticks: int | None, base: Fraction | None) -> float | None:
    return None if ticks is None or base is None else float(ticks * base)


def _span(track: Track) -> tuple[float | None, float | None, float]:
    """Return start, length and the length of one frame, in seconds."""
    base = track.stream.time_base
    if track.start is None or track.end is None or base is None:
        return None, None, 0.0
    start = track.start
    # Priming samples of audio come before the stream's own start and are never heard.
    if track.stream.start_time is not None and track.stream.type == "audio":
        start = max(start, track.stream.start_time)
    length = max(0, track.end - start)
    # Some containers give no duration, and a last packet may be cut: the longer of both is the safe tolerance.
    average = (track.end - track.start) / track.packets if track.packets else 0
    return float(start * base), float(length * base), float(max(track.last_duration, average) * base)


def _text(value: Any) -> str:
    name = getattr(value, "name", None)
    return str(name).lower() if name is not None else ""


def _picture(track: Track) -> dict[str, Any]:
    stream, frame = track.stream, track.frame
    codec = stream.codec_context
    sar = stream.sample_aspect_ratio or codec.sample_aspect_ratio or Fraction(1)
    rate = stream.guessed_rate or stream.average_rate
    return {
        "width": codec.width,
        "height": codec.height,
        "sar": [sar.numerator, sar.denominator] if sar else [1, 1],
        "rotation": int(frame.rotation) if frame is not None else 0,
        "fps": float(rate) if rate else 0.0,
        "pix_fmt": (frame.format.name if frame is not None else codec.pix_fmt) or "",
        "bit_depth": max((part.bits for part in frame.format.components), default=8) if frame is not None else 8,
        "colours_lines": frame is not None and frame.format.chroma_height(_LINES) == _LINES,
        "colour": [int(codec.color_range), int(codec.color_primaries), int(codec.color_trc), int(codec.colorspace)],
        "dolby_vision": any("dovi" in kind for kind in track.kinds)
        or _tag(stream) in {"dvh1", "dvhe", "dvav", "dva1", "dav1"},
        "hdr10_plus": any("hdr_plus" in kind for kind in track.kinds),
        "decodable": frame is not None,
        "interlaced": track.is_interlaced,
        "bottom_first": track.is_bottom_first,
        "variable": track.is_uneven,
        "extras": sorted(word for kind, word in _EXTRAS.items() if kind in track.kinds),
        **_side_numbers(frame),
    }


def _side_numbers(frame: Any) -> dict[str, Any]:
    """Return what a picture's side data says in numbers, as FFmpeg's records lay it out."""
    found: dict[str, Any] = {}
    for data in frame.side_data if frame is not None else ():
        kind = _text(data.type)
        if kind == "displaymatrix":
            matrix = struct.unpack("9i", bytes(data)[:36])
            found["mirrored"] = matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0
        elif kind == "content_light_level":
            found["light"] = struct.unpack("2I", bytes(data)[:8])
        elif kind == "mastering_display_metadata":
            pairs = struct.unpack("20i", bytes(data)[:80])
            found["mastering"] = [
                top / bottom if bottom else 0.0 for top, bottom in zip(pairs[::2], pairs[1::2], strict=True)
            ]
    return found


def _sound(stream: Any) -> dict[str, Any]:
    codec = stream.codec_context
    return {
        "sample_rate": codec.sample_rate or 0,
        "channels": codec.layout.nb_channels if codec.layout else 0,
        "layout": codec.layout.name if codec.layout else "",
        "profile": codec.profile or "",
        "lossless": _is_lossless(codec),
    }


def _is_lossless(codec: Any) -> bool:
    """Tell whether sound comes out as it once went in. DTS is both, which its profile tells apart; so is WavPack, mostly so."""
    # A stream of an unknown format has no codec to ask.
    if not getattr(codec, "codec", None) or not codec.codec.lossless:
        return False
    return codec.codec.canonical_name != "dts" or "MA" in (codec.profile or "")


def _tag(stream: Any) -> str:
    try:
        tag = str(stream.codec_context.codec_tag)
    except AttributeError:
        return ""
    return tag if tag.isprintable() and "\ufffd" not in tag else ""


def _codec(stream: Any) -> str:
    try:
        return str(stream.codec_context.codec.canonical_name)
    except (AttributeError, ValueError):
        return ""


def _disposition(flags: Any) -> list[str]:
    return [word for word in _DISPOSITIONS if flags & getattr(Disposition, word, 0)]


def _describe(track: Track) -> dict[str, Any]:
    stream = track.stream
    start, length, frame = _span(track)
    base = stream.time_base or Fraction(1, 1000)
    codec = _codec(stream)
    found: dict[str, Any] = {
        "index": stream.index,
        "type": stream.type or "unknown",
        "codec": codec,
        "tag": _tag(stream),
        "language": stream.language or "",
        # FFmpeg reads the title that it wrote into an MP4 file under another name.
        "title": (stream.metadata.get("title") or stream.metadata.get("name", ""))[:_MOST_CHARACTERS],
        "disposition": _disposition(stream.disposition),
        "time_base": [base.numerator, base.denominator],
        "declared_s": _seconds(stream.duration, stream.time_base),
        "start_s": start,
        "length_s": length,
        "frame_s": frame,
        "lead_s": _seconds(track.first_duration, stream.time_base) or 0.0,
        "packets": track.packets,
        "metadata": [name[:_MOST_CHARACTERS] for name in sorted(stream.metadata)[:_MOST_TAGS]],
    }
    if stream.type == "video" and stream.codec_context is not None:
        found |= _picture(track)
    if stream.type == "audio" and stream.codec_context is not None:
        found |= _sound(stream)
    if stream.type == "attachment":
        found["title"] = stream.metadata.get("filename", "")[:_MOST_CHARACTERS]
    return found


def _decoders(container: InputContainer) -> list[Any]:
    """Return what would decode the pictures; a stream of an unknown codec has none."""
    found: list[Any] = [stream.codec_context for stream in container.streams.video]
    return [decoder for decoder in found if decoder is not None]


def _check_inventory(container: InputContainer, caps: dict[str, int]) -> None:
    """Raise ExcessError where the headers announce more than anybody needs."""
    attached = sum(stream.type == "attachment" for stream in container.streams)
    counts = {
        "streams": len(container.streams) - attached,
        "attachments": attached,
        "chapters": len(container.chapters()),
        "pixels": max((one.width * one.height for one in _decoders(container)), default=0),
    }
    for what, found in counts.items():
        if found > caps[what]:
            raise ExcessError(what, found)


def _scan(container: InputContainer, caps: dict[str, int]) -> tuple[list[Track], str]:
    """Read every packet; return the tracks, and what broke off the reading if anything did."""
    tracks = [Track(stream) for stream in container.streams]
    clock = Clock(caps, may_jump=bool(container.format.flags & Flags.ts_discont.value))
    for decoder in _decoders(container):
        # The header may be modest and the picture not.
        decoder.options = {"max_pixels": str(caps["pixels"])}
    try:
        for packet in container.demux():
            track = tracks[packet.stream.index]
            if track.is_timed and packet.size:
                clock.note(packet)
            track.note(packet)
            track.decode(packet)
    except av.error.FFmpegError as error:
        # What was read so far still counts: the handler decides whether the file can be used.
        return tracks, error.strerror or str(error)
    return tracks, ""


def _is_encrypted(head: bytes) -> bool:
    # Only in an ISO file are these words boxes; anywhere else four such letters are chance.
    return head[4:8] in {b"ftyp", b"styp", b"moov"} and any(mark in head for mark in _ENCRYPTION_MARKS)


def _header(file: Any, head: bytes) -> bytes:
    """Return the part of a file that describes its streams, where that is known to be found."""
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return head.partition(_CLUSTER)[0]
    start = 0
    while len(box := _read_at(file, start, _LONG_BOX.size)) >= _BOX.size:
        size, name = _BOX.unpack_from(box)
        if size == 1 and len(box) == _LONG_BOX.size:
            size = _LONG_BOX.unpack(box)[2]
        if name == b"moov":
            return _read_at(file, start, min(size or _LARGEST_MOOV, _LARGEST_MOOV))
        # A size of nought goes to the end of the file, and one below its own header is none.
        if size < _BOX.size:
            break
        start += size
    return b""


def _dolby_profile(header: bytes) -> int:
    """Return the profile that an ISO file's configuration names, 0 where there is none to be read."""
    for mark in _DOLBY_VISION_MARKS:
        # Two bytes of version, then seven bits of profile; Matroska has other bytes in between.
        record = header.partition(mark)[2][:3]
        if len(record) == len(mark) - 1 and record[0] == 1:
            return record[2] >> 1
    return 0


def _read_at(file: Any, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _refusal(error: Exception, head: bytes) -> dict[str, Any]:
    said = getattr(error, "log", None)
    words = [getattr(error, "strerror", None) or str(error), said[2].strip() if said else ""]
    is_playlist = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_PLAYLIST_MARKS)
    return {"error": " ".join(words), "encrypted": _is_encrypted(head), "playlist": is_playlist}


def inspect(path: Path, demuxers: str, caps: dict[str, int]) -> dict[str, Any]:
    """Return all that is known of the file, `{"error": …}`, or `{"excess": …}` where it exceeds a cap."""
    head = b""
    # A playlist could name files of this machine or addresses of its network, and their content would be published.
    options = {"protocol_whitelist": "file", "format_whitelist": demuxers, "max_pixels": str(caps["pixels"])}
    try:
        with path.open("rb") as file:
            # Read apart from FFmpeg: after a failed open there is no container to ask.
            head = file.read(_HEADER_BYTES)
            described = _header(file, head)
        # The prefix keeps FFmpeg from reading a protocol into a name; tags of old files may be in any encoding.
        container = av.open(f"file:{path}", mode="r", options=options, metadata_errors="replace")
        with container:
            _check_inventory(container, caps)
            return _describe_file(container, head, described, caps)
    except ExcessError as error:
        return error.answer
    # FFmpeg's own error for it is one of these as well.
    except MemoryError:
        return {"excess": "memory_bytes"}
    except (av.error.FFmpegError, ValueError) as error:
        return _refusal(error, head)


def _describe_file(container: InputContainer, head: bytes, described: bytes, caps: dict[str, int]) -> dict[str, Any]:
    tracks, broken = _scan(container, caps)
    tags = list(container.metadata.items())[:_MOST_TAGS]
    return {
        "format": container.format.name,
        "size": container.size,
        "declared_s": None if container.duration is None else container.duration / av.time_base,
        "start_s": (container.start_time or 0) / av.time_base,
        "chapters": len(container.chapters()),
        "metadata": {name[:_MOST_CHARACTERS]: value[:_MOST_CHARACTERS] for name, value in tags},
        "streams": [_describe(track) for track in tracks],
        "broken": broken,
        "encrypted": _is_encrypted(head),
        # Some decoders pass the data on without a word, so the file's header is asked as well.
        "dolby_vision": any(mark in described for mark in _DOLBY_VISION_MARKS),
        "dolby_profile": _dolby_profile(described),
    }


def main() -> None:
    """Wait for the line, and answer it; without one, nobody needs an answer."""
    # All that takes time comes before: this process may have been started long before it is needed.
    bind_oneself = runpy.run_path(str(Path(__file__).with_name("_bounds.py")))["bind_oneself"]
    # Exceptions then carry the library's own words.
    av.logging.set_level(av.logging.ERROR)
    if line := sys.stdin.readline():
        path, demuxers, bounds = json.loads(line)
        caps: dict[str, int] = json.loads(bounds)
        bind_oneself(caps["memory_bytes"])
        sys.stdout.write(json.dumps(inspect(Path(path), demuxers, caps)) + "\n")
        sys.stdout.flush()
    # Taking the libraries apart again costs as much time as reading a small file, and there is nothing left to save.
    os._exit(0)


if __name__ == "__main__":
    main()
