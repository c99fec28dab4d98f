"""What a node needs for subtitles beside engines, which say for themselves what they can do: FFmpeg."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mediafleet.domain.errors import MediafleetError
from mediafleet.kinds.seam import Detected
from mediafleet.kinds.transcode.program import find_ffmpeg

if TYPE_CHECKING:
    from mediafleet.kinds.seam import DetectContext


async def detect_tools(_: DetectContext) -> Detected:
    """Return whether subtitles can be made here at all."""
    try:
        await asyncio.to_thread(find_ffmpeg)
    except MediafleetError:
        sentence = "No FFmpeg 5.1 or newer was found; install one, or the package imageio-ffmpeg."
        return Detected(missing={"kind:subtitle": sentence})
    return Detected()
