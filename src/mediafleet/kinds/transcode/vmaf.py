"""How much a result looks like its source: FFmpeg's VMAF, picture by picture. Pure: words out, a number in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mediafleet.domain.errors import CapabilityMissing
from mediafleet.kinds.transcode import chain
from mediafleet.kinds.transcode.arguments import quiet_options
from mediafleet.kinds.transcode.demuxers import input_options, url
from mediafleet.kinds.transcode.params import TranscodeParams, filters_of, preset_of, scale_of
from mediafleet.kinds.transcode.streams import Action

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.kinds.transcode.media import MediaInfo
    from mediafleet.kinds.transcode.streams import OutputPlan, StreamPlan

_SCORE = re.compile(r"VMAF score: (\d+(?:\.\d+)?)")
_NO_FILTER = re.compile(r"No such filter: '?libvmaf")
_EIGHT_BITS = 8


def compared_track(plan: OutputPlan) -> StreamPlan | None:
    """Return the track of pictures whose quality is measured: the first that is encoded."""
    return next((one for one in plan.tracks if one.source.type == "video" and one.action is Action.ENCODE), None)


def vmaf_arguments(
    planned: StreamPlan, params: TranscodeParams, *, source: tuple[Path, MediaInfo], output: tuple[Path, MediaInfo]
) -> list[str]:
    """Return the arguments that compare a result with what its encoder was given.

    Args:
        planned: The track that is compared.
        params: What was done to the picture: the same is done to the source, since only the encoder is judged.
        source: Path and inventory of the source.
        output: Path and inventory of the result.
    """
    preset = preset_of(params).video
    shown = chain.picture_chain(planned.source, filters_of(params), scale_of(params), preset) if preset else ""
    made = next(one for one in output[1].streams if one.type == "video" and not one.is_cover)
    depth = max(made.bit_depth, planned.source.bit_depth)
    alike = f"format=pix_fmts={'yuv420p' if depth == _EIGHT_BITS else 'yuv420p10le'},"
    # By number and not by time: containers round times, and a good encode of 93 was measured as one of 75.
    alike += "settb=expr=1/1000,setpts=expr=N"
    size = f"scale=w={made.width}:h={made.height},"
    graph = (
        f"[0:{made.index}]{alike}[made];"
        f"[1:{planned.source.index}]{shown + ',' if shown else ''}{size}{alike}[given];"
        "[made][given]libvmaf=shortest=1[score]"
    )
    return [
        *quiet_options(),
        *input_options(output[1].format),
        "-i",
        url(output[0]),
        *input_options(source[1].format),
        "-i",
        url(source[0]),
        "-filter_complex",
        graph,
        "-map",
        "[score]",
        "-f",
        "null",
        "-",
    ]


def read_score(log: str) -> float | None:
    """Return the mean VMAF that FFmpeg told, 0 to 100; None where it told none.

    Raises:
        CapabilityMissing: This FFmpeg was built without VMAF.
    """
    if _NO_FILTER.search(log):
        raise CapabilityMissing("filter:libvmaf")
    found = _SCORE.search(log)
    return float(found[1]) if found else None


def find_low_quality(score: float | None, least: float) -> list[str]:
    """Return half a sentence if a score is below what was asked for."""
    if score is None:
        return ["its quality could not be measured"]
    return [f"its mean VMAF is {score:.1f} and not at least {least:g}"] if score < least else []
