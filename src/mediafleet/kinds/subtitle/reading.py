"""`read`: takes the text of a file of subtitles, or of a track of them, where others are recognized."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InvalidParams, UnreadableMedia
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.subtitle.formats import LOOKS_LEFT, has_looks, read_cues
from mediafleet.kinds.subtitle.language_codes import short_code
from mediafleet.kinds.subtitle.listening import describe_film
from mediafleet.kinds.subtitle.names import language_of
from mediafleet.kinds.subtitle.orders import Film, TextReport, write
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.tracks import has_text
from mediafleet.kinds.subtitle.workspace import link_source, publish_record
from mediafleet.kinds.transcode.arguments import quiet_options
from mediafleet.kinds.transcode.demuxers import input_options, url
from mediafleet.kinds.transcode.failures import show_name
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.running import FfmpegRun

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo

_STALL_S = 120.0


async def read_subtitles(context: TaskContext) -> TaskResult:
    """Fetch, read, publish."""
    params = msgspec.convert(context.spec.params, SubtitleParams)
    name = shown = context.spec.inputs[0].name
    source = await link_source(context, context.spec.inputs[0])
    film = Film(name)
    if params.subtitle_track is not None:
        info = await probe(context, source, name=name)
        film = describe_film(info, name)
        track = _choose(info, params.subtitle_track, name=name)
        language = _language(params, short_code(track.language), name=name)
        source = await _extract(context, source, track, name=name)
        name = source.name
    elif params.mux or params.burn:
        raise InvalidParams(
            f"{show_name(name)} is a file of subtitles, which has no film to make a copy of; hand in the film, with its text by --align."
        )
    else:
        language = _language(params, language_of(name), name=name)
    content = await asyncio.to_thread(source.read_bytes)
    found = await asyncio.to_thread(read_cues, content, name=name, fps=Fraction(*film.fps))
    transcript = msgspec.structs.replace(found, language=language, film_s=film.duration_s)
    output = await publish_record(context, transcript, name="transcript.json")
    report = TextReport(language, len(transcript.cues), len(transcript.words), is_drafty=transcript.is_drafty)
    warnings = (LOOKS_LEFT.format(show_name(shown)),) if await asyncio.to_thread(has_looks, content) else ()
    return TaskResult({**write(report), "film": write(film)}, (output,), warnings)


def _language(params: SubtitleParams, found: str, *, name: str) -> str:
    language = params.language if params.language != "auto" else found
    if not language:
        raise InvalidParams(
            f"Nothing says what language {show_name(name)} is in; name it with --from (`language`), or in its name, as film.en.srt."
        )
    return language


def _choose(info: MediaInfo, number: int, *, name: str) -> StreamInfo:
    tracks = [stream for stream in info.streams if stream.type == "subtitle"]
    if number >= len(tracks):
        raise UnreadableMedia(
            f"{show_name(name)} has {len(tracks)} subtitle track(s), counted from 0; 'subtitle_track' is {number}."
        )
    if not has_text(tracks[number]):
        raise UnreadableMedia(
            f"Subtitle track {number} of {show_name(name)} is made of pictures ({tracks[number].codec}); its text is not known."
        )
    return tracks[number]


async def _extract(context: TaskContext, source: Path, track: StreamInfo, *, name: str) -> Path:
    output = context.workspace / "track.ass"
    ffmpeg = await asyncio.to_thread(find_ffmpeg)
    arguments = [*quiet_options(), *input_options(), "-i", url(source), "-map", f"0:{track.index}", url(output)]
    await FfmpegRun(context, [ffmpeg.path, *arguments], name, _STALL_S, output=output).succeed()
    return output
