"""The messages as JSON objects; names of fields are those of the specification.

HubProtocol.md, "JSON Encoding". Kinder than it where ASP.NET Core is: an empty or null id is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mediafleet.doors.signalr import messages as m
from mediafleet.doors.signalr.messages import HubMessage, MessageType


class _Shape(msgspec.Struct, rename="camel"):
    type: int


class _Call(_Shape):
    target: str
    arguments: list[Any]
    invocation_id: str | None = None
    stream_ids: list[str] | None = None

    def read(self) -> HubMessage:
        return m.Invocation(self.target, self.arguments, self.invocation_id or None, self.stream_ids or ())


class _StreamCall(_Shape):
    target: str
    arguments: list[Any]
    invocation_id: str
    stream_ids: list[str] | None = None

    def read(self) -> HubMessage:
        return m.StreamInvocation(self.invocation_id, self.target, self.arguments, self.stream_ids or ())


class _Item(_Shape):
    invocation_id: str
    item: Any = None

    def read(self) -> HubMessage:
        return m.StreamItem(self.invocation_id, self.item)


class _Completion(_Shape):
    invocation_id: str
    result: Any = m.NOTHING
    error: str | None = None

    def read(self) -> HubMessage:
        return m.Completion(self.invocation_id, self.result, self.error)


class _Cancel(_Shape):
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
    MessageType.INVOCATION: msgspec.json.Decoder(_Call).decode,
    MessageType.STREAM_ITEM: msgspec.json.Decoder(_Item).decode,
    MessageType.COMPLETION: msgspec.json.Decoder(_Completion).decode,
    MessageType.STREAM_INVOCATION: msgspec.json.Decoder(_StreamCall).decode,
    MessageType.CANCEL_INVOCATION: msgspec.json.Decoder(_Cancel).decode,
    MessageType.PING: msgspec.json.Decoder(_Ping).decode,
    MessageType.CLOSE: msgspec.json.Decoder(_Close).decode,
    MessageType.ACK: msgspec.json.Decoder(_Ack).decode,
    MessageType.SEQUENCE: msgspec.json.Decoder(_Sequence).decode,
}
_BACKSLASH, _NO_CHARACTER = rb"\\", rb"\ufffd"
_ESCAPE = re.compile(
    rb"\\\\|(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""A backslash, a whole pair, or half of one."""
_TYPES = msgspec.json.Decoder(_Shape)


def read_type(record: bytes) -> int:
    """Return the type of a message. Raises msgspec.DecodeError."""
    return _TYPES.decode(record).type


def mend_escapes(record: bytes) -> bytes:
    """Return a record in which each half of a pair of surrogates that is alone stands for a character that is none.

    JavaScript writes such a half for a text that was cut in the middle of a character (ECMA-262, section 25.5.4, JSON.stringify);
    by RFC 8259, section 8.2, what readers make of it is not defined.
    """
    return _ESCAPE.sub(lambda found: found[0] if found[1] or found[0] == _BACKSLASH else _NO_CHARACTER, record)


def write(message: HubMessage) -> bytes:
    """Return a message as JSON, without its end."""
    return msgspec.json.encode(_FIELDS[type(message)](message))


def _call(kind: MessageType, invocation_id: str | None, message: m.Invocation | m.StreamInvocation) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": kind}
    if invocation_id is not None:
        fields["invocationId"] = invocation_id
    fields |= {"target": message.target, "arguments": list(message.arguments)}
    if message.stream_ids:
        fields["streamIds"] = list(message.stream_ids)
    return fields


def _completion(message: m.Completion) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": MessageType.COMPLETION, "invocationId": message.invocation_id}
    # Never both: a client may take that for a fault of ours.
    if message.error is not None:
        fields["error"] = message.error
    elif message.result is not m.NOTHING:
        fields["result"] = message.result
    return fields


def _close(message: m.Close) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": MessageType.CLOSE}
    if message.error is not None:
        fields["error"] = message.error
    if message.allow_reconnect:
        fields["allowReconnect"] = True
    return fields


_FIELDS: Mapping[type[HubMessage], Callable[[Any], dict[str, Any]]] = {
    m.Invocation: lambda call: _call(MessageType.INVOCATION, call.invocation_id, call),
    m.StreamInvocation: lambda call: _call(MessageType.STREAM_INVOCATION, call.invocation_id, call),
    m.StreamItem: lambda item: {"type": MessageType.STREAM_ITEM, "invocationId": item.invocation_id, "item": item.item},
    m.Completion: _completion,
    m.CancelInvocation: lambda cancel: {
        "type": MessageType.CANCEL_INVOCATION,
        "invocationId": cancel.invocation_id,
    },
    m.Ping: lambda _: {"type": MessageType.PING},
    m.Close: _close,
    m.Ack: lambda ack: {"type": MessageType.ACK, "sequenceId": ack.sequence_id},
    m.Resume: lambda resume: {"type": MessageType.SEQUENCE, "sequenceId": resume.sequence_id},
}
