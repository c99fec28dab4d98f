"""Where an artifact's bytes come from, and how a stretch of them is fetched: broken connections are taken up again."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from mediafleet.artifacts.disk import BLOCK_BYTES
from mediafleet.artifacts.exchange import AddressRefused, not_ours, retries
from mediafleet.domain.errors import SchedulerUnavailable, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    import aiohttp

    from mediafleet.artifacts.exchange import Exchange
    from mediafleet.artifacts.parts import Parts
    from mediafleet.artifacts.ranges import Range
    from mediafleet.domain.artifact import ArtifactRef, Location

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-")


class Origin(Protocol):
    """One place that has the bytes."""

    def open(self, start: int, end: int) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Ask for a stretch and yield the answer, whose status says success.

        Raises:
            Unavailable: Not now.
            MediafleetError: Not at all.
        """
        ...


class SchedulerOrigin:
    """The scheduler, which streams what it has or sees."""

    def __init__(self, exchange: Exchange, ref: ArtifactRef) -> None:
        self._exchange = exchange
        self._path = f"/{quote(ref.id, safe='')}"

    @asynccontextmanager
    async def open(self, start: int, end: int) -> AsyncGenerator[aiohttp.ClientResponse]:
        """See `Origin.open`."""
        async with self._exchange.request("GET", self._path, headers=range_header(start, end)) as response:
            yield response


class AddressOrigin:
    """An object store, by an address that the scheduler gives for a while."""

    def __init__(self, exchange: Exchange, ref: ArtifactRef) -> None:
        self._exchange = exchange
        self._id = ref.id
        self._location: Location | None = None

    @asynccontextmanager
    async def open(self, start: int, end: int) -> AsyncGenerator[aiohttp.ClientResponse]:
        """See `Origin.open`; an address that has expired is asked for anew."""
        is_fresh = self._location is None
        location = self._location = self._location or await self._exchange.locate(self._id)
        headers = range_header(start, end)
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(self._exchange.go_to(location, headers=headers))
            except AddressRefused:
                self._location = None
                if is_fresh:
                    raise
                location = self._location = await self._exchange.locate(self._id)
                response = await stack.enter_async_context(self._exchange.go_to(location, headers=headers))
            yield response


class Fetcher:
    """Brings stretches of one artifact, from the first of its origins that can."""

    def __init__(self, origins: Sequence[Origin], on_bytes: Callable[[int], None]) -> None:
        """Take the origins in the order of preference; `on_bytes` is told how many bytes came anew."""
        self._origins = list(origins)
        self._on_bytes = on_bytes

    async def fetch(self, parts: Parts, piece: Range) -> None:
        """Bring what is missing of one stretch.

        Raises:
            NotFound: The artifact is gone.
            Unavailable: No origin gave a single byte in several tries.
        """
        failures = 0
        while missing := parts.missing((piece,)):
            try:
                async for attempt in retries():
                    with attempt:
                        await self._fetch_rest(parts, (missing[0][0], piece[1]))
            except Unavailable:
                # A long download over a bad line breaks often: only standing still counts against it.
                if parts.missing((piece,)) != missing:
                    failures = 0
                    continue
                failures += 1
                if failures >= len(self._origins):
                    raise
                # What cannot be reached from this machine, the scheduler may reach.
                self._origins.append(self._origins.pop(0))

    async def _fetch_rest(self, parts: Parts, piece: Range) -> None:
        missing = parts.missing((piece,))
        start, end = missing[0][0], piece[1]
        async with self._origins[0].open(start, end) as response:
            position = first_byte(response)
            if position > start:
                raise not_ours()
            async for chunk in response.content.iter_chunked(BLOCK_BYTES):
                # A proxy may ignore the range and send everything from the start.
                useful = chunk[max(0, start - position) : max(0, end - position)]
                if useful:
                    await parts.write(max(start, position), useful)
                    self._on_bytes(len(useful))
                position += len(chunk)
                if position >= end:
                    return
        raise SchedulerUnavailable("The connection ended before all bytes were there; try again.")


def range_header(start: int, end: int) -> dict[str, str]:
    """Return the header that asks for a stretch which is not empty."""
    return {"Range": f"bytes={start}-{end - 1}"}


def first_byte(response: aiohttp.ClientResponse) -> int:
    """Return where the body of an answer begins: some servers send a part with the status of a whole."""
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found else 0
