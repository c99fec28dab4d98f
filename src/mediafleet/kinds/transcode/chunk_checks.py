"""Holds chunks and their join to the source. Pure: indexes and digests go in; what is wrong is raised.

Any doubt ends in `NeedsWholeFile`: the file is then transcoded whole, which costs time and never a picture.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode.chunks import NeedsWholeFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediafleet.kinds.transcode.chunks import Chunk
    from mediafleet.kinds.transcode.index import FrameIndex

_CLOCK_S = Fraction(1, 1000)
"""Matroska's clock; no two times may differ by more."""


class ChunkReport(msgspec.Struct, frozen=True):
    """What is known of an encoded chunk."""

    number: int
    header: str
    """Digest of what its container stores for the decoder."""
    first: str
    """Digest of the decoded source picture it begins with."""
    following: str
    """Digest of the decoded source picture that the next chunk begins with; empty for the last chunk."""


def read_edges(text: str) -> dict[int, str]:
    """Return time → digest of what FFmpeg's `framehash` wrote."""
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    return {int(row[2]): row[-1].strip() for row in rows}


def check_chunk(chunk: Chunk, source: Fraction, *, made: FrameIndex, edges: Mapping[int, str]) -> ChunkReport:
    """Return the report of an encoded chunk that has all pictures of its range.

    Args:
        chunk: The range.
        source: Seconds of one tick of the source.
        made: The encoded file's index.
        edges: What `read_edges` found.

    Raises:
        NeedsWholeFile: It has not.
    """
    who = f"Chunk {chunk.number + 1}"
    if made.broken:
        raise NeedsWholeFile(f"{who} cannot be read back ({made.broken}).")
    # An encoder drops nothing here, so what it wrote is what was decoded.
    if len(made.pts) != chunk.frames:
        raise NeedsWholeFile(f"{who} has {len(made.pts)} pictures and not {chunk.frames}.")
    span = (chunk.last - chunk.start) * source
    if made.pts[0] != 0 or abs(made.pts[-1] * made.tick - span) > _CLOCK_S:
        raise NeedsWholeFile(f"{who} has its pictures at other times than the source.")
    wanted = (chunk.start,) if chunk.is_last else (chunk.start, chunk.end)
    if any(time not in edges for time in wanted):
        raise NeedsWholeFile(f"{who} does not begin or end at the pictures that it should.")
    return ChunkReport(chunk.number, made.header, edges[chunk.start], "" if chunk.is_last else edges[chunk.end])


def check_borders(reports: Sequence[ChunkReport]) -> None:
    """Check that neighbours decoded the same picture at their border, though each entered the source elsewhere.

    Raises:
        NeedsWholeFile: They did not, or their encoders did not write the same headers.
    """
    if [report.number for report in reports] != list(range(len(reports))):
        raise NeedsWholeFile("A chunk is missing.")
    for one, other in pairwise(reports):
        if one.following != other.first:
            raise NeedsWholeFile(f"Chunk {other.number + 1} decoded another picture than chunk {one.number + 1} did.")
        if one.header != other.header:
            raise NeedsWholeFile(f"Chunk {other.number + 1} was encoded with other settings than the one before.")


def check_join(source: FrameIndex, made: FrameIndex, *, offset: Fraction) -> None:
    """Check that every picture of the source is in the join, at its time.

    Args:
        source: The source's index.
        made: The joined file's.
        offset: Seconds from the beginning of the source to its first picture.

    Raises:
        NeedsWholeFile: A picture is missing or moved by more than a millisecond.
    """
    if made.broken:
        raise NeedsWholeFile(f"The joined file cannot be read back ({made.broken}).")
    if len(made.pts) != len(source.pts):
        raise NeedsWholeFile(f"The joined file has {len(made.pts)} pictures and not {len(source.pts)}.")
    worst = max_shift(source, made, offset=offset)
    if worst > _CLOCK_S:
        raise NeedsWholeFile(f"In the joined file a picture is moved by {float(worst) * 1000:.1f} ms.")


def max_shift(source: FrameIndex, made: FrameIndex, *, offset: Fraction) -> Fraction:
    """Return the seconds by which any picture of the join is away from its time in the source."""
    return max(
        abs(there * made.tick - (here - source.pts[0]) * source.tick - offset)
        for here, there in zip(source.pts, made.pts, strict=True)
    )
