"""What a source loses on its way into an output, each as one sentence under a topic. Pure; `streams` asks.

Announced before anything runs, and held against what came out by `inventory`: a loss that no rule here knows is a fault.
What encoders and containers keep was measured, see decision record 0025.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode import chain, picture
from mediafleet.kinds.transcode.params import TranscodeParams, filters_of, preset_of, scale_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mediafleet.kinds.transcode.containers import Container
    from mediafleet.kinds.transcode.filters import Filters
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
    from mediafleet.kinds.transcode.presets import VideoPreset


class Topic(StrEnum):
    """What a loss is about."""

    STREAM = "stream"
    """It is left out whole."""
    STYLE = "style"
    """Fonts and positions of subtitles."""
    OBJECTS = "objects"
    """Dolby Atmos."""
    EXACT = "exact"
    """Sound of a format that keeps all of it becomes one that does not."""
    CHANNELS = "channels"
    LOUDNESS = "loudness"
    """Tags that tell players how loud it is."""
    DYNAMIC_HDR = "dynamic-hdr"
    """Dolby Vision and HDR10+."""
    HDR = "hdr"
    """PQ or HLG become SDR."""
    DEPTH = "depth"
    DETAIL = "detail"
    """Colour for fewer pixels."""
    ALPHA = "alpha"
    COLOUR = "colour"
    """Range, primaries, transfer or matrix."""
    SHAPE = "shape"
    RATE = "rate"
    """Fewer pictures, or at other distances."""
    FIELDS = "fields"
    TURN = "turn"
    EXTRAS = "extras"
    """Captions and other side data of pictures."""
    MARKS = "marks"
    """Dispositions."""
    LANGUAGE = "language"
    TITLE = "title"
    TAGS = "tags"
    CHAPTERS = "chapters"


class Loss(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that the output lacks against the source."""

    topic: Topic
    sentence: str
    stream: int | None = None
    """Index in the source; None for the whole file."""


EXTRAS = {
    "mastering": "the description of the display that it was graded on",
    "light": "its largest brightness",
    "captions": "the closed captions inside its picture",
    "spherical": "the mark that it shows a whole sphere",
    "stereo3d": "the mark that it shows two eyes' pictures",
    "icc": "its colour profile",
    "ambient": "the description of the room that it was graded in",
}
"""Side data of pictures → what a user calls it."""
_WORDS = {"video": "Video", "audio": "Sound", "subtitle": "Subtitle", "attachment": "Attachment", "data": "Data"}
_PASSING = ("bps", "duration", "number_of_", "_statistics", "encoder", "encoding_tool", "vendor_id", "handler_name")
"""Beginnings of tags that describe the file as it was, and are written anew or mean nothing in another."""
_ALPHA_TAG = "alpha_mode"
_OWN = frozenset(
    [
        _ALPHA_TAG,
        "major_brand",
        "minor_version",
        "compatible_brands",
        "creation_time",
        "language",
        "title",
        "name",
        "filename",
        "mimetype",
        "timecode",
        "source_id",
        "variant_bitrate",
        "reel_name",
    ]
)
"""Tags of a container's own, or that are told of by themselves."""
_TRANSPARENT = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16")
_LOUDNESS = ("replaygain_", "r128_")
_DIMMEST_DISPLAY = 1.0
"""Candela a square metre; encoders round to nought what some files claim."""
_MOST_NAMED = 8
"""Tags that are named one by one."""
_DOLBY_ONLY = 5
"""Dolby Vision's profile without a base picture that others can show."""


def describe(stream: StreamInfo) -> str:
    """Return a few words by which a user knows the stream."""
    what = "Cover art" if stream.is_cover else _WORDS.get(stream.type, "Unknown")
    if stream.is_timecode:
        what = "Timecode"
    details = [stream.codec or stream.tag, stream.language if stream.language != "und" else "", stream.title]
    inside = ", ".join(part for part in details if part)
    return f"{what} stream {stream.index}" + (f" ({inside})" if inside else "")


def article(container: str) -> str:
    """Return a container's name behind `a` or `an`."""
    return f"an {container}" if container[0] in "am" else f"a {container}"


def needs_dolby_player(stream: StreamInfo, info: MediaInfo) -> bool:
    """Tell whether a picture has colours that only a player of Dolby Vision understands."""
    return info.dolby_profile == _DOLBY_ONLY and not stream.is_cover


def picture_losses(stream: StreamInfo, params: TranscodeParams, *, dolby_vision: bool) -> list[Loss]:
    """Return what an encode takes from a picture.

    Args:
        stream: The source.
        params: What the user asks for.
        dolby_vision: Whether the file's header speaks of Dolby Vision.
    """
    video, filters = preset_of(params).video, filters_of(params)
    if video is None:
        return []
    who, index = describe(stream), stream.index
    said = [*_hdr_losses(stream, filters, dolby_vision=dolby_vision), *_detail_losses(stream, video, filters)]
    said += _motion_losses(stream, video, filters)
    said += _size_losses(stream, params, least=video.smallest)
    if stream.interlaced and not filters.deinterlace and not keeps_fields(stream, params):
        what = "is interlaced, and its two fields become one picture with combs at moving edges; `filters.deinterlace` mends it"
        said.append((Topic.FIELDS, what))
    if stream.rotation % 90:
        said.append((Topic.TURN, f"is turned by {stream.rotation}°, and what then lies outside its frame is cut off"))
    if stream.mastering and stream.mastering[-1] < _DIMMEST_DISPLAY and not filters.tone_map:
        what = f"says of its display that it shows {stream.mastering[-1]:g} cd/m², which cannot be true and may not be kept"
        said.append((Topic.EXTRAS, what))
    dropped = [word for word in stream.extras if word not in video.facts.carries]
    # Asked for: what describes the brightness of HDR would be a lie about SDR.
    asked = {"mastering", "light"} if filters.tone_map else set[str]()
    said += [(Topic.EXTRAS, f"loses {EXTRAS[word]}") for word in dropped if word not in asked]
    return [Loss(topic, f"{who} {what}.", index) for topic, what in said]


def _hdr_losses(stream: StreamInfo, filters: Filters, *, dolby_vision: bool) -> list[tuple[Topic, str]]:
    said: list[tuple[Topic, str]] = []
    if stream.dolby_vision or dolby_vision:
        said.append((Topic.DYNAMIC_HDR, "loses its Dolby Vision data; the base picture stays"))
    if stream.hdr10_plus:
        what = "loses its HDR10+ data, which changes from scene to scene"
        said.append((Topic.DYNAMIC_HDR, what if filters.tone_map else f"{what}; plain HDR10 stays"))
    if filters.tone_map and stream.is_hdr:
        said.append(
            (Topic.HDR, "becomes SDR, as asked for; its brightest and most colourful parts are pressed together")
        )
    return said


def _detail_losses(stream: StreamInfo, video: VideoPreset, filters: Filters) -> list[tuple[Topic, str]]:
    said: list[tuple[Topic, str]] = []
    depth = max(video.bit_depths)
    if stream.bit_depth > depth:
        stays_hdr = stream.is_hdr and not filters.tone_map
        what = " and its HDR colours may show bands; the presets hevc and av1 keep them" if stays_hdr else ""
        said.append((Topic.DEPTH, f"goes from {stream.bit_depth} to {depth} bits{what}"))
    if any(mark in stream.pix_fmt for mark in ("444", "422", "gbr", "rgb")):
        what = f"keeps less of its colour detail: {stream.pix_fmt} becomes 4:2:0, as {video.codec} players expect"
        said.append((Topic.DETAIL, what))
    if is_transparent(stream):
        said.append((Topic.ALPHA, "loses its transparency"))
    return said


def _size_losses(stream: StreamInfo, params: TranscodeParams, *, least: int) -> list[tuple[Topic, str]]:
    scale, filters = scale_of(params), filters_of(params)
    asked = scale.width or scale.height or 0 < scale.max < max(stream.shown_size) or filters.changes_size
    (width, height), _ = chain.output_shape(stream, filters, scale, least=least)
    if asked or (width, height) == stream.shown_size:
        return []
    return [(Topic.SHAPE, f"becomes {width}x{height}: encoders take even sides only, and no very short ones")]


def is_transparent(stream: StreamInfo) -> bool:
    """Tell whether parts of the picture can be seen through."""
    # VP8 and VP9 have it in a second picture that FFmpeg's own decoders do not look at; only the tag tells.
    return stream.pix_fmt.startswith(_TRANSPARENT) or any(tag.lower() == _ALPHA_TAG for tag in stream.metadata)


def _motion_losses(stream: StreamInfo, video: VideoPreset, filters: Filters) -> list[tuple[Topic, str]]:
    said: list[tuple[Topic, str]] = []
    if rate := picture.reduced_rate(stream, video.fastest_fps):
        what = f"goes down to {rate} pictures a second: encoder and preset take at most {video.fastest_fps}"
        said.append((Topic.RATE, what))
    if stream.variable and (rate or filters.fps):
        said.append((Topic.RATE, "has pictures at uneven distances, which become even"))
    return said


def keeps_fields(stream: StreamInfo, params: TranscodeParams) -> bool:
    """Tell whether an encode keeps both fields of each picture apart."""
    video, filters = preset_of(params).video, filters_of(params)
    if video is None or not stream.interlaced or not video.facts.woven:
        return False
    # A filter takes a picture for a whole one, and would mix lines of one moment with those of another.
    return not chain.picture_chain(stream, filters, scale_of(params), video)


def asks_for_other_sound(params: TranscodeParams) -> bool:
    """Tell whether a user asked for another sound than the source's, and so need not be told that it is another."""
    return not params.audio.is_free or preset_of(params).video is None


def marking_losses(stream: StreamInfo, container: Container, *, changes_loudness: bool = False) -> list[Loss]:
    """Return what a container does not keep of a stream's description: language, title, dispositions, tags."""
    said: list[tuple[Topic, str]] = []
    who, where = describe(stream), f"{article(container.name)} file"
    language = "" if stream.language == "und" else stream.language
    if language and not container.says(language):
        said.append((Topic.LANGUAGE, f"loses its language, {language}, which {where} cannot hold"))
    if stream.title and stream.type != "attachment" and not container.titles:
        said.append((Topic.TITLE, f"loses its title, which {where} cannot hold"))
    marks = [] if stream.is_cover else [mark for mark in stream.disposition if _is_lost(mark, container)]
    if marks:
        said.append((Topic.MARKS, f"is no longer marked {' and '.join(marks)}, which {where} cannot say"))
    tags = [] if stream.type == "attachment" else lost_tags(stream.metadata, container)
    if changes_loudness and any(tag.lower().startswith(_LOUDNESS) for tag in stream.metadata):
        said.append((Topic.LOUDNESS, "loses its ReplayGain tags, which are true no longer"))
        tags = [tag for tag in tags if not tag.lower().startswith(_LOUDNESS)]
    if tags:
        said.append((Topic.TAGS, f"loses {_tags(tags)}, which {where} cannot hold"))
    return [Loss(topic, f"{who} {what}.", stream.index) for topic, what in said]


def file_losses(info: MediaInfo, container: Container) -> list[Loss]:
    """Return what a container does not keep of the file as a whole."""
    losses: list[Loss] = []
    where = f"{article(container.name)} file"
    if info.chapters and not container.chapters:
        sentence = f"{info.chapters} chapters were left out: {where} cannot hold them."
        losses.append(Loss(Topic.CHAPTERS, sentence))
    if tags := lost_tags(info.metadata, container):
        losses.append(Loss(Topic.TAGS, f"The file loses {_tags(tags)}, which {where} cannot hold."))
    return losses


def lost_tags(names: Iterable[str], container: Container) -> list[str]:
    """Return the tags, in order, that say something and that the container does not keep."""
    if container.tags is None:
        return []
    # Some are told in several languages: `location-eng`.
    return [tag for tag in sorted(names) if says_something(tag) and tag.lower().split("-")[0] not in container.tags]


def says_something(tag: str) -> bool:
    """Tell whether a tag is somebody's word on the content, and not a container's on itself."""
    word = tag.lower()
    return word not in _OWN and not word.startswith(_PASSING)


def is_loudness_tag(tag: str) -> bool:
    """Tell whether a tag says how loud the sound is."""
    return tag.lower().startswith(_LOUDNESS)


def _is_lost(mark: str, container: Container) -> bool:
    # Which track is played first may always be said by its place.
    return mark not in {"default", "attached_pic"} and mark not in container.marks


def _tags(tags: list[str]) -> str:
    names = ", ".join(tags[:_MOST_NAMED])
    more = f" and {len(tags) - _MOST_NAMED} more" if len(tags) > _MOST_NAMED else ""
    return f"the {'tag' if len(tags) == 1 else 'tags'} {names}{more}"
