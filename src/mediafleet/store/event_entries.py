"""Events as the stream keeps them: those of one script call share entries, a line each.

The position of an event is that of its entry with the line's number in the last digits, so that positions
look like the store's own, `<ms>-<sequence>`, and are in order.
"""

from __future__ import annotations

import msgspec

from mediafleet.domain.event import Event, EventType, event_position

EVENTS_OF_ENTRY = 16
"""Most lines of one entry; `LINES` of includes/base.lua."""

_TYPES = frozenset(EventType)

RawEntry = tuple[bytes, dict[bytes, bytes]]


def entry_of(event_id: str) -> str:
    """Return the id of the stream's entry that holds an event."""
    time, sequence = event_position(event_id)
    return f"{time}-{sequence // EVENTS_OF_ENTRY}"


def read_events(entry: RawEntry) -> list[Event]:
    """Return the events of one entry, in order."""
    name, fields = entry
    time, sequence = event_position(name.decode())
    lines = fields[b"e"].decode().split("\n")
    return [_event(f"{time}-{sequence * EVENTS_OF_ENTRY + number}", time, line) for number, line in enumerate(lines)]


def _event(event_id: str, at_ms: int, line: str) -> Event:
    name, field, subject, data = line.split("\t", 3)
    return Event(
        id=event_id,
        # While a fleet is updated, newer instances write types that this one does not know; readers must get past them.
        type=EventType(name) if name in _TYPES else EventType.UNKNOWN,
        at_ms=at_ms,
        job=subject if field == "job" else "",
        node=subject if field == "node" else "",
        data=msgspec.json.decode(data),
    )
