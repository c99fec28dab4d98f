"""What the steps of a subtitle job tell each other: results and payloads, as they travel. Records only."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from mediafleet.engines.diarization import Turn
from mediafleet.engines.recognition import Recognition
from mediafleet.engines.voice_activity import Span

T = TypeVar("T")


class Film(msgspec.Struct, frozen=True):
    """What subtitles have to know of the film they are for."""

    name: str
    """File name, not a path."""
    fps: tuple[int, int] = (24, 1)
    """Pictures a second, as numerator and denominator; those of the slowest usual films where it has no picture."""
    height: int = 1080
    """Of the picture as it is shown."""
    duration_s: float = 0.0


class Heard(msgspec.Struct, frozen=True):
    """What `listen` found; its outputs are the pieces, in order."""

    film: Film
    language: str
    """ISO 639-1, as it was given or found out."""
    pieces: tuple[float, ...]
    """Seconds of speech in each."""
    speech_s: float
    is_guessed: bool = False
    """Nobody named the language, and no engine there could find it out."""
    there: tuple[str, ...] = ()
    """The languages of tracks for the sake of which nothing is to be made."""


class PieceFile(msgspec.Struct, frozen=True):
    """One piece of sound for a recognizer, in a file of its own (MessagePack)."""

    spans: tuple[Span, ...]
    """Where somebody speaks, in the time of the film."""
    sounds: tuple[bytes, ...]
    """Of each span, and nothing of the pauses: 16-bit signed little-endian samples, 16 kHz, mono."""
    channel: int = 0
    """Which one it is of, where each is listened to for itself."""
    turns: tuple[Turn, ...] = ()
    """Who speaks when, in the time of the film, where that is known."""


class WordsFile(msgspec.Struct, frozen=True):
    """What was recognized in one piece (JSON)."""

    recognition: Recognition
    """In the time of the film."""
    spans: tuple[Span, ...]
    engine: str
    """Adapter and model."""
    punctuates: bool = False
    channel: int = 0
    doubtful_below: float = 0.0
    """Mean confidence of words below which they were said in another language."""


class TextReport(msgspec.Struct, frozen=True):
    """What `text` and `read` say of the transcript that they publish."""

    language: str
    cues: int
    words: int = 0
    engines: tuple[str, ...] = ()
    is_drafty: bool = False
    dropped: tuple[str, ...] = ()
    """What recognizers invented, as `at 12.3 s, "…" (the recognizer repeats itself)`; the first few."""
    broken: int = 0
    """Rules for cues that could not be kept."""


class FilesOrder(msgspec.Struct, frozen=True):
    """What `files` is told; its inputs are the transcripts, in this order, and then the film where it is needed."""

    film: Film
    languages: tuple[str, ...]
    """Of the transcripts; the first is what is spoken."""
    writes_first: bool = True
    """Whether that one is written as well; not where it is what was handed in."""


def write(record: msgspec.Struct) -> dict[str, Any]:
    """Return a record as a result or a payload."""
    return msgspec.to_builtins(record)


def read(values: dict[str, Any], kind: type[T]) -> T:
    """Return the record in a result or a payload."""
    return msgspec.convert(values, kind)
