"""The messages as MessagePack arrays; places in them are those of the specification.

HubProtocol.md, "MessagePack (MsgPack) encoding". Headers are skipped as they are, never decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mediafleet.doors.signalr import messages as m
from mediafleet.doors.signalr.messages import HubMessage, MessageType, ProtocolFault

_ERROR, _VOID, _RESULT = 1, 2, 3
"""What a completion carries."""


class _Shape(msgspec.Struct, array_like=True):
    type: int


class _Call(_Shape):
    headers: msgspec.Raw
    invocation_id: str | None
    target: str
    arguments: list[Any]
    stream_ids: list[str] | None = None

    def read(self) -> HubMessage:
        return m.Invocation(self.target, self.arguments, self.invocation_id or None, self.stream_ids or ())


class _StreamCall(_Shape):
    headers: msgspec.Raw
    invocation_id: str
    target: str
    arguments: list[Any]
    stream_ids: list[str] | None = None

    def read(self) -> HubMessage:
        return m.StreamInvocation(self.invocation_id, self.target, self.arguments, self.stream_ids or ())


class _Item(_Shape):
    headers: msgspec.Raw
    invocation_id: str
    item: Any

    def read(self) -> HubMessage:
        return m.StreamItem(self.invocation_id, self.item)


class _Completion(_Shape):
    headers: msgspec.Raw
    invocation_id: str
    kind: int
    value: Any = None

    def read(self) -> HubMessage:
        if self.kind == _ERROR:
            return m.Completion(self.invocation_id, error=str(self.value))
        if self.kind in {_VOID, _RESULT}:
            return m.Completion(self.invocation_id, self.value if self.kind == _RESULT else m.NOTHING)
        raise ProtocolFault("A completion has no known kind of result.")


class _Cancel(_Shape):
    headers: msgspec.Raw
    invocation_id: str

    def read(self) -> HubMessage:
        return m.CancelInvocation(self.invocation_id)


class _Ping(_Shape):
    def read(self) -> HubMessage:
        return m.Ping()


class _Close(_Shape):
    error: str | None = None
    allow_reconnect: bool = False

    def read(self) -> HubMessage:
        return m.Close(self.error, self.allow_reconnect)


class _Ack(_Shape):
    sequence_id: int

    def read(self) -> HubMessage:
        return m.Ack(self.sequence_id)


class _Sequence(_Shape):
    sequence_id: int

    def read(self) -> HubMessage:
        return m.Resume(self.sequence_id)


DECODERS: Mapping[int, Callable[[bytes], Any]] = {
    MessageType.INVOCATION: msgspec.msgpack.Decoder(_Call).decode,
    MessageType.STREAM_ITEM: msgspec.msgpack.Decoder(_Item).decode,
    MessageType.COMPLETION: msgspec.msgpack.Decoder(_Completion).decode,
    MessageType.STREAM_INVOCATION: msgspec.msgpack.Decoder(_StreamCall).decode,
    MessageType.CANCEL_INVOCATION: msgspec.msgpack.Decoder(_Cancel).decode,
    MessageType.PING: msgspec.msgpack.Decoder(_Ping).decode,
    MessageType.CLOSE: msgspec.msgpack.Decoder(_Close).decode,
    MessageType.ACK: msgspec.msgpack.Decoder(_Ack).decode,
    MessageType.SEQUENCE: msgspec.msgpack.Decoder(_Sequence).decode,
}
_TYPES = msgspec.msgpack.Decoder(_Shape)


def read_type(body: bytes) -> int:
    """Return the type of a message. Raises msgspec.DecodeError."""
    return _TYPES.decode(body).type


def write(message: HubMessage) -> bytes:
    """Return a message as MessagePack, without its length."""
    return msgspec.msgpack.encode(_PLACES[type(message)](message))


def _call(kind: MessageType, call: m.Invocation | m.StreamInvocation) -> list[Any]:
    return [kind, {}, call.invocation_id, call.target, list(call.arguments), list(call.stream_ids)]


def _outcome(message: m.Completion) -> list[Any]:
    if message.error is not None:
        return [_ERROR, message.error]
    if message.result is m.NOTHING:
        return [_VOID]
    return [_RESULT, message.result]


_PLACES: Mapping[type[HubMessage], Callable[[Any], list[Any]]] = {
    m.Invocation: lambda call: _call(MessageType.INVOCATION, call),
    m.StreamInvocation: lambda call: _call(MessageType.STREAM_INVOCATION, call),
    m.StreamItem: lambda item: [MessageType.STREAM_ITEM, {}, item.invocation_id, item.item],
    m.Completion: lambda end: [MessageType.COMPLETION, {}, end.invocation_id, *_outcome(end)],
    m.CancelInvocation: lambda cancel: [MessageType.CANCEL_INVOCATION, {}, cancel.invocation_id],
    m.Ping: lambda _: [MessageType.PING],
    m.Close: lambda close: [MessageType.CLOSE, close.error, close.allow_reconnect],
    m.Ack: lambda ack: [MessageType.ACK, ack.sequence_id],
    m.Resume: lambda resume: [MessageType.SEQUENCE, resume.sequence_id],
}
