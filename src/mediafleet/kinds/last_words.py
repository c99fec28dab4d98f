"""What is kept of a child's standard error: its end, and before it whatever the child called an error."""

from __future__ import annotations

import re

TAIL_BYTES = 16 * 1024
"""How much of the end is kept."""
_MOST_LINES = 20
_LINE_BYTES = 1024
_ALARM = re.compile(rb"\b(?:error|fatal|panic|corrupt\w*)\b", re.IGNORECASE)


class LastWords:
    """The end of a text that may be endless. A child that chatters on does not bury what went wrong before."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._tail = b""
        self._begun = b""
        """A line of which the first part is no more in the tail."""
        self._alarms: dict[bytes, None] = {}

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        text = self._tail + piece
        self._tail = text[-TAIL_BYTES:]
        *lines, begun = (
            (self._begun + text[: -len(self._tail)]).split(b"\n") if len(text) > TAIL_BYTES else [self._begun]
        )
        self._begun = begun[:_LINE_BYTES]
        for line in lines:
            if len(self._alarms) < _MOST_LINES and _ALARM.search(line):
                self._alarms[line[:_LINE_BYTES]] = None

    def text(self) -> str:
        """Return what is kept: lines with an alarm, each once, then the end."""
        return b"\n".join([*self._alarms, self._tail]).decode("utf-8", "replace")
