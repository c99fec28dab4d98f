"""Hands the store's one event stream to everybody who watches (docs/decisions/0002)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from mediafleet.domain.event import Event, EventType, event_position

if TYPE_CHECKING:
    from collections.abc import Generator

    from mediafleet.store import Store

BLOCK_MS = 1_000
"""How long one read waits: the longest delay of a shutdown."""
LINGER_S = 2.0
"""How long the stream is read on when nobody watches any more: who submits one job after the other watches again soon."""
QUEUE_LIMIT = 5_000
"""Events that a slow watcher may fall behind; past that it is cut off and may resume by its last id."""
FINAL_EVENTS = frozenset({EventType.JOB_COMPLETED, EventType.JOB_FAILED, EventType.JOB_CANCELLED})


class _Watcher:
    """One who watches, and what it has not yet taken."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LIMIT)
        self.is_cut_off = False

    async def take(self) -> Event | None:
        """Return the next event; None where a watcher that was cut off has taken all that it got before."""
        # Only a full queue is cut off, so there is no waiting for what will never come.
        if self.is_cut_off and self.queue.empty():
            return None
        return await self.queue.get()


class EventHub:
    """Reads the stream once for all watchers of this instance, and only while there are some."""

    def __init__(self, store: Store, *, on_unknown: Callable[[], None] = lambda: None) -> None:
        """Start without watchers.

        Args:
            on_unknown: Told of each event of a type that only a newer version knows; nobody else is.
        """
        self._store = store
        self._on_unknown = on_unknown
        self._watchers: set[_Watcher] = set()
        # Who waits for the end of a job and for nothing else: no queue that could overflow, and no copy of what others do.
        self._ends: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._left_s = 0.0
        self._watched = asyncio.Event()
        self._reading = asyncio.Event()
        self._position = ""

    async def step(self) -> None:
        """Read what is new once, or wait for a watcher. Raises StoreUnavailable; the position is kept."""
        if not self._is_watched() and asyncio.get_running_loop().time() - self._left_s >= LINGER_S:
            # What happens while nobody watches is not caught up with: it would fill the queue of the next watcher, who
            # reads what it has missed from the store.
            self._position = ""
            self._reading.clear()
            await self._watched.wait()
        self._position = self._position or await self._store.read.last_event_id()
        self._reading.set()
        for event in await self._store.read.events(self._position, block_ms=BLOCK_MS):
            if event.type is EventType.UNKNOWN:
                self._on_unknown()
            else:
                self._hand_out(event)
            self._position = event.id

    def _is_watched(self) -> bool:
        return bool(self._watchers or self._ends)

    def _hand_out(self, event: Event) -> None:
        if self._ends and event.type in FINAL_EVENTS:
            for ended in self._ends.get(event.job, ()):
                ended.set()
        # A copy, because watchers that are full leave the set on the way.
        for watcher in list(self._watchers):
            if watcher.queue.full():
                # What it has is without a hole: it may resume behind the last event that it takes.
                self._watchers.discard(watcher)
                watcher.is_cut_off = True
            else:
                watcher.queue.put_nowait(event)

    @contextmanager
    def _watch(self) -> Generator[_Watcher]:
        watcher = _Watcher()
        self._watchers.add(watcher)
        self._watched.set()
        try:
            yield watcher
        # Clients go away without a word: leaving the generator, however that happens, is what ends the watch.
        finally:
            self._watchers.discard(watcher)
            self._note_left()

    def _note_left(self) -> None:
        if not self._is_watched():
            self._left_s = asyncio.get_running_loop().time()
            self._watched.clear()

    @asynccontextmanager
    async def end_of(self, job: str) -> AsyncGenerator[asyncio.Event]:
        """Give an event that is set at each end of the job from now on, as long as the block lasts."""
        ended = asyncio.Event()
        self._ends[job].add(ended)
        self._watched.set()
        try:
            await self._reading.wait()
            yield ended
        finally:
            self._ends[job].discard(ended)
            if not self._ends[job]:
                del self._ends[job]
            self._note_left()

    async def follow(self, *, after: str = "", job: str = "") -> AsyncGenerator[Event]:
        """Yield events from now, or after a position; ends for a watcher that fell too far behind.

        Args:
            after: An event id; what is no longer kept is left out.
            job: Only events of that job; ends with its final event.
        """
        with self._watch() as watcher:
            # What is stored is read once the watcher gets what is new, so that nothing falls between the two.
            await self._reading.wait()
            # Of a position in several cells, the first: time goes on in all of them alike.
            last = after.partition("_")[0] or await self._store.read.last_event_id()
            async for event in self._from(last, watcher):
                if not job or event.job == job:
                    yield event
                    if job and event.type in FINAL_EVENTS:
                        return

    async def _from(self, last: str, watcher: _Watcher) -> AsyncIterator[Event]:
        # In several reads, since one has a limit; what happens meanwhile is found by the next, or waits in the queue.
        while past := await self._store.read.past_events(last):
            for event in past:
                if event.type is not EventType.UNKNOWN:
                    yield event
                last = event.id
        while (event := await watcher.take()) is not None:
            # The queue was filled while the store was read, so it begins with events that were found there already.
            if event_position(event.id) > event_position(last):
                yield event
                last = event.id
