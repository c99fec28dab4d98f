"""Subtitles that a film has within it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.kinds.subtitle.language_codes import short_code

if TYPE_CHECKING:
    from mediafleet.kinds.subtitle.params import SubtitleParams
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo

_PICTURES = frozenset({"dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle", "xsub"})


def has_text(track: StreamInfo) -> bool:
    """Tell whether the text of a subtitle track is known; some are made of pictures."""
    return track.codec not in _PICTURES


def find_there(info: MediaInfo, params: SubtitleParams) -> tuple[str, ...]:
    """Return the languages that are asked for, if a film has tracks of text in all of them and that is enough."""
    tracks = {
        short_code(stream.language)
        for stream in info.streams
        if stream.type == "subtitle" and has_text(stream) and "forced" not in stream.disposition
    }
    tags = [short_code(stream.language) for stream in info.streams if stream.type == "audio"]
    spoken = tags[params.track : params.track + 1] if params.language == "auto" else [params.language]
    wanted = params.to or tuple(spoken)
    return wanted if params.skip_tracks and "" not in wanted and tracks.issuperset(wanted) else ()
