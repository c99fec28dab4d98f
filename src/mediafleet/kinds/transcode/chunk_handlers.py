"""The handlers of a transcode in chunks: one chunk, all sound, and the join.

Whatever makes chunks doubtful is an answer and not an error: the plan then has the whole file encoded, which always works.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import MediafleetError
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.transcode.chunk_arguments import ChunkJob
from mediafleet.kinds.transcode.chunk_run import chunk_path, encode_chunk, encode_sound, join
from mediafleet.kinds.transcode.chunks import NeedsWholeFile
from mediafleet.kinds.transcode.handler import DEFAULT_STALL_S, FileTask, open_task
from mediafleet.kinds.transcode.index import FrameIndex
from mediafleet.kinds.transcode.orders import Answer, ChunkOrder, write
from mediafleet.kinds.transcode.streams import plan_output
from mediafleet.kinds.transcode.track_flags import show_no_subtitles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.transcode.chunk_checks import ChunkReport
    from mediafleet.kinds.transcode.program import Ffmpeg
    from mediafleet.kinds.transcode.progress import Position

_ENCODED = 0.95
"""Share of the progress bar at which encoding ends and reading back begins."""


class _Handler(ABC):
    """What the three have in common."""

    def __init__(self, *, ffmpeg: Ffmpeg | None = None, stall_s: float = DEFAULT_STALL_S) -> None:
        self._ffmpeg = ffmpeg
        self._stall_s = stall_s

    async def __call__(self, context: TaskContext, /) -> TaskResult:
        """Do the work, or answer that the file must be encoded whole."""
        order = msgspec.convert(context.spec.payload, ChunkOrder)
        task = await open_task(context, ffmpeg=self._ffmpeg, stall_s=self._stall_s)
        plan = plan_output(order.info, task.params, name=task.name)
        job = ChunkJob(plan, task.params, order.info, FrameIndex(order.time_base, (order.first,)))
        try:
            return await self.run(task, order, job)
        except NeedsWholeFile as doubt:
            return TaskResult(write(Answer(whole=doubt.message)))
        except MediafleetError as error:
            # What would end the same way again may well go right for the whole file, or else says there what is wrong.
            if error.retryable:
                raise
            return TaskResult(write(Answer(whole=error.message)))

    @abstractmethod
    async def run(self, task: FileTask, order: ChunkOrder, job: ChunkJob) -> TaskResult:
        """Do the work. Raises NeedsWholeFile."""


class ChunkHandler(_Handler):
    """Encodes one chunk."""

    async def run(self, task: FileTask, order: ChunkOrder, job: ChunkJob) -> TaskResult:
        """Fetch, encode, check, publish."""
        (chunk,) = order.chunks
        started = time.monotonic()
        length_s = float((chunk.end - chunk.start) * job.index.tick)
        note = _progress(task.context, length_s)

        async def encode(ranges: Sequence[tuple[int, int]] | None) -> ChunkReport:
            source = await task.open(ranges, changed=order.changed)
            return await encode_chunk(task.tools(), job, chunk, source=source, on_progress=note)

        try:
            report = await encode(needed_bytes(order))
        except (NeedsWholeFile, MediafleetError) as doubt:
            # What looks damaged may only lack bytes that nobody thought were needed.
            if needed_bytes(order) is None or (isinstance(doubt, MediafleetError) and doubt.retryable):
                raise
            report = await encode(None)
        seconds = time.monotonic() - started
        artifact = await task.context.publish(
            chunk_path(task.context.workspace, chunk), name=f"chunk-{chunk.number}.mp4"
        )
        return TaskResult(write(Answer(report=report, seconds=seconds)), (artifact,))


class SoundHandler(_Handler):
    """Encodes all sound of a file, whole."""

    async def run(self, task: FileTask, order: ChunkOrder, job: ChunkJob) -> TaskResult:
        """Fetch, encode, publish."""
        source = await task.open(changed=order.changed)
        started = time.monotonic()
        note = _progress(task.context, order.info.duration_s)
        sound = await encode_sound(task.tools(), job, source=source, on_progress=note)
        seconds = time.monotonic() - started
        artifact = await task.context.publish(sound, name="sound.media")
        return TaskResult(write(Answer(seconds=seconds)), (artifact,))


class JoinHandler(_Handler):
    """Makes the output of chunks and sound, and verifies it as any other."""

    async def run(self, task: FileTask, order: ChunkOrder, job: ChunkJob) -> TaskResult:
        """Fetch, join, verify, publish."""
        context, parts = task.context, list(task.context.spec.inputs[1:])
        source = await task.open(changed=order.changed)
        context.report(0.0, stage="joining")
        for chunk, part in zip(order.chunks, parts, strict=False):
            await _bring(context, part, chunk_path(context.workspace, chunk))
        sound = await _bring(context, parts[-1], context.workspace / "sound.media") if order.has_sound else None
        output = context.workspace / f"output.{job.plan.container.name}"
        joined = await join(task.tools(), job, order.chunks, source=source, sound=sound, output=output)
        await asyncio.to_thread(show_no_subtitles, job.plan, output)
        task.seconds["encode_s"] = order.encode_s
        made = await task.verify(
            job.plan, (source, order.info), output, arguments=joined.arguments, encoded=joined.finished
        )
        result = await task.publish(made, order.info)
        return msgspec.structs.replace(result, result={**result.result, "chunks": len(order.chunks)})


def needed_bytes(order: ChunkOrder) -> tuple[tuple[int, int], ...] | None:
    """Return the bytes of the source that a chunk's FFmpeg reads, half-open; None for all of them."""
    (chunk,) = order.chunks
    if chunk.span is None or not order.tail:
        return None
    return (0, order.head), chunk.span, (order.tail, order.info.size)


async def _bring(context: TaskContext, ref: ArtifactRef, path: Path) -> Path:
    return _link(path, await context.fetch(ref))


def _link(path: Path, target: Path) -> Path:
    path.symlink_to(target.absolute())
    return path


def _progress(context: TaskContext, length_s: float) -> Callable[[Position], None]:
    def note(position: Position) -> None:
        done = position.fraction(length_s) * _ENCODED
        context.report(done, stage="encoding", speed=position.speed or None, eta_ms=position.eta_ms(length_s))

    return note
