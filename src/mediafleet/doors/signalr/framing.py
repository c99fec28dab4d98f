"""Where messages begin and end in a stream of bytes that comes in any pieces.

Each splitter holds at most one message of the limit and the piece that was given last.
"""

from __future__ import annotations

from typing import Protocol

from mediafleet.doors.signalr.messages import ProtocolFault

SEPARATOR = 0x1E
"""Ends each JSON message and both messages of the handshake."""
_END = bytes([SEPARATOR])
_MOST_PREFIX_BYTES = 5
_MORE = 0x80
_LEAST_COMPACTION = 65_536


class Splitter(Protocol):
    """Cuts a stream of bytes into messages."""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        ...

    def next(self) -> bytes | None:
        """Return the next whole message, None if it has not come yet. Raises ProtocolFault where it is too large."""
        ...

    def rest(self) -> bytes:
        """Return what no message was made of, and forget it."""
        ...


class _Buffer:
    """Bytes that came, and how far they were read; what was read is dropped now and then, not at each message."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._bytes = bytearray()
        self._start = 0

    def __len__(self) -> int:
        return len(self._bytes) - self._start

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def rest(self) -> bytes:
        left = bytes(self._bytes[self._start :])
        self._bytes.clear()
        self._start = 0
        return left

    def find(self, wanted: bytes, start: int) -> int:
        """Return how many bytes stand before it, looking from `start` on; -1 if it is not there."""
        found = self._bytes.find(wanted, self._start + start)
        return found if found < 0 else found - self._start

    def peek(self, count: int) -> bytes:
        return bytes(self._bytes[self._start : self._start + count])

    def take(self, count: int) -> bytes:
        taken = self.peek(count)
        self._start += count
        if self._start == len(self._bytes):
            self._bytes.clear()
            self._start = 0
        elif self._start >= _LEAST_COMPACTION:
            del self._bytes[: self._start]
            self._start = 0
        return taken

    def refuse_size(self) -> ProtocolFault:
        return ProtocolFault(f"The maximum message size of {self.limit}B was exceeded.")


class RecordSplitter:
    """Messages that end with 0x1E, which is not part of them."""

    def __init__(self, limit: int) -> None:
        self._buffer = _Buffer(limit)
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._buffer.feed(data)

    def next(self) -> bytes | None:
        """Return the next whole message without its end, None if it has not come yet. Raises ProtocolFault."""
        # From where the last search ended: a message that comes byte by byte must not be searched again for each.
        length = self._buffer.find(_END, self._searched)
        if max(length, 0 if length >= 0 else len(self._buffer)) > self._buffer.limit:
            raise self._buffer.refuse_size()
        if length < 0:
            self._searched = len(self._buffer)
            return None
        self._searched = 0
        return self._buffer.take(length + 1)[:-1]

    def rest(self) -> bytes:
        """Return what no message was made of, and forget it."""
        self._searched = 0
        return self._buffer.rest()


class LengthSplitter:
    """Messages after their length: 7 bits a byte, the lowest first, the eighth says that more follow."""

    def __init__(self, limit: int) -> None:
        self._buffer = _Buffer(limit)

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._buffer.feed(data)

    def next(self) -> bytes | None:
        """Return the next whole message without its length, None if it has not come yet. Raises ProtocolFault."""
        prefix = self._buffer.peek(_MOST_PREFIX_BYTES)
        size = 0
        for index, byte in enumerate(prefix):
            size |= (byte & ~_MORE) << (7 * index)
            if not byte & _MORE:
                return self._take(index + 1, size)
        if len(prefix) == _MOST_PREFIX_BYTES:
            raise ProtocolFault("The length before a message has no end.")
        return None

    def rest(self) -> bytes:
        """Return what no message was made of, and forget it."""
        return self._buffer.rest()

    def _take(self, prefix: int, size: int) -> bytes | None:
        # Refused by what it announces, before any of it is kept.
        if size > self._buffer.limit:
            raise self._buffer.refuse_size()
        if len(self._buffer) < prefix + size:
            return None
        return self._buffer.take(prefix + size)[prefix:]


def prefix_length(body: bytes) -> bytes:
    """Return a message with its length before it, as `LengthSplitter` reads it."""
    prefix = bytearray()
    left = len(body)
    while left >= _MORE:
        prefix.append(left & ~_MORE & 0xFF | _MORE)
        left >>= 7
    prefix.append(left)
    return bytes(prefix) + body


def end_record(body: bytes) -> bytes:
    """Return a message with its end, as `RecordSplitter` reads it."""
    return body + _END
