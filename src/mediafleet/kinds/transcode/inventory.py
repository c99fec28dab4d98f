"""Holds an output beside its source: every difference, and whether the plan announced it. Pure.

`verify` rejects what would be a bad file; here stands all that a user could miss. A difference that was not announced is a
fault of the rules in `losses`, and is told after the job instead.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode.containers import STYLED_SUBTITLES
from mediafleet.kinds.transcode.losses import (
    EXTRAS,
    Loss,
    Topic,
    asks_for_other_sound,
    describe,
    is_loudness_tag,
    is_transparent,
    says_something,
)
from mediafleet.kinds.transcode.params import TranscodeParams, filters_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mediafleet.kinds.transcode.filters import Filters
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
    from mediafleet.kinds.transcode.streams import OutputPlan

_COLOUR_WORDS = ("range", "primaries", "transfer", "matrix")
_SAYS_NOTHING = frozenset({0, 2, 3})
_LIGHT_SHARE, _LIGHT_STEP = 0.02, 0.006
"""How far the numbers of a mastering display may be rounded: AV1 stores them in other fractions."""


class Difference(msgspec.Struct, frozen=True):
    """One thing that the output has otherwise than its source."""

    topic: Topic
    what: str
    source: str
    output: str
    stream: int | None = None
    """Index in the source; None for the whole file."""
    announced: bool = False

    @property
    def sentence(self) -> str:
        """What to tell a user to whom nobody announced it."""
        where = "The file" if self.stream is None else f"Stream {self.stream}"
        return f"{where} lost something that was not foreseen: its {self.what} was {self.source} and is {self.output}."


def compare(source: MediaInfo, output: MediaInfo, plan: OutputPlan, params: TranscodeParams) -> list[Difference]:
    """Return what differs, in the order of the source's streams, with what was announced marked so.

    Args:
        source: Inventory of the input.
        output: Inventory of what was made.
        plan: What was to become of each stream.
        params: What the user asked for; what was asked for is no difference.
    """
    waiting: dict[tuple[str, bool], list[StreamInfo]] = defaultdict(list)
    for stream in output.streams:
        waiting[stream.type, stream.is_cover].append(stream)
    found: list[Difference] = []
    for planned in plan.streams:
        before = planned.source
        queue = waiting[before.type, before.is_cover]
        if queue:
            found += _compare_streams(before, queue.pop(0), params)
        else:
            found.append(Difference(Topic.STREAM, "stream", describe(before), "missing", before.index))
    found += [
        Difference(Topic.STREAM, "stream", describe(one.source), "left out", one.source.index)
        for one in plan.left_out
        if one.is_lost
    ]
    found += _compare_files(source, output)
    pictures = [one.source for one in plan.streams if one.source.type == "video" and not one.source.is_cover]
    # The first, to which the plan counts it as well; told once.
    if source.dolby_vision and not output.dolby_vision and pictures and not pictures[0].dolby_vision:
        found.append(Difference(Topic.DYNAMIC_HDR, "Dolby Vision data", "there", "missing", pictures[0].index))
    return [msgspec.structs.replace(one, announced=is_announced(one, plan.losses)) for one in found]


def is_announced(difference: Difference, losses: Iterable[Loss]) -> bool:
    """Tell whether one of the losses is about that topic of that stream."""
    return any(loss.topic is difference.topic and loss.stream == difference.stream for loss in losses)


def _compare_files(source: MediaInfo, output: MediaInfo) -> Iterator[Difference]:
    if output.chapters < source.chapters:
        yield Difference(Topic.CHAPTERS, "chapters", str(source.chapters), str(output.chapters))
    # Opus has no place for tags but its one stream.
    kept = [*output.metadata, *(tag for stream in output.streams for tag in stream.metadata)]
    if lost := _missing_tags(source.metadata, kept):
        yield Difference(Topic.TAGS, "tags", ", ".join(lost), "missing")


def _compare_streams(before: StreamInfo, after: StreamInfo, params: TranscodeParams) -> list[Difference]:
    said = [*_compare_marks(before, after)]
    if before.is_cover:
        return []
    if before.type == "video":
        said += [
            *_compare_pictures(before, after, filters_of(params)),
            *_compare_light(before, after, filters_of(params)),
        ]
        said += _compare_rates(before, after, filters_of(params))
    elif before.type == "audio":
        said += _compare_sound(before, after, params)
    elif before.codec in STYLED_SUBTITLES and after.codec not in STYLED_SUBTITLES:
        said.append((Topic.STYLE, "style", before.codec, after.codec))
    return [Difference(*one, stream=before.index) for one in said]


_Said = tuple[Topic, str, str, str]


def _compare_marks(before: StreamInfo, after: StreamInfo) -> Iterator[_Said]:
    language = "" if before.language == "und" else before.language
    if language and after.language != language:
        yield Topic.LANGUAGE, "language", language, after.language or "none"
    if before.title and after.title != before.title:
        yield Topic.TITLE, "title", before.title, after.title or "none"
    if marks := [mark for mark in before.disposition if mark != "default" and mark not in after.disposition]:
        yield Topic.MARKS, "marks", ", ".join(marks), ", ".join(after.disposition) or "none"
    elif before.type == "subtitle" and "default" in after.disposition and "default" not in before.disposition:
        # Players show it unasked then; of pictures and sound they take the first anyway.
        yield Topic.MARKS, "marks", ", ".join(before.disposition) or "none", ", ".join(after.disposition)
    if before.type == "attachment":
        return
    lost = _missing_tags(before.metadata, after.metadata)
    loudness = [tag for tag in lost if is_loudness_tag(tag)]
    if others := [tag for tag in lost if tag not in loudness]:
        yield Topic.TAGS, "tags", ", ".join(others), "missing"
    if loudness:
        yield Topic.LOUDNESS, "loudness tags", ", ".join(loudness), "missing"


def _compare_pictures(before: StreamInfo, after: StreamInfo, filters: Filters) -> Iterator[_Said]:
    if after.bit_depth < before.bit_depth:
        yield Topic.DEPTH, "bits", str(before.bit_depth), str(after.bit_depth)
    if _chroma(after.pix_fmt) < _chroma(before.pix_fmt):
        yield Topic.DETAIL, "pixel format", before.pix_fmt, after.pix_fmt
    if is_transparent(before) and not is_transparent(after):
        yield Topic.ALPHA, "pixel format", before.pix_fmt, after.pix_fmt
    if before.interlaced and not after.interlaced and not filters.deinterlace:
        yield Topic.FIELDS, "fields", "interlaced", "progressive"
    if filters.tone_map and before.is_hdr:
        yield Topic.HDR, "brightness", "HDR", "SDR"
    elif lost := _lost_colour(before, after):
        yield Topic.COLOUR, "colour", str(list(before.colour)), f"{list(after.colour)} ({', '.join(lost)})"
    if before.rotation % 90:
        yield Topic.TURN, "rotation", f"{before.rotation}°", f"{after.rotation}°"


def _lost_colour(before: StreamInfo, after: StreamInfo) -> list[str]:
    lost = ["range"] if before.is_full_range != after.is_full_range else list[str]()
    words = zip(_COLOUR_WORDS[1:], before.colour[1:], after.colour[1:], strict=True)
    return lost + [word for word, was, now in words if was not in _SAYS_NOTHING and was != now]


def _compare_light(before: StreamInfo, after: StreamInfo, filters: Filters) -> Iterator[_Said]:
    if before.dolby_vision and not after.dolby_vision:
        yield Topic.DYNAMIC_HDR, "Dolby Vision data", "there", "missing"
    if before.hdr10_plus and not after.hdr10_plus:
        yield Topic.DYNAMIC_HDR, "HDR10+ data", "there", "missing"
    if filters.tone_map and before.is_hdr:
        return
    for word in before.extras:
        if word not in after.extras:
            yield Topic.EXTRAS, EXTRAS[word].removeprefix("its ").removeprefix("the "), "there", "missing"
    if before.mastering and after.mastering and not _is_near(before.mastering, after.mastering):
        yield Topic.EXTRAS, "mastering display", _numbers(before.mastering), _numbers(after.mastering)
    if before.light and after.light and before.light != after.light:
        yield Topic.EXTRAS, "largest brightness", _numbers(before.light), _numbers(after.light)


def _compare_rates(before: StreamInfo, after: StreamInfo, filters: Filters) -> Iterator[_Said]:
    if not filters.keeps_frames:
        return
    # A picture of two fields may come in two packets.
    if before.packets != after.packets and not before.interlaced:
        yield Topic.RATE, "pictures", str(before.packets), str(after.packets)
    if before.variable and not after.variable:
        yield Topic.RATE, "distances of pictures", "uneven", "even"


def _compare_sound(before: StreamInfo, after: StreamInfo, params: TranscodeParams) -> Iterator[_Said]:
    if after.channels < before.channels and not params.audio.channels:
        yield Topic.CHANNELS, "channels", str(before.channels), str(after.channels)
    if before.lossless and not after.lossless and not asks_for_other_sound(params):
        yield Topic.EXACT, "sound", f"{before.codec}, which is exact", after.codec
    if "Atmos" in before.profile and "Atmos" not in after.profile:
        yield Topic.OBJECTS, "sound", before.profile, after.profile or after.codec


def _missing_tags(names: Iterable[str], kept: Iterable[str]) -> list[str]:
    there = {tag.lower() for tag in kept}
    return [tag for tag in sorted(names) if says_something(tag) and tag.lower() not in there]


def _chroma(pix_fmt: str) -> int:
    if any(mark in pix_fmt for mark in ("444", "gbr", "rgb")):
        return 2
    return 1 if "422" in pix_fmt else 0


def _is_near(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    near = (abs(a - b) <= max(_LIGHT_SHARE * abs(a), _LIGHT_STEP) for a, b in zip(one, other, strict=True))
    return all(near)


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
