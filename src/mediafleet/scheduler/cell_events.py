"""The events of all cells as one stream, whose positions name each cell: who comes back misses nothing of any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress

import msgspec

from mediafleet.domain.event import Event
from mediafleet.scheduler.cell_views import join_positions


async def merge_events(streams: Sequence[AsyncIterator[Event]], positions: Sequence[str]) -> AsyncGenerator[Event]:
    """Yield the events of all streams as they come; ends with the first that ends, as for one who fell behind.

    Args:
        streams: Of each cell; they are closed at the end.
        positions: Where each of them begins.
    """
    reached = list(positions)
    heads = {number: _next(stream, number) for number, stream in enumerate(streams)}
    try:
        while True:
            done, _ = await asyncio.wait(heads.values(), return_when=asyncio.FIRST_COMPLETED)
            # Those that are there at once are told in the order in which they happened.
            ready = [(number, heads[number].result()) for number in heads if heads[number] in done]
            for number, event in sorted(ready, key=lambda pair: pair[1].at_ms if pair[1] else 0):
                if event is None:
                    return
                reached[number] = event.id
                yield msgspec.structs.replace(event, id=join_positions(reached))
                heads[number] = _next(streams[number], number)
    finally:
        await _close(list(heads.values()), streams)


def _next(stream: AsyncIterator[Event], number: int) -> asyncio.Task[Event | None]:
    async def advance() -> Event | None:
        return await anext(stream, None)

    return asyncio.create_task(advance(), name=f"events of cell {number}")


async def _close(heads: Sequence[asyncio.Task[Event | None]], streams: Sequence[AsyncIterator[Event]]) -> None:
    for head in heads:
        head.cancel()
    await asyncio.gather(*heads, return_exceptions=True)
    for stream in streams:
        if close := getattr(stream, "aclose", None):
            with suppress(RuntimeError):
                await close()
