"""Decides how one film is shared out among nodes: whether it is worth it, and in how many chunks. Pure.

The node that looked into the source returns its `Survey`, which names the finest cut; the plan joins neighbours to as many
chunks as the fleet has room for when it is asked.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode.chunks import CHUNKS_PER_SLOT, Chunk
from mediafleet.kinds.transcode.encoder_facts import VIDEO_ENCODERS
from mediafleet.kinds.transcode.media import MediaInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediafleet.domain.room import Room

MOST_UNITS = 512
"""Pieces of the finest cut; what is known of each is kept with the job."""


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
    return max(1, min(CHUNKS_PER_SLOT * max(1, slots), len(survey.units)))


def join_units(units: Sequence[Chunk], count: int) -> tuple[Chunk, ...]:
    """Return so many chunks, each of neighbouring units, about equal in pictures, since those are what costs."""
    total = sum(unit.frames for unit in units)
    cuts = [0]
    seen = 0
    for place, unit in enumerate(units[:-1], start=1):
        seen += unit.frames
        # As many units must be left as chunks are still to come.
        left = count - len(cuts)
        if left and (seen * count >= total * len(cuts) or len(units) - place <= left):
            cuts.append(place)
    spans = pairwise([*cuts, len(units)])
    return tuple(_join(units[begin:end], number) for number, (begin, end) in enumerate(spans))


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
    )
