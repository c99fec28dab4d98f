"""Cuts a source into time ranges that several nodes encode. Pure: an index goes in, ranges come out.

Ranges are whole ticks of the source's clock and begin at a picture each, so nothing is rounded and a variable frame
rate needs no care. Nothing is cut out of the file itself: each range is encoded by seeking and decoding in the
source. Record 0022 has the reasons.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode.index import FrameIndex

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

LEAST_S = Fraction(4)
"""An encoder needs some seconds to look ahead; in shorter chunks quality and speed suffer."""
MOST_UNITS = 512
"""Pieces of the finest cut; what is known of each is kept with the job."""
UNIT_S = Fraction(1, 4)
"""So fine that the chunks that are put together of them can be equal."""
_REORDER_S = Fraction(14, 100)
"""FFmpeg seeks 3/23 s before the place it is told where pictures are reordered; this and a little."""
_UNINDEXED_S = Fraction(1)
"""How far before a key picture to enter a format without an index, where a seek only finds the neighbourhood."""
_CLUSTER_BYTES = 6 << 20
"""Matroska is entered at the beginning of a cluster; usual ones have 5 MiB at most."""
_INDEXED = {"mov": 0, "mp4": 0, "matroska": _CLUSTER_BYTES, "webm": _CLUSTER_BYTES}
"""Formats with an index, and how many bytes before a picture they may be entered."""
_READ_AHEAD = 96
"""Pictures that FFmpeg's threads and queues may hold at once."""


class NeedsWholeFile(Exception):
    """A source, or what was made of it, does not allow chunks; the file is to be transcoded whole, which always works."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        """One sentence that says why."""


class Chunk(msgspec.Struct, frozen=True, omit_defaults=True):
    """One range of a source. All times are ticks of the source's clock."""

    number: int
    start: int
    """When its first picture is shown."""
    last: int
    """When its last picture is shown."""
    end: int
    """When the next chunk's first picture is shown; for the last chunk, when its last picture ends."""
    frames: int
    is_last: bool = False
    is_scene: bool = False
    """Whether a scene seems to begin here."""
    seek: int | None = None
    """Where to enter the file; None for its beginning."""
    preroll: int = 0
    """Pictures between the key picture before it and its start: they are decoded for nothing."""
    span: tuple[int, int] | None = None
    """The bytes of the file, half-open, that its FFmpeg reads beside head and tail; None where nobody knows."""
    size: int = 0
    """Bytes of the file in which its pictures lie, roughly; 0 where nobody knows. Many tell of pictures that cost much."""


def plan_units(index: FrameIndex, *, demuxer: str, unit_s: Fraction = UNIT_S) -> tuple[Chunk, ...]:
    """Return the finest cut of a stream, of which chunks for any number of slots are put together.

    It is cut at its key pictures, and between them, where a chunk has to decode from a key picture on in vain.

    Args:
        index: The source's pictures.
        demuxer: FFmpeg's names of the source's format, which decide how exactly it can be entered.
        unit_s: Shortest piece.

    Raises:
        NeedsWholeFile: It cannot be cut reliably.
    """
    _check_index(index)
    length = index.end - index.pts[0]
    least = max(unit_s / index.tick, Fraction(length, MOST_UNITS))
    lead = next((_INDEXED[name] for name in demuxer.split(",") if name in _INDEXED), None)
    scenes = set(likely_scene_cuts(index))
    entries = [0, *_apart(index, _ordinals(index, [shown for shown, _ in index.keys]), least)]
    cuts = [*_fill(index, [*entries, len(index.pts)], least), len(index.pts)]
    return tuple(
        msgspec.structs.replace(unit, is_scene=unit.start in scenes)
        for number, (begin, stop) in enumerate(pairwise(cuts))
        for unit in [_make_chunk(index, number, begin=begin, stop=stop, lead=lead)]
    )


def _apart(index: FrameIndex, places: Sequence[int], least: Fraction) -> list[int]:
    """Return those pictures that are far enough from the one before, and from both ends of the film."""
    found: list[int] = []
    latest = index.pts[0]
    for place in places:
        if index.pts[place] - latest >= least and index.end - index.pts[place] >= least:
            found.append(place)
            latest = index.pts[place]
    return found


def _fill(index: FrameIndex, places: Sequence[int], piece: Fraction) -> list[int]:
    """Return where pieces of about such a length begin: at these pictures but the last, and between those far apart."""
    found: list[int] = []
    for begin, stop in pairwise(places):
        until = index.end if stop == len(index.pts) else index.pts[stop]
        parts = max(1, min(stop - begin, int((until - index.pts[begin]) / piece)))
        found.extend(begin + (stop - begin) * part // parts for part in range(parts))
    return found


def likely_scene_cuts(index: FrameIndex) -> tuple[int, ...]:
    """Return the key pictures that came earlier than the encoder's rhythm asks, which it sets where a scene begins."""
    ordinals = _ordinals(index, [shown for shown, _ in index.keys])
    gaps = [after - before for before, after in pairwise(ordinals)]
    rhythm = max(gaps, default=0)
    return tuple(index.pts[place] for gap, place in zip(gaps, ordinals[1:], strict=True) if gap < rhythm)


def _check_index(index: FrameIndex) -> None:
    if index.broken:
        raise NeedsWholeFile(f"Its reading stops early ({index.broken}).")
    if index.untimed:
        raise NeedsWholeFile(f"It does not say of {index.untimed} pictures when they are shown.")
    if not index.pts or not index.keys:
        raise NeedsWholeFile("It has no picture that decoding could begin with.")
    # A range cannot tell them apart, and of two pictures at one time encoders drop one.
    if len(set(index.pts)) != len(index.pts):
        raise NeedsWholeFile("Some of its pictures are shown at the same time.")


def _ordinals(index: FrameIndex, times: Collection[int]) -> list[int]:
    """Return which pictures are shown at these times, in order; times of no picture are left out."""
    places = {bisect_left(index.pts, time): time for time in times}
    return sorted(place for place, time in places.items() if place < len(index.pts) and index.pts[place] == time)


def _make_chunk(index: FrameIndex, number: int, *, begin: int, stop: int, lead: int | None) -> Chunk:
    start, is_last = index.pts[begin], stop == len(index.pts)
    key = bisect_right(index.keys, (start, start)) - 1
    return Chunk(
        number=number,
        start=start,
        last=index.pts[stop - 1],
        end=index.end if is_last else index.pts[stop],
        frames=stop - begin,
        is_last=is_last,
        seek=_seek_place(index, key, is_indexed=lead is not None) if begin and key > 0 else None,
        preroll=begin - bisect_left(index.pts, index.keys[key][0]) if key >= 0 else begin,
        span=_span(index, max(key, 0), stop, lead=lead) if lead is not None and index.begins else None,
        size=index.ends[stop - 1] - (index.ends[begin - 1] if begin else min(index.begins)) if index.begins else 0,
    )


def _span(index: FrameIndex, key: int, stop: int, *, lead: int) -> tuple[int, int]:
    """Return the bytes from a place before a key picture to one behind the last picture of a chunk."""
    # An entry may begin with the cluster that the key picture lies in, or with the key picture before.
    begin = min(index.begins[max(0, key - 1)], index.begins[key] - lead)
    # FFmpeg has read on for some pictures when it notices that it has enough.
    return max(0, begin), index.ends[min(stop + _READ_AHEAD, len(index.ends) - 1)]


def _seek_place(index: FrameIndex, key: int, *, is_indexed: bool) -> int | None:
    """Return a tick from which FFmpeg finds this key picture or an earlier one, never a later one."""
    shown, decoded = index.keys[key]
    if not is_indexed:
        place = decoded - int(_UNINDEXED_S / index.tick)
        return place if place > index.pts[0] else None
    later = index.keys[key + 1][1] - 1 if key + 1 < len(index.keys) else shown + int(_REORDER_S / index.tick)
    return max(decoded, min(later, shown + int(_REORDER_S / index.tick)))
