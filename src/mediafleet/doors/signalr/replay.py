"""The two counts of a stateful reconnect: what was sent and not acknowledged, and what has been received."""

from __future__ import annotations

from collections import deque

from mediafleet.doors.signalr.messages import ProtocolFault

_MOST_SENT = 10_000
"""Messages that are kept at most, however small they are."""


class SentLog:
    """Counted messages that the client may not have; bounded."""

    def __init__(self, limit: int) -> None:
        """Begin with nothing sent; `limit` is in bytes."""
        self._limit = limit
        self._kept: deque[bytes] = deque()
        self._bytes = 0
        self._sent = 0
        self._acknowledged = 0

    def add(self, data: bytes) -> None:
        """Keep a message that is sent now; beyond the limit the oldest are given up."""
        self._sent += 1
        self._kept.append(data)
        self._bytes += len(data)
        while self._bytes > self._limit or len(self._kept) > _MOST_SENT:
            self._drop()

    def acknowledge(self, sequence_id: int) -> None:
        """Forget messages up to this one; a number beyond what was sent acknowledges all."""
        self._acknowledged = max(self._acknowledged, min(sequence_id, self._sent))
        while self._kept and self.first <= self._acknowledged:
            self._drop()

    @property
    def first(self) -> int:
        """Number of the first message that is kept, or of the one that will be sent next."""
        return self._sent - len(self._kept) + 1

    @property
    def is_whole(self) -> bool:
        """Whether all that was not acknowledged is still kept, so that nothing is lost by a reconnect."""
        return self.first == self._acknowledged + 1

    def replay(self) -> list[bytes]:
        """Return what was not acknowledged, in the order in which it was sent."""
        return list(self._kept)

    def _drop(self) -> None:
        self._bytes -= len(self._kept.popleft())


class ReceivedCount:
    """Which counted messages have come; repeated ones are told from new ones by their number."""

    def __init__(self) -> None:
        self.latest = 0
        """Number of the newest message that was handled."""
        self._next = 1

    def is_new(self) -> bool:
        """Count a message; False if it was handled before the reconnect."""
        number = self._next
        self._next += 1
        if number <= self.latest:
            return False
        self.latest = number
        return True

    def align(self, sequence_id: int) -> None:
        """Take the number that the client says it goes on with. Raises ProtocolFault if one before it never came."""
        if not 0 < sequence_id <= self._next:
            raise ProtocolFault("Sequence ID greater than amount of messages we've received.")
        self._next = sequence_id
