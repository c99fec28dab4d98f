"""Which tasks of transcodes are alike enough for the speed of one to tell that of another; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.kinds.transcode.params import preset_of

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.media import MediaInfo
    from mediafleet.kinds.transcode.params import TranscodeParams

_HEIGHTS = (240, 360, 480, 720, 1080, 1440, 2160)
"""Pictures are as slow as those of the next one of these."""


def file_pace(params: TranscodeParams) -> str:
    """Return the pace of a task that makes a whole file of which nothing is known yet."""
    if params.dry_run:
        return "transcode:look"
    video = preset_of(params).video
    if video is None:
        return f"transcode:file:{'sound' if preset_of(params).audio is not None else 'copy'}"
    # Whether a graphics card does it is the node's to find out, and each node is measured by itself.
    return f"transcode:file:{video.encoder}:{params.speed}".lower()


def picture_pace(work: str, info: MediaInfo, params: TranscodeParams) -> str:
    """Return the pace of work on the pictures of a known source."""
    video = preset_of(params).video
    encoder = video.encoder if video is not None else "copy"
    sides = [min(stream.width, stream.height) for stream in info.streams if stream.width and stream.height]
    height = next((one for one in _HEIGHTS if one >= max(sides, default=0)), 4320)
    return f"transcode:{work}:{encoder}:{params.speed}:{height}".lower()
