"""Follows the fleet's events across lost connections, without a gap and without a repeat."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
import stamina

from mediafleet.client.sse import SseMessage, SseParser
from mediafleet.client.transport import STREAM_SILENCE_S, Transport
from mediafleet.domain.errors import SchedulerUnavailable, Unavailable
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

EVENT_STREAM = "text/event-stream"
SNAPSHOT = "job.snapshot"
"""First event of a job's own stream; its data is the job as it is."""
FINAL_EVENTS = frozenset({EventType.JOB_COMPLETED, EventType.JOB_FAILED, EventType.JOB_CANCELLED})
RECONNECT_MS = 250
"""Pause between two connections, unless the server names another."""


class EventFeed:
    """One stream of events, of the whole fleet or of one job, that outlives its connections."""

    def __init__(self, transport: Transport, *, job: str = "", after: str = "", hold: bool = False) -> None:
        """Prepare a feed; `messages` connects.

        Args:
            after: Position to go on from; empty for now.
            hold: Count as a client of an embedded fleet, which stays up while it has one.
        """
        self._transport = transport
        self._job = job
        self._after = after
        self._pause_ms = RECONNECT_MS
        self._path = f"/api/v1/jobs/{quote(job, safe='')}/events" if job else "/api/v1/events"
        if hold:
            self._path += "?" + urlencode({"client": "1"})

    async def follow(
        self, *, patience_s: float, on_open: Callable[[], None] | None = None
    ) -> AsyncGenerator[Event | JobView]:
        """Yield events as they come; a job's feed ends after the job's final one.

        Args:
            patience_s: How long the scheduler may be away before the feed gives up.
            on_open: Called whenever a connection is open.

        Raises:
            SchedulerUnavailable: It was away for longer than that.
            NotFound: There is no such job.
        """
        while True:
            async with await self._connect(patience_s) as response:
                self._check_is_stream(response)
                if on_open:
                    on_open()
                async for item in self._items(response):
                    yield item
                    if self._job and _is_final(item):
                        return
            # Spread out, because all who follow a scheduler that restarts lose it at the same moment.
            await asyncio.sleep(self._pause_ms / 1000 * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret

    def _check_is_stream(self, response: aiohttp.ClientResponse) -> None:
        # A page of some other server would be read as a stream without events, and asked for again for ever.
        if response.content_type != EVENT_STREAM:
            raise SchedulerUnavailable(f"{self._transport.base_url} does not answer like a mediafleet scheduler.")

    async def _items(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Event | JobView]:
        async for message in self._read(response):
            if item := _decode(message):
                yield item

    async def _connect(self, patience_s: float) -> aiohttp.ClientResponse:
        headers = {"Accept": EVENT_STREAM} | ({"Last-Event-ID": self._after} if self._after else {})
        # Time counts and not tries, anew with each loss: a stream that was open has shown the scheduler there.
        async for attempt in stamina.retry_context(
            on=Unavailable, attempts=None, timeout=patience_s, wait_initial=0.1, wait_max=2, wait_jitter=0.2
        ):
            with attempt:
                return await self._transport.open_stream(self._path, headers=headers, silence_s=STREAM_SILENCE_S)
        raise AssertionError("retry_context ends by returning or raising")  # pragma: no cover

    async def _read(self, response: aiohttp.ClientResponse) -> AsyncGenerator[SseMessage]:
        """Yield messages until the connection ends, however it ends."""
        parser = SseParser()
        try:
            async for chunk in response.content.iter_any():
                for message in parser.feed(chunk):
                    # The position moves before the message is handed out: what was handed out is not asked for again.
                    self._after = message.id or self._after
                    yield message
        # Half a message may be lost with the connection. Its id was not taken over yet, so it comes again.
        except (aiohttp.ClientError, TimeoutError, OSError):
            return
        finally:
            # Each connection may name its own pause; one that names none takes an earlier wish back.
            self._pause_ms = RECONNECT_MS if parser.retry_ms is None else parser.retry_ms


def _decode(message: SseMessage) -> Event | JobView | None:
    """Return the record of a message; None for a type that this version does not know."""
    try:
        if message.event == SNAPSHOT:
            return msgspec.json.decode(message.data, type=JobView)
        if message.event in set(EventType):
            return msgspec.json.decode(message.data, type=Event)
    except msgspec.DecodeError as error:
        raise SchedulerUnavailable(
            "The scheduler sent an event that this version cannot read; update mediafleet."
        ) from error
    return None


def _is_final(item: Event | JobView) -> bool:
    if isinstance(item, JobView):
        return item.status in FINAL_JOB_STATUSES
    return item.type in FINAL_EVENTS
