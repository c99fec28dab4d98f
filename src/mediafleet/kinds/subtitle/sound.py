"""The sound of a film as recognizers take it: one track, 16 kHz, mono, even in loudness, in the time of the film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.engines.pcm import BYTES_PER_S, RATE_HZ, byte_at
from mediafleet.kinds.subtitle.turns import LEVELS_PER_S
from mediafleet.kinds.transcode.arguments import quiet_options
from mediafleet.kinds.transcode.demuxers import input_options, url
from mediafleet.kinds.transcode.failures import show_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mediafleet.engines.voice_activity import Span
    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo

_LOUDNESS_LUFS = -18.0
"""EBU R128, of the whole track: one gain for all of it, since one that follows each sentence raises what is quiet to noise."""
_MOST_GAIN_DB = 40.0
_SILENCE_LUFS = -69.0
"""FFmpeg says -70 of what has no sound in it; that is left as it is."""
_PEAK = 0.8
# Sound that begins late or has a hole keeps its place in time.
_IN_TIME = f"aresample={RATE_HZ}:async=1:first_pts=0"
_CENTRE = "pan=mono|c0=FC"
"""Films have their speech there, and music beside it."""
_LEVEL, _LOUDNESS = "lavfi.astats.1.RMS_level", "lavfi.r128.I"
_QUIETEST_DB = -120.0
"""What digital silence counts as; FFmpeg says `-inf`."""
WINDOW_S = 60.0
"""So much is read at a time."""


def choose_track(info: MediaInfo, number: int, *, name: str) -> StreamInfo:
    """Return a sound track by its number among those. Raises UnreadableMedia."""
    tracks = [stream for stream in info.streams if stream.type == "audio"]
    if number < len(tracks):
        return tracks[number]
    raise UnreadableMedia(f"{show_name(name)} has {len(tracks)} sound track(s), counted from 0; 'track' is {number}.")


def extract_arguments(track: StreamInfo, *, source: Path, outputs: Sequence[Path]) -> list[str]:
    """Return FFmpeg's arguments, without the program, that write samples as they are, and how loud they are.

    Args:
        track: The sound track.
        source: Absolute path of the film.
        outputs: Absolute paths of files to write, all in one folder: one for all of the sound, or one for each of its channels.
            Raw, 32-bit floats, little-endian.
    """
    mixed = _CENTRE if track.layout.startswith(("5.", "7.")) else "aformat=channel_layouts=mono"
    arguments = [*quiet_options(), *input_options(), "-i", url(source)]
    for number, output in enumerate(outputs):
        parts = (
            [mixed, _IN_TIME] if len(outputs) == 1 else [f"pan=mono|c0=c{number}", _IN_TIME, *_measure_levels(output)]
        )
        chain = ",".join([*parts, "ebur128=metadata=1", _note(_LOUDNESS, _loudness_of(output))])
        arguments += ["-map", f"0:{track.index}", "-af", chain, "-f", "f32le", url(output)]
    return arguments


def even_arguments(rough: Path, *, output: Path) -> list[str]:
    """Return FFmpeg's arguments, without the program, that write what was extracted as 16-bit samples, even in loudness.

    Args:
        rough: As `extract_arguments` has it written.
        output: Absolute path of the raw file to write.
    """
    told = [line for line in _loudness_of(rough).read_text(encoding="ascii").splitlines() if line.startswith(_LOUDNESS)]
    loudness = float(told[-1].partition("=")[2]) if told else _SILENCE_LUFS
    gain_db = max(-_MOST_GAIN_DB, min(_MOST_GAIN_DB, _LOUDNESS_LUFS - loudness)) if loudness > _SILENCE_LUFS else 0.0
    chain = f"volume={gain_db:.2f}dB,alimiter=limit={_PEAK}:level=false:latency=true"
    raw = ["-f", "f32le", "-ar", str(RATE_HZ), "-ac", "1"]
    return [
        *quiet_options(),
        "-protocol_whitelist",
        "file",
        *raw,
        "-i",
        url(rough),
        "-af",
        chain,
        "-f",
        "s16le",
        url(output),
    ]


def _measure_levels(output: Path) -> list[str]:
    """Return filters that write down how loud what passes through them is, as `read_levels` reads it."""
    frames = f"asetnsamples={RATE_HZ // LEVELS_PER_S}:p=0"
    return [frames, "astats=metadata=1:reset=1:measure_overall=none", _note(_LEVEL, _levels_of(output))]


def _note(key: str, file: Path) -> str:
    # By its bare name: FFmpeg runs in the folder of its outputs, and no path has to be written so that a filter understands it.
    return f"ametadata=mode=print:key={key}:file={file.name}"


def read_levels(output: Path) -> list[float]:
    """Return how loud the channel is that was extracted to a file, `LEVELS_PER_S` times a second, dB below full scale."""
    with _levels_of(output).open(encoding="ascii", errors="replace") as file:
        texts = [line.partition("=")[2].strip() for line in file if line.startswith(_LEVEL)]
    return [max(_QUIETEST_DB, float(text)) for text in texts]


def _levels_of(output: Path) -> Path:
    return output.with_suffix(".levels")


def _loudness_of(output: Path) -> Path:
    return output.with_suffix(".loudness")


def read_windows(path: Path) -> Iterator[bytes]:
    """Yield a raw file in windows, so that a film of any length takes little memory."""
    with path.open("rb") as file:
        while window := file.read(int(WINDOW_S * BYTES_PER_S)):
            # The last of a file that was cut off may be half a sample.
            yield window[: len(window) // 2 * 2]


def read_range(path: Path, span: Span) -> bytes:
    """Return the samples of a span."""
    first = byte_at(span.start_s)
    with path.open("rb") as file:
        file.seek(first)
        return file.read(byte_at(span.end_s) - first)
