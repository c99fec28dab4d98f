"""What the tasks of a transcode in chunks are told, and what they answer: typed payloads and results."""

from __future__ import annotations

from typing import Any

import msgspec

from mediafleet.kinds.transcode.chunk_checks import ChunkReport
from mediafleet.kinds.transcode.chunks import Chunk
from mediafleet.kinds.transcode.media import MediaInfo
from mediafleet.kinds.transcode.split import Survey


class FileOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """For a task that may encode the whole file."""

    survey: bool = False
    """Whether to stop after looking into the source if it can be encoded in chunks."""
    why: str = ""
    """Why chunks were given up, for the user."""


class ChunkOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """For a task of a transcode in chunks: one chunk, the sound, or the join."""

    info: MediaInfo
    time_base: tuple[int, int]
    first: int
    """When the source's first picture is shown, in ticks."""
    head: int = 0
    tail: int = 0
    """As in the survey."""
    changed: str = "0"
    """As in the survey."""
    chunks: tuple[Chunk, ...] = ()
    """The one to encode, or all to join."""
    has_sound: bool = False
    """Whether encoded sound comes with the chunks."""
    encode_s: float = 0.0
    """What the chunks took together, of processes that may have run at the same time."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a task's result its plan goes by."""

    survey: Survey | None = None
    report: ChunkReport | None = None
    seconds: float = 0.0
    """What encoding took."""
    whole: str = ""
    """Why the file must be encoded whole."""


def read_answer(result: dict[str, Any]) -> Answer:
    """Return what a result says to the plan; what is for users is left out."""
    return msgspec.convert(result, Answer)


def write(order: FileOrder | ChunkOrder | Answer) -> dict[str, Any]:
    """Return an order or answer as a payload or result carries it."""
    found: dict[str, Any] = msgspec.to_builtins(order)
    return found
