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

# A wide range, so that the gain follows a whole film and not each sentence: what is quiet must not become noise.
_LOUDNESS = "loudnorm=I=-18:TP=-2:LRA=20"
# Sound that begins late or has a hole keeps its place in time.
_IN_TIME = f"aresample={RATE_HZ}:async=1:first_pts=0"
_CENTRE = "pan=mono|c0=FC"
"""Films have their speech there, and music beside it."""
_LEVEL = "lavfi.astats.1.RMS_level"
_QUIETEST_DB = -120.0
"""What digital silence counts as; FFmpeg says `-inf`."""
WINDOW_S = 60.0
"""So much is read at a time."""


def choose_track(info: MediaInfo, number: int, *, name: str) -> StreamInfo:
    """Return a sound track by its number among those. Raises UnreadableMedia."""
    tracks = [stream for stream in info.streams if stream.type == "audio"]
    if number < len(tracks):
        return tracks[number]
    if not tracks:
        raise UnreadableMedia(f"{show_name(name)} has no sound, so nobody speaks in it.")
    raise UnreadableMedia(f"{show_name(name)} has {len(tracks)} sound track(s), counted from 0; 'track' is {number}.")


def extract_arguments(track: StreamInfo, *, source: Path, outputs: Sequence[Path]) -> list[str]:
    """Return FFmpeg's arguments, without the program, that write 16-bit samples.

    Args:
        track: The sound track.
        source: Absolute path of the film.
        outputs: Absolute paths of raw files to write: one for all of the sound, or one for each of its channels.
    """
    mixed = _CENTRE if track.layout.startswith(("5.", "7.")) else "aformat=channel_layouts=mono"
    arguments = [*quiet_options(), *input_options(), "-i", url(source)]
    for number, output in enumerate(outputs):
        parts = [mixed, _IN_TIME] if len(outputs) == 1 else [f"pan=mono|c0=c{number}", _IN_TIME, *_measure(output)]
        chain = ",".join([*parts, _LOUDNESS, f"aresample={RATE_HZ}"])
        arguments += ["-map", f"0:{track.index}", "-af", chain, "-f", "s16le", url(output)]
    return arguments


def _measure(output: Path) -> list[str]:
    """Return filters that write down how loud what passes through them is, as `read_levels` reads it."""
    # By its bare name: FFmpeg runs in the folder of its outputs, and no path has to be written so that a filter understands it.
    told = f"ametadata=mode=print:key={_LEVEL}:file={_levels_of(output).name}"
    return [f"asetnsamples={RATE_HZ // LEVELS_PER_S}:p=0", "astats=metadata=1:reset=1:measure_overall=none", told]


def read_levels(output: Path) -> list[float]:
    """Return how loud the channel was whose sound is in a file, `LEVELS_PER_S` times a second, dB below full scale."""
    with _levels_of(output).open(encoding="ascii", errors="replace") as file:
        texts = [line.partition("=")[2].strip() for line in file if line.startswith(_LEVEL)]
    return [max(_QUIETEST_DB, float(text)) for text in texts]


def _levels_of(output: Path) -> Path:
    return output.with_suffix(".levels")


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
