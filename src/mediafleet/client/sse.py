"""Server-sent events from bytes to messages: no I/O.

Follows the stream grammar of the HTML standard, section 9.2.6 "Interpreting an event stream"
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation). Own code
because the one parser for aiohttp on the package index had no release since 2023, and the kept ones
belong to other HTTP clients.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import SchedulerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MESSAGE_CHARS = 8 * 1024 * 1024
"""A message longer than this is no event of ours: a job's view is a few kilobytes."""

_LINE_END = re.compile(r"\r\n|\n|\r")


class SseMessage(msgspec.Struct, frozen=True):
    """One dispatched message."""

    event: str
    """`message` where the stream names none."""
    data: str
    """The data lines, joined by newlines."""
    id: str
    """The last id seen so far in the stream; what to send as `Last-Event-ID`."""


class SseParser:
    """Parses one stream; feed it the bytes as they come, cut anywhere."""

    def __init__(self) -> None:
        # One mark at the very start is skipped and bad bytes are replaced: both as the standard has it, and so that no
        # byte can end a stream that goes on well.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._pending = ""
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self.last_id = ""
        self.retry_ms: int | None = None
        """How long the server asks clients to wait before they reconnect; None if it did not."""

    def feed(self, chunk: bytes) -> Iterator[SseMessage]:
        """Take more bytes and yield the messages they complete.

        Raises:
            SchedulerUnavailable: A message grows beyond `MAX_MESSAGE_CHARS`.
        """
        self._pending += self._decoder.decode(chunk)
        # A carriage return at the end may be the first half of a line end: wait for what follows.
        held = "\r" if self._pending.endswith("\r") else ""
        *lines, rest = _LINE_END.split(self._pending.removesuffix("\r"))
        self._pending = rest + held
        for line in lines:
            if message := self._take_line(line):
                yield message
        if self._size + len(self._pending) > MAX_MESSAGE_CHARS:
            raise SchedulerUnavailable(
                "The address answers with an endless event; it may not be a mediafleet scheduler."
            )

    def _take_line(self, line: str) -> SseMessage | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        # One space belongs to the syntax; further ones belong to the value.
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)
        return None

    def _dispatch(self) -> SseMessage | None:
        event, data = self._event or "message", self._data
        # The id is left as it is: it counts for the stream, not for one message.
        self._event, self._data, self._size = "", [], 0
        return SseMessage(event, "\n".join(data), self.last_id) if data else None
