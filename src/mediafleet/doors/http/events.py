"""`/api/v1/events`: what happens in the fleet, as it happens."""

from __future__ import annotations

import re
from typing import Annotated

from litestar import Controller, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from mediafleet.domain.errors import InvalidRequest
from mediafleet.doors.http.context import InjectedEnd, InjectedFleet
from mediafleet.doors.http.sse import follow_fleet

EVENT_STREAM = "text/event-stream"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The second asks nginx not to hold events back."""

LastEventId = Annotated[str, HeaderParameter(name="Last-Event-ID", description="Go on after this event")]
After = Annotated[str, QueryParameter(description="Like Last-Event-ID, for clients that cannot set headers")]

_BEYOND = 1 << 64
"""Both parts of a position are unsigned 64-bit numbers in the store."""
_POSITION = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?(_[0-9]{1,20}-[0-9]{1,20}){0,63}")
"""Of one cell, or of several with `_` between them."""


def choose_position(last_event_id: str, after: str) -> str:
    """Return where to go on: what the client saw last wins over where its address begins.

    Raises:
        InvalidRequest: It is no position of an event stream.
    """
    # A browser's EventSource comes back with the address that it began with, and the newer position in the header.
    position = last_event_id or after
    if position and not (
        _POSITION.fullmatch(position) and all(int(part) < _BEYOND for part in re.findall("[0-9]+", position))
    ):
        raise InvalidRequest(f"{position[:60]!r} is no position in the events; send the `id` of an event, or nothing.")
    return position


class EventsController(Controller):
    """Events of the whole fleet."""

    path = "/api/v1/events"
    tags = ("fleet",)

    @get(media_type=EVENT_STREAM)
    async def follow(
        self,
        fleet: InjectedFleet,
        end: InjectedEnd,
        last_event_id: LastEventId = "",
        after: After = "",
    ) -> Stream:
        """Follow the whole fleet, from now or from a position."""
        position = choose_position(last_event_id, after)
        chunks = follow_fleet(fleet.events(after=position), end)
        return Stream(chunks, media_type=EVENT_STREAM, headers=STREAM_HEADERS)
