"""The demo's media: short clips with moving picture and sound, and a look at what became of them."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import av.error

from mediafleet.domain.errors import OutputRejected, TaskFailed, UnreadableMedia
from mediafleet.kinds.transcode.demuxers import ALLOWED
from mediafleet.kinds.transcode.program import find_ffmpeg

if TYPE_CHECKING:
    from pathlib import Path

CLIP_S = 5
_SIZE = "640x360"
_RATE = 25
_MAKE_S = 60.0
_SLACK = (0.25, 0.01)
"""A result may be longer or shorter by seconds, or by a share: sound codecs pad, containers round."""

CLIPS = {
    "colours.mkv": (f"testsrc2=size={_SIZE}:rate={_RATE}", "sine=frequency=440"),
    "fractal.mkv": (f"mandelbrot=size={_SIZE}:rate={_RATE}:maxiter=200", "sine=frequency=660:beep_factor=4"),
    "cells.mkv": (f"life=size={_SIZE}:rate={_RATE}:mold=10:ratio=0.1:death_color=#204060", "anoisesrc=amplitude=0.05"),
}
"""Name → picture and sound, as FFmpeg's own generators describe them."""


@dataclass(frozen=True)
class Look:
    """What a media file turns out to be."""

    seconds: float
    streams: tuple[str, ...]
    """Codec names, in order."""
    has_sound: bool


async def make_clips(folder: Path) -> list[Path]:
    """Generate the clips and return their paths.

    Raises:
        MediafleetError: There is no FFmpeg, or it could not make them.
    """
    program = await asyncio.to_thread(find_ffmpeg)
    making = [asyncio.create_task(_make_clip(program.path, folder / name), name=f"make {name}") for name in CLIPS]
    try:
        return list(await asyncio.gather(*making))
    finally:
        # The first that fails does not end the others, which would go on writing into a folder that is taken away.
        for task in making:
            task.cancel()
        await asyncio.wait(making)


async def _make_clip(program: str, path: Path) -> Path:
    picture, sound = CLIPS[path.name]
    command = [program, "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    command += ["-t", str(CLIP_S), "-c:v", "mpeg4", "-q:v", "3", "-c:a", "flac", "-shortest", str(path)]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        async with asyncio.timeout(_MAKE_S):
            _, errors = await process.communicate()
    except TimeoutError as error:
        raise TaskFailed(f"FFmpeg did not make {path.name} within {_MAKE_S:.0f} s.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise TaskFailed(f"FFmpeg could not make {path.name}.", detail=errors.decode(errors="replace"))
    return path


def look_at(path: Path) -> Look:
    """Return what the file is; only local files of known formats are opened.

    Raises:
        UnreadableMedia: It is no media file.
    """
    # A playlist that is named like a clip could otherwise make the library open any file or address.
    options = {"protocol_whitelist": "file", "format_whitelist": ALLOWED}
    try:
        with av.open(f"file:{path.absolute()}", options=options) as container:
            codecs = tuple(stream.codec_context.name for stream in container.streams if stream.codec_context)
            seconds = (container.duration or 0) / 1_000_000
            return Look(seconds, codecs, has_sound=bool(container.streams.audio))
    except (av.error.FFmpegError, OSError) as error:
        raise UnreadableMedia(f"{path} cannot be read as media.") from error


def compare(source: Look, result: Look, *, name: str) -> None:
    """Return if the result plays as long as its source.

    Raises:
        OutputRejected: It does not, or holds nothing.
    """
    seconds, share = _SLACK
    if not result.streams:
        raise OutputRejected(f"{name} holds no streams.")
    if abs(result.seconds - source.seconds) > max(seconds, share * source.seconds):
        raise OutputRejected(f"{name} plays for {result.seconds:.2f} s, but its source for {source.seconds:.2f} s.")
