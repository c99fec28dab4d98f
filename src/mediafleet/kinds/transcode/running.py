"""Runs FFmpeg under a task: follows its progress, stops it when it stalls, never leaves it behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediafleet.domain.errors import TransientFailure
from mediafleet.kinds.transcode import failures
from mediafleet.kinds.transcode.progress import Position, ProgressReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mediafleet.kinds.seam import ChildProcess
    from mediafleet.kinds.transcode.file_reader import Starter

_DRAIN_S = 10
"""How long an FFmpeg that has closed its output may take to end."""
LOOK_S = 10.0
"""How often its file is looked at; by so much later than allowed a stall may be seen."""


@dataclass(frozen=True)
class Finished:
    """How one FFmpeg run ended."""

    exit_code: int
    log: str
    """The last 16 KiB of its standard error."""
    last: Position


@dataclass
class FfmpegRun:
    """One FFmpeg to start and follow."""

    starter: Starter
    arguments: Sequence[str]
    name: str
    """The user's name of the input, for sentences."""
    stall_s: float
    """Without any movement for this long it is stopped."""
    output: Path | None = None
    """The file it writes: its growth counts as movement, also where no progress is told (`+faststart`)."""
    on_progress: Callable[[Position], None] = lambda _: None
    _last: Position = field(default_factory=Position, init=False)
    _moved_s: float = field(default=0.0, init=False)

    async def finish(self) -> Finished:
        """Run it to its end.

        Raises:
            TransientFailure: It stalled and was stopped.

        Cancelling stops the child.
        """
        child = await self.starter.start_process(self.arguments)
        try:
            await self._follow(child)
            # Not `wait_for`: on Python 3.11 it may swallow a cancellation that comes together with the child's end.
            async with asyncio.timeout(max(_DRAIN_S, self.stall_s)):
                code = await child.wait()
        except TimeoutError:
            raise self._stalled(child) from None
        finally:
            # However this is left: an FFmpeg that nobody follows would go on filling the disk.
            await child.stop()
        return Finished(code, child.errors(), self._last)

    async def succeed(self) -> Finished:
        """Run it to its good end.

        Raises:
            MediafleetError: It failed; which one, and its sentence, is what it said of it.
            TransientFailure: It stalled and was stopped.

        Cancelling stops the child.
        """
        finished = await self.finish()
        if finished.exit_code != 0:
            raise failures.explain(finished.log, name=self.name, exit_code=finished.exit_code)
        return finished

    async def _follow(self, child: ChildProcess) -> None:
        reader, seen, loop = ProgressReader(), self._trace(), asyncio.get_running_loop()
        self._moved_s = loop.time()
        while True:
            try:
                async with asyncio.timeout(min(LOOK_S, self.stall_s / 4)):
                    return await self._read_all(child, reader)
            except TimeoutError:
                # The file is looked at as well: FFmpeg tells nothing while it moves an index to the front.
                if (now := self._trace()) != seen:
                    seen, self._moved_s = now, loop.time()
                elif loop.time() - self._moved_s >= self.stall_s:
                    raise

    async def _read_all(self, child: ChildProcess, reader: ProgressReader) -> None:
        """Read progress to its end; cancelling loses nothing."""
        while line := await child.read_line():
            if (position := reader.feed(line)) and self._note(position):
                self._moved_s = asyncio.get_running_loop().time()

    def _note(self, position: Position) -> bool:
        """Take a position; tell whether FFmpeg got on since the last."""
        moved = (position.out_s, position.frame, position.total_size) != (
            self._last.out_s,
            self._last.frame,
            self._last.total_size,
        )
        self._last = position
        self.on_progress(position)
        # The numbers count and not the line: FFmpeg may go on telling its position while it is stuck.
        return moved or position.is_end

    def _trace(self) -> tuple[int, int]:
        try:
            status = self.output.stat() if self.output else None
        except OSError:
            status = None
        if status is None:
            return 0, 0
        return status.st_size, status.st_mtime_ns

    def _stalled(self, child: ChildProcess) -> TransientFailure:
        sentence = f"FFmpeg made no progress on {failures.show_name(self.name)} for {self.stall_s:g} s and was stopped."
        return TransientFailure(sentence, detail=child.errors())
