"""JSON and MessagePack: bytes in any pieces become messages, messages become bytes.

Types of messages that nobody knows are passed over, as later versions may bring them. So are fields that nobody knows,
and headers are never decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from mediafleet.doors.signalr import json_shapes, msgpack_shapes
from mediafleet.doors.signalr.framing import LengthSplitter, RecordSplitter, Splitter, end_record, prefix_length
from mediafleet.doors.signalr.handshake import JSON, MESSAGEPACK
from mediafleet.doors.signalr.messages import HubMessage, ProtocolFault

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class Shape(Protocol):
    """A message as it stands on the wire."""

    def read(self) -> HubMessage:
        """Return it as a record."""
        ...


class Unwritable(Exception):
    """A value that the encoding cannot carry."""


class Codec:
    """One direction-pair of a connection: keeps what has come of the next message, and nothing of what is sent."""

    def __init__(
        self,
        splitter: Splitter,
        *,
        is_binary: bool,
        read_type: Callable[[bytes], int],
        decoders: Mapping[int, Callable[[bytes], Shape]],
        write: Callable[[HubMessage], bytes],
        mend: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.is_binary = is_binary
        """Whether it needs binary frames; text must go in text frames."""
        self._splitter = splitter
        self._read_type = read_type
        self._decoders = decoders
        self._write = write
        self._mend = mend

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._splitter.feed(data)

    def forget(self) -> None:
        """Drop what has come and was not read: the transport that brought it is gone."""
        self._splitter.rest()

    def next(self) -> HubMessage | None:
        """Return the next message, None if it has not come yet.

        Raises:
            ProtocolFault: It is too large, is not of the encoding, or lacks something.
        """
        while (record := self._splitter.next()) is not None:
            try:
                message = self._read(record)
            except _UNREADABLE as error:
                # The decoder's own sentence may quote what was sent, and that may be a token.
                raise ProtocolFault(f"A message could not be read ({type(error).__name__}).") from None
            if message is not None:
                return message
        return None

    def _read(self, record: bytes) -> HubMessage | None:
        """Return a message, None of a type that nobody knows; what can be mended is read once more."""
        try:
            return self._decode(record)
        except _UNREADABLE:
            if (mended := self._mend(record)) == record:
                raise
        return self._decode(mended)

    def _decode(self, record: bytes) -> HubMessage | None:
        decode = self._decoders.get(self._read_type(record))
        return decode(record).read() if decode else None

    def encode(self, message: HubMessage) -> bytes:
        """Return a message as it is sent. Raises Unwritable for a value that has no form in this encoding."""
        try:
            return self._write(message)
        except _UNWRITABLE as error:
            raise Unwritable(f"A value cannot be written: {error}") from error


def open_codec(protocol: str, *, limit: int) -> Codec:
    """Return the codec of a protocol that the handshake agreed on; `limit` is that of a message, in bytes."""
    return {JSON: _open_json, MESSAGEPACK: _open_msgpack}[protocol](limit)


def _open_json(limit: int) -> Codec:
    return Codec(
        RecordSplitter(limit),
        is_binary=False,
        read_type=json_shapes.read_type,
        decoders=json_shapes.DECODERS,
        write=lambda message: end_record(json_shapes.write(message)),
        mend=json_shapes.mend_escapes,
    )


def _open_msgpack(limit: int) -> Codec:
    return Codec(
        LengthSplitter(limit),
        is_binary=True,
        read_type=msgpack_shapes.read_type,
        decoders=msgpack_shapes.DECODERS,
        write=lambda message: prefix_length(msgpack_shapes.write(message)),
    )
