"""Server-sent events: how an event is written, and how a stream is kept open and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import msgspec

from mediafleet.domain.errors import MediafleetError
from mediafleet.domain.event import Event
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES

KEEPALIVE_S = 15.0
"""Proxies close what is silent for 30 to 60 s."""
OPENING = b"retry: 1000\n: mediafleet\n\n"
"""Sent at once, so that clients see the stream open before the first event."""
KEEPALIVE = b": keep-alive\n\n"
SNAPSHOT = "job.snapshot"


@dataclass(frozen=True)
class StreamEnd:
    """When streams end by themselves; one for all streams of a server."""

    stopping: asyncio.Event
    keepalive_s: float = KEEPALIVE_S


def encode_event(event: Event) -> bytes:
    """Return an event as it goes over the wire; JSON has no raw line break, so `data` is one line."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event.id.encode(), event.type.encode(), msgspec.json.encode(event))


def encode_snapshot(view: JobView) -> bytes:
    """Return the state of a job as it is; it has no position in the stream, so no `id`."""
    return b"event: %s\ndata: %s\n\n" % (SNAPSHOT.encode(), msgspec.json.encode(view))


async def follow_fleet(events: AsyncIterator[Event], end: StreamEnd) -> AsyncGenerator[bytes]:
    """Write events until the client goes, the source ends or the server stops."""
    async with _Pending(events, end) as pending:
        yield OPENING
        while (step := await pending.step()) is not None:
            yield step


async def follow_job(
    events: AsyncIterator[Event], end: StreamEnd, *, view: Callable[[], Awaitable[JobView]], with_snapshot: bool
) -> AsyncGenerator[bytes]:
    """Write the events of one job; ends after its final one.

    The subscription starts before the job is read, so nothing falls between snapshot and events. A
    silent stream looks at the job again: one that ended unseen ends the stream too.
    """
    try:
        async with _Pending(events, end) as pending:
            yield OPENING
            # One turn of the loop lets the subscription ask for its position before the job is read.
            await asyncio.sleep(0)
            current = await view()
            if with_snapshot:
                yield encode_snapshot(current)
            over = with_snapshot and current.status in FINAL_JOB_STATUSES
            while not over and (step := await pending.step()) is not None:
                yield step
                if step is KEEPALIVE and (current := await view()).status in FINAL_JOB_STATUSES:
                    yield encode_snapshot(current)
                    over = True
    except MediafleetError:
        # The store is away, or retention took the job: the client comes back and is told in full.
        return


class _Pending:
    """The next event as a task of its own, so that waiting for it can be interrupted and resumed."""

    def __init__(self, events: AsyncIterator[Event], end: StreamEnd) -> None:
        self._events, self._end = events, end

    async def __aenter__(self) -> Self:
        self._stopping = asyncio.create_task(self._end.stopping.wait(), name="sse-stopping")
        self._next = asyncio.create_task(self._advance(), name="sse-next")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.cancel()
        self._next.cancel()
        await asyncio.gather(self._stopping, self._next, return_exceptions=True)
        if close := getattr(self._events, "aclose", None):
            await close()

    async def step(self) -> bytes | None:
        """Return what to send next; None when the stream is over."""
        # Not wait_for: that cancels what it waited for, and the event that was just being read would be lost.
        done, _ = await asyncio.wait(
            {self._stopping, self._next}, timeout=self._end.keepalive_s, return_when=asyncio.FIRST_COMPLETED
        )
        if self._stopping in done:
            return None
        if not done:
            return KEEPALIVE
        try:
            event = self._next.result()
        except MediafleetError:
            # The store is away. The client comes back with its position and finds the rest.
            return None
        if event is None:
            return None
        self._next = asyncio.create_task(self._advance(), name="sse-next")
        return encode_event(event)

    async def _advance(self) -> Event | None:
        return await anext(self._events, None)
