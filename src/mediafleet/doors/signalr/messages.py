"""The nine messages of the hub protocol as records, whatever encoding carries them.

What each means: dotnet/aspnetcore, src/SignalR/docs/specs/HubProtocol.md. Headers of messages are in none of them:
clients put tokens there, and no receiver has to read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

NOTHING = msgspec.UNSET
"""A completion without a result, as of a method that returns nothing; null would be a result."""


class MessageType(IntEnum):
    """The number that begins every message."""

    INVOCATION = 1
    STREAM_ITEM = 2
    COMPLETION = 3
    STREAM_INVOCATION = 4
    CANCEL_INVOCATION = 5
    PING = 6
    CLOSE = 7
    ACK = 8
    SEQUENCE = 9


class Invocation(msgspec.Struct, frozen=True):
    """Call a method; without an id nobody waits for its end, and none may be told."""

    target: str
    arguments: Sequence[Any] = ()
    invocation_id: str | None = None
    stream_ids: Sequence[str] = ()


class StreamItem(msgspec.Struct, frozen=True):
    """One item of a stream."""

    invocation_id: str
    item: Any = None


class Completion(msgspec.Struct, frozen=True):
    """A call, or a stream, has ended: with a result, with an error, or with nothing."""

    invocation_id: str
    result: Any = NOTHING
    error: str | None = None


class StreamInvocation(msgspec.Struct, frozen=True):
    """Call a method that answers with a stream."""

    invocation_id: str
    target: str
    arguments: Sequence[Any] = ()
    stream_ids: Sequence[str] = ()


class CancelInvocation(msgspec.Struct, frozen=True):
    """The caller wants no more of a call or stream."""

    invocation_id: str


class Ping(msgspec.Struct, frozen=True):
    """The sender is there."""


class Close(msgspec.Struct, frozen=True):
    """The sender ends the connection."""

    error: str | None = None
    allow_reconnect: bool = False


class Ack(msgspec.Struct, frozen=True):
    """All messages that count have come up to this one, from 1."""

    sequence_id: int


class Resume(msgspec.Struct, frozen=True):
    """`Sequence` in the specification. After a reconnect: the number of the message that comes next, which is the first that was not acknowledged."""

    sequence_id: int


HubMessage = Invocation | StreamItem | Completion | StreamInvocation | CancelInvocation | Ping | Close | Ack | Resume

COUNTED = (Invocation, StreamItem, Completion, StreamInvocation, CancelInvocation)
"""What is numbered and repeated after a stateful reconnect."""


class ProtocolFault(Exception):
    """The client broke the protocol: the connection ends with this sentence, which quotes nothing that it sent."""
