"""Builds the FFmpeg command lines of a transcode in chunks: one chunk, the sound, the join. Pure, as `arguments` is.

Streams are never copied to split them. A chunk's FFmpeg enters the source before the range, decodes, and keeps exactly
the pictures of the range by their times. Record 0022 has what was measured.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from mediafleet.kinds.transcode.arguments import ending_options, quiet_options, stream_options
from mediafleet.kinds.transcode.chunks import NeedsWholeFile
from mediafleet.kinds.transcode.demuxers import input_options, joined_options, url
from mediafleet.kinds.transcode.encoder_facts import VIDEO_ENCODERS
from mediafleet.kinds.transcode.options import tell_cores
from mediafleet.kinds.transcode.params import TranscodeParams, filters_of, preset_of
from mediafleet.kinds.transcode.streams import Action, OutputPlan, StreamPlan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mediafleet.kinds.transcode.chunks import Chunk
    from mediafleet.kinds.transcode.index import FrameIndex
    from mediafleet.kinds.transcode.media import MediaInfo

_ISO = frozenset({"mp4", "mov", "ipod"})
_MOVIE_TICKS = "7056000"
"""Ticks a second in which the start of every usual sample rate is whole; MP4's own thousand would move sound."""
_MICRO = 1_000_000


class ChunkJob(msgspec.Struct, frozen=True):
    """What all chunks of one transcode have in common."""

    plan: OutputPlan
    params: TranscodeParams
    info: MediaInfo
    index: FrameIndex
    """Of the one video stream that is encoded. A node that encodes chunks needs no more of it than the time base, one
    that joins them only the first picture besides; the check of the join needs all."""

    @property
    def picture(self) -> StreamPlan:
        """The stream that is encoded in chunks."""
        return next(stream for stream in self.plan.tracks if is_chunked(stream))

    @property
    def sounds(self) -> tuple[StreamPlan, ...]:
        """The streams that are encoded whole, beside the chunks."""
        return tuple(s for s in self.plan.tracks if s.action is Action.ENCODE and not is_chunked(s))

    def options(self, number: int, stream: StreamPlan) -> list[str]:
        """Return FFmpeg's options of an output stream, as for a transcode of one piece."""
        return stream_options(number, stream, self.params, muxer=self.plan.container.muxer)

    @property
    def offset(self) -> Fraction:
        """Seconds from the beginning of the file to its first picture."""
        return self.index.pts[0] * self.index.tick - Fraction(round(self.info.start_s * _MICRO), _MICRO)


def is_chunked(stream: StreamPlan) -> bool:
    """Tell whether a stream is encoded in chunks."""
    return stream.action is Action.ENCODE and stream.source.type == "video"


def check_chunkable(plan: OutputPlan, params: TranscodeParams) -> StreamPlan:
    """Return the one stream that is encoded in chunks.

    Raises:
        NeedsWholeFile: There is none or more than one, or its rate control or filters need to see the whole.
    """
    pictures = [stream for stream in plan.tracks if is_chunked(stream)]
    if len(pictures) != 1:
        raise NeedsWholeFile(f"It has {len(pictures)} pictures to encode, and chunks are made of one.")
    if params.bitrate:
        raise NeedsWholeFile("A bit rate can only be shared out over the whole file; 'crf' is the same in all chunks.")
    filters = filters_of(params)
    if not filters.keeps_frames or filters.deinterlace or filters.denoise:
        raise NeedsWholeFile("A filter looks at neighbouring pictures or changes their number.")
    preset = preset_of(params).video
    if preset is not None and preset.fastest_fps and pictures[0].source.fps > preset.fastest_fps:
        raise NeedsWholeFile("Its frame rate is reduced, so pictures of source and output cannot be counted up.")
    return pictures[0]


def chunk_arguments(job: ChunkJob, chunk: Chunk, *, source: Path, output: Path, edges: Path, cores: int) -> list[str]:
    """Return the arguments that encode one chunk, from time 0 on.

    Args:
        job: The transcode.
        chunk: The range.
        source: Absolute path of the input.
        output: An MP4 file to write: it keeps the source's clock exactly, whatever the final container.
        edges: A text file to write: digests of the decoded first picture, and of the first picture of the next chunk.
        cores: That the encoder may use, beside others on the same machine.
    """
    words, chain = _without_filter(job.options(0, job.picture))
    words = tell_cores(words, VIDEO_ENCODERS[job.picture.encoder], stream=0, cores=cores)
    ticks, per = job.index.time_base
    return [
        *quiet_options(),
        # The source's own times everywhere, so that the range is compared with what the index says, tick by tick.
        "-copyts",
        # Else FFmpeg would cut by itself, to the microsecond, and lose a picture by rounding.
        "-noaccurate_seek",
        *_seek(chunk, job.index),
        *input_options(job.info.format),
        "-i",
        url(source),
        "-filter_complex",
        _graph(job.picture.source.index, chunk, chain),
        *("-map", "[picture]", "-map_metadata", "-1", "-map_chapters", "-1"),
        *words,
        *("-strict", "unofficial", "-f", "mp4", url(output)),
        *("-map", "[edges]", "-c:v", "rawvideo", "-fps_mode", "passthrough", "-enc_time_base", f"{ticks}/{per}"),
        *("-f", "framehash", "-hash", "md5", url(edges)),
    ]


def entry_arguments(job: ChunkJob, chunk: Chunk, *, source: Path) -> list[str]:
    """Return the arguments that decode what comes before a chunk, to learn of what decoders complain at its entry."""
    return [
        *quiet_options(),
        *("-copyts", "-noaccurate_seek"),
        *_seek(chunk, job.index),
        *input_options(job.info.format),
        *("-i", url(source), "-map", f"0:{job.picture.source.index}"),
        *("-vf", f"trim=end_pts={chunk.start + 1}", "-fps_mode", "passthrough", "-f", "null", "-"),
    ]


def _seek(chunk: Chunk, index: FrameIndex) -> list[str]:
    if chunk.seek is None:
        return []
    return ["-seek_timestamp", "1", "-ss", f"{_micro(chunk.seek * index.tick)}us"]


def _graph(stream: int, chunk: Chunk, chain: str) -> str:
    # The picture behind the range is decoded as well: the next chunk, which entered the file elsewhere, must see the same.
    end = "" if chunk.is_last else f":end_pts={chunk.end}"
    beyond = "" if chunk.is_last else f":end_pts={chunk.end + 1}"
    kept = f"eq(pts,{chunk.start})+eq(pts,{chunk.end})".replace(",", "\\,")
    filters = f",{chain}" if chain else ""
    return (
        f"[0:{stream}]split[a][b];"
        f"[a]trim=start_pts={chunk.start}{end},setpts=PTS-({chunk.start}){filters}[picture];"
        f"[b]trim=start_pts={chunk.start}{beyond},select={kept}[edges]"
    )


def _without_filter(words: list[str]) -> tuple[list[str], str]:
    """Return the options without the simple filter chain, and the chain: FFmpeg takes one or a graph, not both."""
    if "-filter:0" not in words:
        return words, ""
    place = words.index("-filter:0")
    return words[:place] + words[place + 2 :], words[place + 1]


def sound_arguments(job: ChunkJob, *, source: Path, output: Path) -> list[str]:
    """Return the arguments that encode all sound of a transcode, whole: sound in pieces drifts.

    The muxer is the final one's, so that priming and start are noted as the join finds them in a transcode of one piece.
    """
    maps = [word for stream in job.sounds for word in ("-map", f"0:{stream.source.index}")]
    words = [word for n, stream in enumerate(job.sounds) for word in job.options(n, stream)]
    is_iso = job.plan.container.muxer in _ISO
    muxer = ["-f", "mp4", "-movie_timescale", _MOVIE_TICKS] if is_iso else ["-f", "matroska"]
    return [
        *quiet_options(),
        *input_options(job.info.format),
        *("-i", url(source)),
        *maps,
        *("-map_metadata", "-1", "-map_chapters", "-1"),
        *words,
        *("-strict", "unofficial"),
        *muxer,
        url(output),
    ]


def join_list(job: ChunkJob, chunks: Sequence[Chunk], names: Sequence[str]) -> str:
    """Return the list that FFmpeg's concat reads: names beside it, each with its exact length.

    Lengths are differences of rounded times, so the error at any border is below a microsecond and never adds up.
    """
    first, tick = chunks[0].start, job.index.tick
    lines = ["ffconcat version 1.0"]
    for chunk, name in zip(chunks, names, strict=True):
        length = _micro((chunk.end - first) * tick) - _micro((chunk.start - first) * tick)
        lines += [f"file {name}", f"duration {length}us"]
    return "\n".join(lines) + "\n"


def join_arguments(job: ChunkJob, *, chunks: Path, sound: Path | None, source: Path, output: Path) -> list[str]:
    """Return the arguments that make the output of encoded chunks, encoded sound, and all else of the source.

    Args:
        job: The transcode.
        chunks: The file with `join_list`.
        sound: What `sound_arguments` made; None where no sound is encoded.
        source: Absolute path of the input.
        output: Absolute path to write.
    """
    encoded = {stream.source.index: n for n, stream in enumerate(job.sounds)}
    words: list[str] = []
    for number, stream in enumerate(job.plan.tracks):
        words += _joined_stream(job, number, stream, encoded)
    return [
        *quiet_options(),
        # Without it each input would be moved to nought by itself, and sound that begins late would come too early.
        "-copyts",
        *("-itsoffset", f"{_micro(job.offset)}us"),
        *joined_options(),
        *("-i", url(chunks)),
        *("-itsoffset", f"{-round(job.info.start_s * _MICRO)}us"),
        *input_options(job.info.format),
        *("-i", url(source)),
        *([] if sound is None else [*input_options(), "-i", url(sound)]),
        *("-map_metadata", "1", "-map_chapters", "1" if job.plan.container.chapters else "-1"),
        *words,
        *ending_options(job.plan, output),
    ]


def _joined_stream(job: ChunkJob, number: int, stream: StreamPlan, encoded: dict[int, int]) -> list[str]:
    index = stream.source.index
    elsewhere = f"2:{encoded[index]}" if index in encoded else f"1:{index}"
    made = stream
    if stream.action is Action.ENCODE:
        made = msgspec.structs.replace(stream, action=Action.COPY, encoder="copy")
    # Chunks and encoded sound know neither language nor title nor role: those are the source's.
    return [
        *("-map", "0:0" if is_chunked(stream) else elsewhere, f"-map_metadata:s:{number}", f"1:s:{index}"),
        *(f"-disposition:{number}", "+".join(stream.source.disposition) or "0"),
        *job.options(number, made),
    ]


def _micro(time: Fraction) -> int:
    return round(time * _MICRO)
