"""Copies of a film with its subtitles: drawn into the picture, or as tracks that players can show."""

from __future__ import annotations

import asyncio
from collections import Counter
from fractions import Fraction
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mediafleet.domain.errors import InvalidParams, OutputRejected
from mediafleet.kinds.subtitle.fonts import check_fonts
from mediafleet.kinds.subtitle.formats import Format, Style, write_cues
from mediafleet.kinds.subtitle.language_codes import long_code
from mediafleet.kinds.subtitle.workspace import link_source
from mediafleet.kinds.transcode.arguments import quiet_options
from mediafleet.kinds.transcode.demuxers import input_options, url
from mediafleet.kinds.transcode.failures import show_name
from mediafleet.kinds.transcode.handler import DEFAULT_STALL_S, FileTask
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.running import FfmpegRun
from mediafleet.kinds.transcode.track_flags import disable_subtitles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.subtitle.formats import Transcript
    from mediafleet.kinds.subtitle.orders import FilesOrder, Film
    from mediafleet.kinds.subtitle.params import SubtitleParams
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo
    from mediafleet.kinds.transcode.progress import Position

_ISO = frozenset({"mov", "mp4"})
_TEXT_CODECS = {"mp4": "mov_text", "mkv": "srt", "webm": "webvtt"}
"""Container → codec of text subtitles."""
_KEPT = {
    "mkv": ("video", "audio", "subtitle", "attachment"),
    "mp4": ("video", "audio", "subtitle"),
    "webm": ("video", "audio", "subtitle"),
}
_COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}
"""Codec of a cover picture → ending and type of a file of it."""
_DRAWN = "drawn.ass"
_LATE_S = 0.1
"""By which a copy may end earlier than its source: a last packet of sound."""


class MadeFilm(NamedTuple):
    """A copy of a film."""

    path: Path | None
    """None where nothing was to be done."""
    name: str
    warnings: tuple[str, ...]


class Flags(NamedTuple):
    """What players are told of tracks that are added."""

    is_forced: bool = False
    """Whether they show them also where nobody asked for subtitles."""
    has_default: bool = True
    """Whether they show the last where they are told nothing; not of a film that has subtitles in its picture."""


async def make_film(
    context: TaskContext, params: SubtitleParams, order: FilesOrder, transcripts: Sequence[Transcript]
) -> MadeFilm:
    """Draw subtitles, add tracks, or both.

    Raises:
        InvalidParams: There are no subtitles in the language to draw.
        OutputRejected: The copy is not what it should be; it is not published.
    """
    ref = context.spec.inputs[len(transcripts)]
    source = await link_source(context, ref)
    info = await probe(context, source, name=ref.name)
    stem, words, warnings = PurePath(ref.name).stem, list[str](), list[str]()
    if params.burn and not _has_picture(info):
        warnings.append(f"{show_name(ref.name)} has no picture to draw subtitles into.")
    elif params.burn:
        chosen = _choose(params, order, transcripts)
        source, found = await _burn(context, source, info, chosen, order.film)
        info = await probe(context, source, name=ref.name)
        words += [chosen.language, "burned"]
        warnings += found
    if params.mux:
        # A track's own text is in the film, unless somebody has corrected it.
        has_first = params.subtitle_track is not None and not params.review
        added = transcripts[1:] if has_first else transcripts
        if not added:
            warnings.append(f"{show_name(ref.name)} has that text as a track already; there is none to add.")
        else:
            is_drawn = "burned" in words
            flags = Flags(is_forced=params.forced and not is_drawn, has_default=not is_drawn)
            source, found = await _mux(context, source, info, added, film=order.film, flags=flags)
            words.append("subtitled")
            warnings += found
    return MadeFilm(source if words else None, ".".join([stem, *words]) + source.suffix, tuple(warnings))


def container_of(info: MediaInfo) -> str:
    """Return the container of a copy: that of its source where that holds subtitles, else Matroska."""
    names = set(info.format.split(","))
    if names & _ISO:
        return "mp4"
    return "mkv"


def mux_arguments(
    info: MediaInfo, tracks: Sequence[tuple[Path, str]], *, source: Path, output: Path, flags: Flags
) -> list[str]:
    """Return FFmpeg's arguments, without the program, that copy a film and add tracks of subtitles.

    Args:
        info: The source.
        tracks: Absolute paths of SRT files, and their languages.
        source: Absolute path of the film.
        output: Absolute path to write, whose ending tells the container.
        flags: Of the tracks that are added; where one of them is shown by default, none that was there is any more.
    """
    container = output.suffix[1:]
    covers = covers_beside(info, container)
    kept = [stream for stream in info.streams if has_place(stream, container) and stream not in covers]
    before = sum(stream.type == "subtitle" for stream in kept)
    words = [*quiet_options(), *input_options(), "-i", url(source)]
    for path, _ in tracks:
        words += ["-protocol_whitelist", "file", "-f", "srt", "-i", url(path)]
    for stream in kept:
        words += ["-map", f"0:{stream.index}"]
    for number in range(1, len(tracks) + 1):
        words += ["-map", f"{number}:0"]
    words += ["-c", "copy", "-map_metadata", "0", "-map_chapters", "0"]
    for number in range(before):
        words += [f"-disposition:s:{number}", "-default"] if flags.has_default else []
    for number, (_, language) in enumerate(tracks, start=before):
        words += [
            f"-c:s:{number}",
            _TEXT_CODECS[container],
            f"-metadata:s:s:{number}",
            f"language={long_code(language)}",
        ]
        is_default = flags.has_default and number == before + len(tracks) - 1
        marks = [*(["default"] if is_default else []), *(["forced"] if flags.is_forced else [])]
        words += [f"-disposition:s:{number}", "+".join(marks) or "0"]
    # FFmpeg numbers attached files behind all mapped streams.
    for number, cover in enumerate(covers, start=len(kept) + len(tracks)):
        ending, mime = _COVERS[cover.codec]
        words += ["-attach", url(_cover_path(cover, output.parent)), f"-metadata:s:{number}", f"mimetype={mime}"]
        words += [f"-metadata:s:{number}", f"filename=cover.{ending}"]
    if container == "mp4":
        words += ["-movflags", "+faststart", "-strict", "unofficial"]
    return [*words, url(output)]


def has_place(stream: StreamInfo, container: str) -> bool:
    """Tell whether a copy of a film in that container has a stream as well."""
    return stream.type in _KEPT[container] and (not stream.is_cover or stream.codec in _COVERS)


def covers_beside(info: MediaInfo, container: str) -> list[StreamInfo]:
    """Return the covers that a copy in that container must be handed as files; mapped, they would be tracks that play."""
    return [one for one in info.streams if one.is_cover and has_place(one, container)] if container == "mkv" else []


def cover_arguments(cover: StreamInfo, *, source: Path, folder: Path) -> list[str]:
    """Return FFmpeg's arguments, without the program, that take a cover out of a film into the file that is attached."""
    words = [*quiet_options(tells_progress=False), *input_options(), "-i", url(source), "-map", f"0:{cover.index}"]
    return [*words, "-c", "copy", "-frames:v", "1", "-f", "image2", "-update", "1", url(_cover_path(cover, folder))]


def _cover_path(cover: StreamInfo, folder: Path) -> Path:
    return folder / f"cover-{cover.index}.{_COVERS[cover.codec][0]}"


def find_missing(info: MediaInfo, copy: MediaInfo, *, added: int, container: str) -> list[str]:
    """Return half a sentence for each thing that a copy should have and has not."""
    wanted = Counter(_sort(stream) for stream in info.streams if has_place(stream, container))
    wanted["subtitle"] += added
    there = Counter(_sort(stream) for stream in copy.streams)
    faults = [
        f"it has {there[kind]} {kind} track(s) and not {count}"
        for kind, count in wanted.items()
        if there[kind] != count
    ]
    if copy.duration_s < info.duration_s - _LATE_S:
        faults.append(f"it ends {info.duration_s - copy.duration_s:.1f} s early")
    return faults


def _sort(stream: StreamInfo) -> str:
    return "cover" if stream.is_cover else stream.type


def _choose(params: SubtitleParams, order: FilesOrder, transcripts: Sequence[Transcript]) -> Transcript:
    wanted = params.burn_language or next(iter([*order.languages[1:], *order.languages]))
    for transcript in transcripts:
        if transcript.language == wanted:
            return transcript
    raise InvalidParams(f"'burn_language' is {wanted!r}; there are subtitles in {', '.join(order.languages)}.")


def _has_picture(info: MediaInfo) -> bool:
    return any(stream.type == "video" and not stream.is_cover for stream in info.streams)


async def _burn(
    context: TaskContext, source: Path, info: MediaInfo, transcript: Transcript, film: Film
) -> tuple[Path, list[str]]:
    path = context.workspace / _DRAWN
    path.write_text(
        write_cues(transcript, Format.ASS, Style(Fraction(*film.fps), height=film.height)), encoding="utf-8"
    )
    is_hdr = any(stream.is_hdr for stream in info.streams)
    wishes: dict[str, Any] = {
        "preset": "h264",
        "container": container_of(info),
        "filters": {"tone_map": {}} if is_hdr else {},
    }
    params = msgspec.convert(wishes, TranscodeParams)
    ffmpeg = await asyncio.to_thread(find_ffmpeg)
    warnings = await check_fonts(context, ffmpeg, transcript)
    task = FileTask(context, ffmpeg, DEFAULT_STALL_S, params=params)
    # By its bare name: FFmpeg runs in the workspace, and no path has to be written so that a filter understands it.
    task.drawn = f"ass=filename={_DRAWN}"
    made = await task.make(source, info)
    task.accept(made)
    return made.path, [*warnings, *made.plan.warnings]


async def _mux(
    context: TaskContext, source: Path, info: MediaInfo, transcripts: Sequence[Transcript], *, film: Film, flags: Flags
) -> tuple[Path, list[str]]:
    container = container_of(info)
    tracks: list[tuple[Path, str]] = []
    for transcript in transcripts:
        path = context.workspace / f"track-{transcript.language}.srt"
        path.write_text(write_cues(transcript, Format.SRT), encoding="utf-8")
        tracks.append((path, transcript.language))
    output = context.workspace / f"subtitled.{container}"
    ffmpeg = await asyncio.to_thread(find_ffmpeg)
    arguments = mux_arguments(info, tracks, source=source, output=output, flags=flags)

    def note(position: Position) -> None:
        context.report(position.fraction(info.duration_s), stage="adding tracks")

    for cover in covers_beside(info, container):
        take = [ffmpeg.path, *cover_arguments(cover, source=source, folder=output.parent)]
        file = _cover_path(cover, output.parent)
        await FfmpegRun(context, take, film.name, DEFAULT_STALL_S, output=file).succeed()
    words = [ffmpeg.path, *arguments]
    await FfmpegRun(context, words, film.name, DEFAULT_STALL_S, output=output, on_progress=note).succeed()
    marked = [one for one in info.streams if one.type == "subtitle" and "default" in one.disposition]
    if container == "mp4" and not (marked or flags.has_default):
        await asyncio.to_thread(disable_subtitles, output)
    copy = await probe(context, output, name=output.name)
    if faults := find_missing(info, copy, added=len(tracks), container=container):
        raise OutputRejected(f"The copy of {show_name(film.name)} with subtitles was rejected: {'; '.join(faults)}.")
    left = [stream for stream in info.streams if not has_place(stream, container)]
    warnings = [f"Track {one.index} ({_sort(one)}) has no place in {container} and is left out." for one in left]
    return output, warnings
