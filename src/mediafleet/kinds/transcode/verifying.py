"""What a user may ask of a result beside what every result must pass, and when a source stays after all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.kinds.transcode import chain, picture
from mediafleet.kinds.transcode.failures import show_name
from mediafleet.kinds.transcode.params import filters_of, preset_of
from mediafleet.kinds.transcode.streams import Action

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
    from mediafleet.kinds.transcode.params import TranscodeParams
    from mediafleet.kinds.transcode.streams import OutputPlan, StreamPlan

_DEMUXERS = {
    "mp4": "mp4",
    "ipod": "mp4",
    "mov": "mov",
    "matroska": "matroska",
    "webm": "webm",
    "mp3": "mp3",
    "opus": "ogg",
}
"""Muxer → what a probe of its files says."""
_ROUNDING = 1
"""Pictures that a source may have more of: its last one may be half a picture, of one field only."""
_FIELDS_APART = frozenset({"h264", "hevc", "mpeg2video", "vc1"})
"""Formats in which each field of an interlaced picture may be a packet of its own …"""
_WHOLE_PICTURES = frozenset({"mov", "matroska"})
"""… except in these, which keep both together."""


def find_lost_pictures(
    source: MediaInfo, output: MediaInfo, plan: OutputPlan, params: TranscodeParams, *, decoded: int, dropped: int = 0
) -> list[str]:
    """Return what of a result's first picture track is missing, each as half a sentence.

    Args:
        decoded: Pictures that came out when all of the result was decoded.
        dropped: Pictures that the encoder was not given, since another had the same time.
    """
    planned = next((one for one in plan.tracks if one.source.type == "video" and one.action is Action.ENCODE), None)
    made = first_picture(output)
    if planned is None or made is None:
        return []
    faults: list[str] = []
    if decoded != made.packets:
        faults.append(f"only {decoded} of its {made.packets} pictures come out of it")
    lost = planned.source.packets - made.packets - dropped
    if keeps_pictures(source, planned, params) and lost > _ROUNDING:
        faults.append(f"{lost} of {planned.source.packets} pictures are missing")
    return faults


def keeps_pictures(source: MediaInfo, planned: StreamPlan, params: TranscodeParams) -> bool:
    """Tell whether a result is to have as many pictures as its source has packets."""
    filters, video = filters_of(params), preset_of(params).video
    # Of a damaged one nobody knows how many can be decoded: what is lost there is told as damage.
    if source.broken or not filters.keeps_frames or video is None:
        return False
    if picture.reduced_rate(chain.arriving(planned.source, filters), video.fastest_fps):
        return False
    return planned.source.codec not in _FIELDS_APART or not _WHOLE_PICTURES.isdisjoint(source.format.split(","))


def find_wrong_container(output: MediaInfo, plan: OutputPlan) -> list[str]:
    """Return half a sentence if a result is no file of the format that was planned."""
    wanted = _DEMUXERS.get(plan.container.muxer, plan.container.muxer)
    if wanted in output.format.split(","):
        return []
    return [f"it is a file of the format {output.format or 'unknown'} and not {wanted}"]


def first_picture(info: MediaInfo) -> StreamInfo | None:
    """Return the first track of pictures that is no cover."""
    return next((one for one in info.streams if one.type == "video" and not one.is_cover), None)


def find_growth(source: MediaInfo, output: MediaInfo, params: TranscodeParams, *, name: str) -> str:
    """Return a sentence if a result should be smaller than its source and is not, else ""."""
    if not params.verify.smaller or output.size < source.size:
        return ""
    return f"The result of {show_name(name)} is not smaller: {output.size:,} bytes, and the source has {source.size:,}."


def reason_to_keep(params: TranscodeParams, growth: str, damage: list[str]) -> str:
    """Return why a source that was to be replaced stays, else ""."""
    if params.replace is None:
        return ""
    if growth:
        return f"{growth} The original stays."
    if damage:
        return "The original stays: of a source that is damaged the result is no equal."
    return ""
