"""Holds a film that was encoded in chunks to the same film encoded as a whole: pictures, sound against picture, quality.

Promised are the same number of pictures, sound within a millisecond, and of chunks as a fleet makes them a mean VMAF within 0.3,
and with x264 no border that is more than 2.5 below its surroundings.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from statistics import fmean
from typing import TYPE_CHECKING

import av

from inventory_cases import Case, Made, pictures, read_result
from mediafleet.domain.errors import MediafleetError
from mediafleet.kinds.transcode.chunk_checks import check_borders
from mediafleet.kinds.transcode.chunk_run import Tools, encode_chunk, encode_sound, join, open_job
from mediafleet.kinds.transcode.chunks import LEAST_S, UNIT_S, NeedsWholeFile
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.split import even_count, join_units, make_survey
from mediafleet.kinds.transcode.verify import find_faults
from mediafleet.kinds.transcode.vmaf import compared_track, vmaf_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mediafleet.kinds.transcode.chunk_arguments import ChunkJob
    from mediafleet.kinds.transcode.chunks import Chunk
    from mediafleet.kinds.transcode.media import MediaInfo
    from mediafleet.kinds.transcode.probe import Starter
    from mediafleet.kinds.transcode.streams import OutputPlan

COLUMNS = (
    *("file", "preset", "chunks", "frames", "A/V apart ms", "VMAF whole", "VMAF chunks", "difference"),
    *("worst border", "the same places, whole", "broken promises"),
)
MOST_APART_S = Fraction(1, 1000)
MOST_VMAF = 0.3
LOWEST_BORDER = -2.5
NEAR, AROUND = 4, 24
"""Pictures on each side of a border that may suffer from it, and up to where its surroundings go."""
_SHORTEST_S = Fraction(2, 5)
_SHORT_CHUNKS = 3
_WHOLE = "It was transcoded as a whole and not in chunks: "


@dataclass
class Comparison:
    """What was measured of one case."""

    case: Case
    how: str = ""
    """Who made how many chunks, or why there are none."""
    borders: list[int] = field(default_factory=list[int])
    """Numbers of the pictures that chunks begin with, but for the first."""
    apart_s: Fraction | None = None
    """By how much the sound of the one is shifted against the sound of the other, each against its picture."""
    quality: list[list[float]] = field(default_factory=list[list[float]])
    """VMAF of pictures: whole, and in chunks."""
    every: int = 1
    """It was measured of each so manieth picture; borders are looked at where that is 1."""

    @property
    def means(self) -> list[float]:
        """Mean VMAF of both, where it was measured."""
        return [fmean(scores) for scores in self.quality]

    @property
    def worst(self) -> tuple[float, float] | None:
        """How far the worst border is above its surroundings (below: negative): whole, and in chunks."""
        if not self.quality or self.every > 1:
            return None
        whole, chunks = self.quality
        # What the whole film has at the same place comes from the picture, a cut for example.
        dips = [(dip_at(whole, border), dip_at(chunks, border)) for border in self.borders]
        return min(dips, key=lambda dip: dip[1] - min(0.0, dip[0]), default=None)

    @property
    def faults(self) -> list[str]:
        """Promises that are broken, as half sentences."""
        found: list[str] = []
        counts = [frames_of(made) for made in (self.case.whole, self.case.chunked)]
        if counts[0] != counts[1]:
            found.append(f"{counts[0]} pictures as a whole and {counts[1]} in chunks")
        if self.apart_s is not None and self.apart_s > MOST_APART_S:
            found.append(f"sound is {float(self.apart_s) * 1000:.1f} ms apart")
        # Chunks of the library are shorter than any that a film is cut into: a half second has a key picture too many.
        if not self.case.chunks:
            return found
        if self.means and abs(self.means[1] - self.means[0]) > MOST_VMAF:
            found.append(f"mean VMAF differs by {self.means[1] - self.means[0]:+.2f}")
        worst = self.worst
        if self.case.params.preset == "h264" and worst and worst[1] < min(0.0, worst[0]) + LOWEST_BORDER:
            found.append(f"a border is {worst[1]:+.2f} against its surroundings, {worst[0]:+.2f} as a whole")
        return found

    def row(self) -> tuple[str, ...]:
        """Return the comparison as a line of the table."""
        counts = [frames_of(made) for made in (self.case.whole, self.case.chunked)]
        scores = [f"{mean:.2f}" for mean in self.means] or ["", ""]
        return (
            self.case.name,
            self.case.params.preset,
            self.how,
            " / ".join(map(str, counts)) if any(counts) else "",
            "" if self.apart_s is None else f"{float(self.apart_s) * 1000:.3f}",
            *scores,
            f"{self.means[1] - self.means[0]:+.2f}" if self.means else "",
            *([f"{dip:+.2f}" for dip in reversed(self.worst)] if self.worst else ["", ""]),
            "; ".join(self.faults),
        )


def dip_at(scores: Sequence[float], border: int) -> float:
    """Return how much better the pictures next to a border look than those around them."""
    near = scores[max(0, border - NEAR) : border + NEAR]
    around = [*scores[max(0, border - AROUND) : max(0, border - NEAR)], *scores[border + NEAR : border + AROUND]]
    return fmean(near) - fmean(around) if near and around else 0.0


def frames_of(made: Made) -> int:
    """Return how many pictures a result has."""
    return sum(stream.packets for stream in pictures(made.info)) if made.info else 0


async def compare_ways(starter: Starter, case: Case, folder: Path, *, every: int) -> Comparison:
    """Compare both ways; where the fleet found the film too short, chunks are made here, of shorter pieces.

    Args:
        starter: Starts FFmpeg.
        case: With the results of both ways.
        folder: An empty one.
        every: Of each so manieth picture VMAF is measured; 0 for none.
    """
    found = Comparison(case, every=every)
    if case.plan is None or case.source is None or case.whole.info is None:
        found.how = "refused" if case.plan is None else "failed"
        return found
    chunks = await _find_chunks(starter, (case.plan, case.source), folder, found)
    found.borders = list(accumulate(chunk.frames for chunk in chunks[:-1]))
    heard = [
        await asyncio.to_thread(sound_offsets, made.path, made.info)
        for made in (case.whole, case.chunked)
        if made.path and made.info
    ]
    if case.chunked.info:
        found.apart_s = max((abs(here - there) for here, there in zip(*heard, strict=False)), default=None)
    if chunks and every:
        ways = (case.whole, case.chunked)
        found.quality = [await measure(starter, case, made, folder, every=every) for made in ways]
        if not all(found.quality):
            found.quality = []
    return found


async def _find_chunks(
    starter: Starter, planned: tuple[OutputPlan, MediaInfo], folder: Path, found: Comparison
) -> tuple[Chunk, ...]:
    """Return the chunks of the film, and say in `found` who made them."""
    case, (plan, info) = found.case, planned
    if told := next((text for text in case.chunked.warnings if text.startswith(_WHOLE)), ""):
        found.how = f"whole: {told.removeprefix(_WHOLE)}"
        return ()
    try:
        tools = Tools(starter, await asyncio.to_thread(find_ffmpeg), folder, case.path.name, os.cpu_count() or 1)
        job = await open_job(tools, case.path, plan, case.params, info)
        if case.chunks:
            found.how = f"{case.chunks} by the fleet"
            return join_units(make_survey(info, job.index), case.chunks)
        chunks = await _encode_here(tools, job, case)
    except (NeedsWholeFile, MediafleetError) as error:
        found.how = f"whole: {error.message}"
        return ()
    found.how = f"{len(chunks)} by the library"
    return chunks


async def _encode_here(tools: Tools, job: ChunkJob, case: Case) -> tuple[Chunk, ...]:
    """Do on this machine, one after another, what a fleet does with chunks that are long enough."""
    length_s = Fraction(job.info.duration_s).limit_denominator(1000)
    least_s = min(LEAST_S, max(_SHORTEST_S, length_s / (_SHORT_CHUNKS + Fraction(1, 2))))
    survey = make_survey(job.info, job.index, unit_s=min(UNIT_S, least_s))
    chunks = join_units(survey, max(_SHORT_CHUNKS, even_count(survey, 1, least_s=least_s)), least_s=least_s)
    if len(chunks) == 1:
        raise NeedsWholeFile("It is too short to be cut into chunks.")
    output = tools.folder / f"joined.{job.plan.container.name}"
    check_borders([await encode_chunk(tools, job, chunk, source=case.path) for chunk in chunks])
    sound = await encode_sound(tools, job, source=case.path) if job.sounds else None
    await join(tools, job, chunks, source=case.path, sound=sound, output=output)
    case.chunked = await read_result(tools.starter, case, output, warnings=case.chunked.warnings)
    if case.chunked.info and (faults := find_faults(job.info, case.chunked.info, job.plan, job.params)):
        case.chunked.failure = "; ".join(faults)
    return chunks


def sound_offsets(path: Path, info: MediaInfo) -> list[Fraction]:
    """Return for each track of sound when its first sample is heard against the first picture, by decoding both."""
    videos = [one for one in info.streams if one.type == "video"]
    shown = next((number for number, one in enumerate(videos) if not one.is_cover), None)
    begins = None if shown is None else _first_s(path, video=shown)
    tracks = sum(one.type == "audio" for one in info.streams)
    heard = [_first_s(path, audio=number) for number in range(tracks)]
    return [one - begins for one in heard if one is not None and begins is not None]


def _first_s(path: Path, **track: int) -> Fraction | None:
    with av.open(str(path)) as container:
        first = next(iter(container.decode(**track)), None)
        if not isinstance(first, av.VideoFrame | av.AudioFrame):
            return None
        return (first.pts or 0) * (first.time_base or Fraction(1))


async def measure(starter: Starter, case: Case, made: Made, folder: Path, *, every: int) -> list[float]:
    """Return the VMAF of pictures, compared by number; none where it cannot be measured (a picture of one pixel)."""
    track = compared_track(case.plan) if case.plan else None
    if track is None or case.source is None or made.path is None or made.info is None:
        return []
    log = folder / "vmaf.json"
    log.unlink(missing_ok=True)
    words = vmaf_arguments(track, case.params, source=(case.path, case.source), output=(made.path, made.info))
    # Of the names of files only the last part goes into the graph, where colons would mean something.
    more = f"libvmaf=shortest=1:n_threads={os.cpu_count() or 1}:n_subsample={every}:log_fmt=json:log_path={log.name}"
    words = [word.replace("libvmaf=shortest=1", more) for word in words]
    ffmpeg = await asyncio.to_thread(find_ffmpeg)
    child = await starter.start_process([ffmpeg.path, *words], cwd=folder)
    while await child.read_line():
        pass
    if await child.wait() != 0 or not log.exists():
        return []
    return [frame["metrics"]["vmaf"] for frame in json.loads(log.read_bytes())["frames"]]
