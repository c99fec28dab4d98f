"""Proves one encoder by a two-frame encode."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mediafleet.kinds.transcode.arguments import trial_arguments

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.file_reader import Starter
    from mediafleet.kinds.transcode.program import Ffmpeg

SOUND_ENCODERS = ("aac", "libmp3lame", "libopus", "ac3", "flac")
_PATIENCE_S = 30.0


async def try_encoder(starter: Starter, ffmpeg: Ffmpeg, encoder: str) -> str:
    """Return why an encoder does not work on this machine, as a sentence, or "" where it does."""
    arguments = trial_arguments(encoder, is_video=encoder not in SOUND_ENCODERS)
    child = await starter.start_process([ffmpeg.path, *arguments])
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while await child.read_line():
                pass
            code = await child.wait()
    except TimeoutError:
        return f"{encoder} did not finish a two-frame encode in {_PATIENCE_S:.0f} s."
    finally:
        # A driver that hangs must not leave its encoder behind on the card.
        await child.stop()
    if code == 0:
        return ""
    # The first line names the cause; what follows it is FFmpeg giving up, part by part.
    words = child.errors().strip().splitlines()
    return f"{encoder} failed a two-frame encode: {_plain(words[0]) if words else f'exit code {code}'}."


def _plain(line: str) -> str:
    """Return FFmpeg's words without the address of the part that said them."""
    return (line.rpartition("] ")[2] or line).rstrip(".")[:200]
