"""Decides how one film is shared out among nodes: whether it is worth it, and in how many chunks. Pure.

The node that looked into the source returns its `Survey`, which names the finest cut; the plan joins neighbours to as many
chunks as the fleet has room for when it is asked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode.chunks import LEAST_S, UNIT_S, Chunk, plan_units
from mediafleet.kinds.transcode.encoder_facts import VIDEO_ENCODERS
from mediafleet.kinds.transcode.media import MediaInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediafleet.domain.room import Room
    from mediafleet.kinds.transcode.index import FrameIndex

_CHUNKS_PER_SLOT = 4
"""So that the last of them to end leaves few slots idle, and a lost one costs little."""
_SPARE = Fraction(1, 4)
"""By which chunks are longer than the least on average, so that each can begin at a better place."""
_SCENE_WINDOW, _KEY_WINDOW = Fraction(1, 8), Fraction(1, 16)
"""How far a chunk may begin from its fair place for a better one, as a share of a chunk: the last to end is waited for."""
_PREROLL_SHARE = Fraction(1, 2)
"""Pictures that all chunks together decode only to throw them away, at most so many for one that is kept: a film with one key picture is
halved and no more."""


class Sharing(StrEnum):
    """Whether one file may be encoded by several nodes."""

    AUTO = "auto"
    """Where there is room for it and it is worth it."""
    NEVER = "never"
    ALWAYS = "always"
    """Wherever the file allows it, also on one slot: a crash then costs a chunk and not the file."""


class Survey(msgspec.Struct, frozen=True):
    """What is known of a source that could be encoded in chunks."""

    info: MediaInfo
    time_base: tuple[int, int]
    """Seconds of one tick of the picture's clock."""
    first: int
    """When the first picture is shown, in ticks."""
    units: tuple[Chunk, ...]
    """The finest cut, in order."""
    head: int = 0
    """Bytes before the first picture: what the file says of itself."""
    tail: int = 0
    """Where the last picture ends; behind it lies what else the file says of itself."""
    changed: str = "0"
    """When the source was changed last, as `look_in_place` tells."""


def make_survey(info: MediaInfo, index: FrameIndex, *, unit_s: Fraction = UNIT_S) -> Survey:
    """Return how a source can be cut.

    Raises:
        NeedsWholeFile: It cannot be cut reliably.
    """
    units = plan_units(index, demuxer=info.format, unit_s=unit_s)
    head, tail = (min(index.begins), index.ends[-1]) if index.begins else (0, 0)
    return Survey(info, index.time_base, index.pts[0], units, head, tail)


def usable_slots(encoder: str, by_node: Mapping[str, int]) -> int:
    """Return how many chunks at once would make an encode faster.

    Args:
        encoder: FFmpeg's name.
        by_node: Free slots by node.
    """
    facts = VIDEO_ENCODERS.get(encoder)
    # Two processes of such an encoder on one machine take longer than one with all its cores.
    shares_well = facts is not None and facts.split_ratio < 1
    return sum(by_node.values()) if shares_well else len(by_node)


def count_chunks(survey: Survey, sharing: Sharing, room: Room, *, encoder: str, capabilities: Sequence[str]) -> int:
    """Return in how many chunks to encode now; 1 for the file as a whole."""
    slots = usable_slots(encoder, room.slots_by_node(capabilities))
    # Where files enough wait, one on each slot needs less time together: nothing is decoded twice or joined.
    if sharing is not Sharing.ALWAYS and (slots <= 1 or room.waiting >= slots):
        return 1
    return even_count(survey, max(1, slots))


def even_count(survey: Survey, slots: int, *, least_s: Fraction = LEAST_S) -> int:
    """Return in how many chunks to encode on so many slots, at least one: about four for each, and equally many."""
    length = (survey.units[-1].end - survey.units[0].start) * Fraction(*survey.time_base)
    # On average they are longer, so that each has some time to begin at a better place.
    usual_s = least_s * (1 + _SPARE)
    most = min(max(int(length / usual_s), min(2, int(length / least_s))), len(survey.units))
    # Of a short film: slots that have no chunk in the last round would wait as long as any round takes.
    rounds = min(_CHUNKS_PER_SLOT, most // slots)
    return max(1, slots * rounds or most)


def join_units(survey: Survey, count: int, *, least_s: Fraction = LEAST_S) -> tuple[Chunk, ...]:
    """Return so many chunks, about equal in pictures, since those are what costs, and none shorter than the least.

    They begin at key pictures where some are near. Where they cannot be so many, or would decode too much in vain, there are
    fewer, as if those had been asked for.
    """
    units = survey.units
    most = _PREROLL_SHARE * sum(unit.frames for unit in units)
    found = (
        cuts
        for fewer in range(count, 0, -1)
        if (cuts := _find_cuts(survey, fewer, least_s)) and sum(units[cut].preroll for cut in cuts) <= most
    )
    return tuple(
        _join(units[begin:end], number) for number, (begin, end) in enumerate(pairwise([*next(found), len(units)]))
    )


def costliest_first(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return chunks in the order in which they are to be begun: where the longest come last, nodes wait for one of them.

    Pictures cost, and those that already took many bytes cost more.
    """
    frames, size = sum(chunk.frames for chunk in chunks), sum(chunk.size for chunk in chunks) or 1
    return sorted(chunks, key=lambda chunk: -(Fraction(chunk.frames, frames) + Fraction(chunk.size, size)))


def _find_cuts(survey: Survey, count: int, least_s: Fraction) -> list[int] | None:
    """Return the unit at which each of so many chunks begins; None where one would be too short."""
    units = survey.units
    starts, least = [unit.start for unit in units], least_s / Fraction(*survey.time_base)
    seen = list(accumulate((unit.frames for unit in units), initial=0))
    total = seen.pop()
    better = [
        ([pictures for pictures, unit in zip(seen, units, strict=True) if unit.is_scene], _SCENE_WINDOW),
        ([pictures for pictures, unit in zip(seen, units, strict=True) if not unit.preroll], _KEY_WINDOW),
    ]
    cuts = [0]
    for left in range(count, 1, -1):
        # Each of those that follow needs its least as well.
        lowest = bisect_left(starts, starts[cuts[-1]] + least)
        highest = bisect_right(starts, units[-1].end - (left - 1) * least) - 1
        if lowest > highest:
            return None
        share = Fraction(total - seen[cuts[-1]], left)
        ideal = seen[cuts[-1]] + share
        near = seen[lowest : highest + 1]
        found = (
            inside
            for places, window in better
            if (inside := _between(places, max(near[0], ideal - share * window), min(near[-1], ideal + share * window)))
        )
        cuts.append(bisect_left(seen, _nearest(next(found, near), ideal)))
    return cuts


def _between(places: Sequence[int], low: Fraction | int, high: Fraction | int) -> Sequence[int]:
    return places[bisect_left(places, low) : bisect_right(places, high)]


def _nearest(places: Sequence[int], ideal: Fraction) -> int:
    at = bisect_left(places, ideal)
    return min(places[max(0, at - 1) : at + 1], key=lambda place: abs(place - ideal))


def _join(units: Sequence[Chunk], number: int) -> Chunk:
    last = units[-1]
    return msgspec.structs.replace(
        units[0],
        number=number,
        last=last.last,
        end=last.end,
        frames=sum(unit.frames for unit in units),
        is_last=last.is_last,
        span=(units[0].span[0], last.span[1]) if units[0].span and last.span else None,
        size=sum(unit.size for unit in units),
    )
