"""Encodes and joins chunks: starts FFmpeg, reads back and hands all to the pure checks.

It does not fall back by itself: `NeedsWholeFile` tells its caller to.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediafleet.kinds.transcode import failures
from mediafleet.kinds.transcode.arguments import cover_arguments
from mediafleet.kinds.transcode.chunk_arguments import (
    ChunkJob,
    check_chunkable,
    chunk_arguments,
    entry_arguments,
    join_arguments,
    join_list,
    sound_arguments,
)
from mediafleet.kinds.transcode.chunk_checks import ChunkReport, check_chunk, check_join, read_edges
from mediafleet.kinds.transcode.chunks import Chunk, NeedsWholeFile
from mediafleet.kinds.transcode.index import read_index
from mediafleet.kinds.transcode.running import FfmpegRun, Finished

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mediafleet.kinds.transcode.file_reader import Starter
    from mediafleet.kinds.transcode.media import MediaInfo
    from mediafleet.kinds.transcode.params import TranscodeParams
    from mediafleet.kinds.transcode.program import Ffmpeg
    from mediafleet.kinds.transcode.progress import Position
    from mediafleet.kinds.transcode.streams import OutputPlan

_STALL_S = 120.0


@dataclass(frozen=True)
class Joined:
    """How an output was put together."""

    arguments: list[str]
    finished: Finished


@dataclass(frozen=True)
class Tools:
    """What a run works with."""

    starter: Starter
    ffmpeg: Ffmpeg
    folder: Path
    """Absolute; where chunks and the output are written."""
    name: str
    """The user's name of the input, for sentences."""
    cores: int
    """That encoding may use."""
    stall_s: float = _STALL_S


async def open_job(tools: Tools, source: Path, plan: OutputPlan, params: TranscodeParams, info: MediaInfo) -> ChunkJob:
    """Return the job, with the index of the picture.

    Raises:
        NeedsWholeFile: The plan has nothing that could be encoded in chunks.
    """
    picture = check_chunkable(plan, params)
    index = await read_index(tools.starter, source, picture.source.index, name=tools.name)
    return ChunkJob(plan, params, info, index)


async def encode_chunk(
    tools: Tools, job: ChunkJob, chunk: Chunk, *, source: Path, on_progress: Callable[[Position], None] = lambda _: None
) -> ChunkReport:
    """Encode one chunk into the folder and check it.

    Raises:
        NeedsWholeFile: It is not what it should be.
    """
    output, edges = chunk_path(tools.folder, chunk), tools.folder / f"edges-{chunk.number:05}.txt"
    arguments = chunk_arguments(job, chunk, source=source, output=output, edges=edges, cores=tools.cores)
    if complaints := await _complaints(tools, arguments, output, on_progress):
        await _check_complaints(tools, job, chunk, source=source, complaints=complaints)
    made = await read_index(tools.starter, output, 0, name=tools.name)
    text = await asyncio.to_thread(edges.read_text)
    return check_chunk(chunk, job.index.tick, made=made, edges=read_edges(text))


async def _check_complaints(tools: Tools, job: ChunkJob, chunk: Chunk, *, source: Path, complaints: set[str]) -> None:
    """Let pass what decoders say of pictures before the chunk: in an open group the first ones lack what they refer to."""
    known: set[str] = set()
    if chunk.seek is not None:
        known = await _complaints(tools, entry_arguments(job, chunk, source=source), None)
    if damage := complaints - known:
        raise NeedsWholeFile(f"Chunk {chunk.number + 1} is damaged in the source: {min(damage).rstrip('.')}.")


async def encode_sound(
    tools: Tools, job: ChunkJob, *, source: Path, on_progress: Callable[[Position], None] = lambda _: None
) -> Path:
    """Encode all sound that is not copied, into one file.

    Raises:
        NeedsWholeFile: Some of it is damaged in the source, and what is to be said of that is the whole file's to say.
    """
    output = tools.folder / "sound.media"
    arguments = sound_arguments(job, source=source, output=output)
    if damage := await _complaints(tools, arguments, output, on_progress):
        raise NeedsWholeFile(f"Its sound is damaged in the source: {min(damage).rstrip('.')}.")
    return output


async def join(
    tools: Tools, job: ChunkJob, chunks: Sequence[Chunk], *, source: Path, sound: Path | None, output: Path
) -> Joined:
    """Make the output of the chunks in the folder, and check that every picture is in it at its time.

    Raises:
        NeedsWholeFile: One is not.
    """
    names = [chunk_path(tools.folder, chunk).name for chunk in chunks]
    listing = tools.folder / "chunks.ffconcat"
    await asyncio.to_thread(listing.write_text, join_list(job, chunks, names))
    if job.plan.covers:
        await _ffmpeg(tools, cover_arguments(job.plan, source=source, folder=output.parent, info=job.info), None)
    arguments = join_arguments(job, chunks=listing, sound=sound, source=source, output=output)
    finished = await _ffmpeg(tools, arguments, output)
    index = await read_index(tools.starter, source, job.picture.source.index, name=tools.name)
    made = await read_index(tools.starter, output, job.plan.tracks.index(job.picture), name=tools.name)
    check_join(index, made, offset=job.offset)
    return Joined(arguments, finished)


def chunk_path(folder: Path, chunk: Chunk) -> Path:
    """Return the file of an encoded chunk; its name is plain, as the join's list demands."""
    return folder / f"chunk-{chunk.number:05}.mp4"


async def _complaints(
    tools: Tools, arguments: list[str], output: Path | None, on_progress: Callable[[Position], None] = lambda _: None
) -> set[str]:
    """Run FFmpeg to its good end; return what it called an error all the same."""
    return set(failures.errors_in((await _ffmpeg(tools, arguments, output, on_progress)).log))


async def _ffmpeg(
    tools: Tools, arguments: list[str], output: Path | None, on_progress: Callable[[Position], None] = lambda _: None
) -> Finished:
    words = [tools.ffmpeg.path, *arguments]
    run = FfmpegRun(tools.starter, words, tools.name, tools.stall_s, output=output, on_progress=on_progress)
    return await run.succeed()
