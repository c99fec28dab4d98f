"""What a node and an engine's process say to each other: frames of four bytes of length, big-endian, and MessagePack.

One request at a time; each is answered by any number of `Part`s and then one `Done` or `Failed`. Decision 0031.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias, TypeVar

import msgspec

from mediafleet.domain.errors import (
    CapabilityMissing,
    ErrorInfo,
    InvalidRequest,
    MediafleetError,
    TaskFailed,
    TransientFailure,
    Unavailable,
)
from mediafleet.engines.offer import Offer
from mediafleet.engines.recognition import Word
from mediafleet.engines.synthesis import Voice
from mediafleet.engines.translation import Brief

T = TypeVar("T")

LENGTH_BYTES = 4
MOST_BYTES = 512 << 20
"""Of a frame: two hours of audio are 460 MB."""


class Load(msgspec.Struct, frozen=True, tag="load"):
    """The first request: which engine this process is for. Answered by the engine's facts, or an empty map where it has none."""

    offer: Offer
    memory_bytes: int = 0
    """How much the process may reserve to write to; 0 for any amount."""


class Coding(StrEnum):
    """How audio is written in a request."""

    FLOAT = "f32"
    """As `pack_audio` writes it."""
    PCM = "s16"
    """16-bit signed little-endian samples."""


class Hear(msgspec.Struct, frozen=True, tag="hear"):
    """Answered by a `Heard`. What one number is fed follows each other; `Drop` ends it."""

    stream: int
    audio: bytes
    coding: Coding = Coding.FLOAT


class Heard(msgspec.Struct, frozen=True):
    """How probable speech is in the frames that some audio completes."""

    probabilities: list[float]
    """0..1."""
    frame_samples: int
    """At 16 kHz."""


class Recognize(msgspec.Struct, frozen=True, tag="recognize"):
    """Answered by a `Recognition`."""

    audio: bytes
    language: str | None = None
    hint: str = ""
    coding: Coding = Coding.FLOAT


class TellApart(msgspec.Struct, frozen=True, tag="tell-apart"):
    """Answered by a list of `Turn`s."""

    audio: bytes
    speakers: int = 0
    coding: Coding = Coding.FLOAT


class Follow(msgspec.Struct, frozen=True, tag="follow"):
    """Begin an utterance under a number that the asker chose; answered by None."""

    stream: int
    language: str | None = None


class Feed(msgspec.Struct, frozen=True, tag="feed"):
    """Answered by a `Recognition` of the utterance so far."""

    stream: int
    audio: bytes


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """Answered by the `Recognition` of the utterance; its number is free afterwards."""

    stream: int


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """Forget a stream, known or not; answered by None."""

    stream: int


class Repair(msgspec.Struct, frozen=True, tag="repair"):
    """Answered by a list of texts."""

    words: tuple[Word, ...]
    language: str


class Translate(msgspec.Struct, frozen=True, tag="translate"):
    """Answered by a list of texts."""

    sentences: tuple[str, ...]
    brief: Brief


class Synthesize(msgspec.Struct, frozen=True, tag="synthesize"):
    """Answered by a part for each `Sound`, then None."""

    text: str
    voice: Voice


Request: TypeAlias = (
    Load | Hear | TellApart | Recognize | Follow | Feed | Finish | Drop | Repair | Translate | Synthesize
)


class Part(msgspec.Struct, frozen=True, tag="part"):
    """One of several values; more follows."""

    value: msgspec.Raw


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The request is answered."""

    value: msgspec.Raw


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request could not be answered; the process goes on."""

    error: ErrorInfo


Answer: TypeAlias = Part | Done | Failed

_requests = msgspec.msgpack.Decoder(Request)
_answers = msgspec.msgpack.Decoder(Answer)


def pack_frame(message: Request | Answer) -> bytes:
    """Return a message with its length in front.

    Raises:
        InvalidRequest: It is larger than a frame may be.
    """
    body = msgspec.msgpack.encode(message)
    if len(body) > MOST_BYTES:
        raise InvalidRequest(f"This is {len(body):,} bytes for an engine at once, more than {MOST_BYTES:,}; cut it.")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def read_length(head: bytes) -> int:
    """Return how many bytes of message follow.

    Raises:
        InvalidRequest: More than a frame may have: what was read is no frame.
    """
    length = int.from_bytes(head, "big")
    if length > MOST_BYTES:
        raise InvalidRequest(f"A frame of {length:,} bytes was announced, more than {MOST_BYTES:,}.")
    return length


def read_request(body: bytes) -> Request:
    """Return the request in a frame.

    Raises:
        InvalidRequest: It is none.
    """
    return _decode(_requests, body, "request to an engine")


def read_answer(body: bytes) -> Answer:
    """Return the answer in a frame.

    Raises:
        InvalidRequest: It is none.
    """
    return _decode(_answers, body, "answer of an engine")


def _decode(decoder: msgspec.msgpack.Decoder[T], body: bytes, what: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"This is no {what}: {error}.") from error


# What protocols of engines name. An error that is none of these is a failure of the engine.
_ERRORS = {error.code: error for error in (InvalidRequest, TransientFailure, TaskFailed, Unavailable)}


def as_error(info: ErrorInfo) -> MediafleetError:
    """Return what an engine raised in its process, to raise it here."""
    if info.code == CapabilityMissing.code:
        return CapabilityMissing(info.detail, info.message)
    return _ERRORS.get(info.code, TaskFailed)(info.message, detail=info.detail)
