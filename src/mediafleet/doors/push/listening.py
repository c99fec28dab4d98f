"""The node's end of a pushed link: schedulers come, one of them at a time has the link, and the agent notices no difference.

`Listener` decides who has the link and hands it to the agent as its `Dial`; `ListeningLink` is a `mediafleet.node.link.Link`
that is fed and emptied by requests. The routes are in `node_api`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.clock import Clock, SystemClock
from mediafleet.domain.errors import Conflict, MediafleetError, NotFound, SchedulerUnavailable, Unavailable
from mediafleet.domain.frames import encode_frame
from mediafleet.doors.push.changes import Changes
from mediafleet.doors.push.messages import MOST_WAITING_FRAMES, Closing, Frames, Opening, Received, carrying_s
from mediafleet.doors.push.sequence import Incoming, Outgoing
from mediafleet.node.link import error_of_close, read_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mediafleet.domain.frames import NodeFrame, SchedulerFrame

READY_WITHIN_S = 3.0
"""How long a caller is kept waiting for a node that is between two links; then it is asked to come again."""
LAST_WORDS_S = 1.0
"""How long a link that is closed here waits for its last frames to be fetched."""
ROOM_WITHIN_S = 1.0

_log = structlog.get_logger(__name__)


class ListeningLink:
    """One opened link; the routes feed and empty it, the agent reads and writes it."""

    def __init__(self, opening: Opening, clock: Clock) -> None:
        self.opening = opening
        self._clock = clock
        self._heard_s = clock.monotonic()
        self._carrying_s = 0.0
        """How long the last answer may be on its way, in which its caller cannot ask again."""
        self._outgoing = Outgoing()
        self._incoming = Incoming()
        self._inbox: deque[bytes] = deque()
        self._ended: MediafleetError | None = None
        self._changes = Changes()

    @property
    def is_open(self) -> bool:
        """Whether nobody has ended it, and its scheduler was heard of lately."""
        return self._ended is None and self._left_s() > 0

    def _left_s(self) -> float:
        return self._heard_s + self.opening.silence_ms / 1000 + self._carrying_s - self._clock.monotonic()

    # --- the agent's side: a `Link` ---

    async def send(self, frame: NodeFrame) -> None:
        """Put a frame where the next request fetches it; waits for room."""
        # The silence of the scheduler ends the wait: `receive`, which the agent runs all the time, notes it.
        while not self._ended and self._outgoing.is_full:
            await self._changes.until(lambda: self._ended or not self._outgoing.is_full, within_s=ROOM_WITHIN_S)
        self._refuse_ended()
        self._outgoing.add(encode_frame(frame))
        self._changes.note()

    async def receive(self) -> AsyncIterator[SchedulerFrame]:
        """Iterate over the frames that come; one that cannot be read is logged and left out."""
        while True:
            while self._inbox:
                frame = read_frame(self._inbox.popleft())
                self._changes.note()
                if frame:
                    yield frame
            self._refuse_ended()
            left_s = self._left_s()
            if left_s <= 0:
                self.end(SchedulerUnavailable(f"The scheduler that had called this node, {self._who}, went silent."))
            else:
                await self._changes.until(lambda: self._inbox or self._ended, within_s=left_s)

    async def probe(self, *, within_s: float) -> None:
        """Return at once: `receive` ends a link whose scheduler is silent."""

    async def close(self) -> None:
        """End it once its last frames were fetched, or nobody fetches them; safe to repeat."""
        if self._ended is None:
            # The goodbye of a node that ends is among them.
            await self._changes.until(lambda: self._ended or not self._outgoing, within_s=LAST_WORDS_S)
            self.end(SchedulerUnavailable("The node has closed this link."))

    @property
    def _who(self) -> str:
        return self.opening.instance

    def _refuse_ended(self) -> None:
        if self._ended:
            raise self._ended

    # --- the routes' side ---

    def end(self, error: MediafleetError) -> None:
        """End it for both sides; the first reason counts."""
        if self._ended is None:
            self._ended = error
            self._changes.note()

    async def fetch(self, *, after: int, wait_s: float, most: int) -> Frames:
        """Return what waits after a frame that has arrived; hold the answer back for a while if there is nothing.

        Raises:
            NotFound: The link is over.
        """
        self._hear()
        self._carrying_s = 0.0
        self._outgoing.confirm(after)
        self._changes.note()
        # A caller that cannot take any now asks only so that the link stays alive.
        await self._changes.until(lambda: self._ended or (most and self._outgoing), within_s=wait_s)
        self._refuse_gone()
        self._hear()
        batch = self._outgoing.batch(most=most)
        self._carrying_s = carrying_s(sum(len(memoryview(frame)) for frame in batch.frames))
        return batch

    async def take(self, batch: Frames) -> Received:
        """Take the frames of a request that are new, as far as there is room for them.

        Raises:
            NotFound: The link is over.
        """
        self._hear()
        await self._changes.until(lambda: self._ended or self._room > 0, within_s=ROOM_WITHIN_S)
        self._refuse_gone()
        self._inbox.extend(self._incoming.take(batch, room=self._room))
        self._changes.note()
        return Received(self._incoming.received)

    def close_by(self, closing: Closing) -> None:
        """End it because the scheduler says so; its code decides what the node does next."""
        self._hear()
        self.end(error_of_close(self._who, closing.code, closing.reason))

    @property
    def _room(self) -> int:
        return MOST_WAITING_FRAMES - len(self._inbox)

    def _hear(self) -> None:
        self._heard_s = self._clock.monotonic()

    def _refuse_gone(self) -> None:
        if self._ended:
            raise NotFound(f"This link is over: {self._ended.message}")


class Listener:
    """Who may have the node's one link, and the way from there to the agent."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._current: ListeningLink | None = None
        self._wanted: asyncio.Future[ListeningLink] | None = None
        self._stopping = False
        self._changes = Changes()

    async def accept(self) -> ListeningLink:
        """Return the next link that a scheduler opens: the agent's `Dial`."""
        self._wanted = asyncio.get_running_loop().create_future()
        self._changes.note()
        try:
            return await self._wanted
        finally:
            self._wanted = None

    async def open(self, opening: Opening) -> ListeningLink:
        """Give the link to a caller; safe to repeat.

        Raises:
            Conflict: It belongs to somebody else who lives.
            Unavailable: The node is not ready for one.
        """
        if (present := self._find(opening)) is not None:
            return present
        if self._current:
            self._current.end(
                SchedulerUnavailable(f"Another scheduler, {opening.instance}, calls this node from now on.")
            )
        is_ready = await self._changes.until(lambda: self._is_wanted or self._stopping, within_s=READY_WITHIN_S)
        # Looked at again: others may have come while this caller waited.
        if (present := self._find(opening)) is not None:
            return present
        if not is_ready or self._stopping or not self._wanted:
            raise Unavailable("The node is not ready to be linked yet; call again soon.")
        self._current = ListeningLink(opening, self._clock)
        self._wanted.set_result(self._current)
        _log.info("a scheduler called", instance=opening.instance, address=opening.address, term=opening.term)
        return self._current

    @property
    def _is_wanted(self) -> bool:
        return self._wanted is not None and not self._wanted.done()

    def _find(self, opening: Opening) -> ListeningLink | None:
        """Return the link that this request has opened before; None if it may open one."""
        current = self._current
        if current is None or not current.is_open:
            return None
        if current.opening.link == opening.link:
            return current
        refuse_rival(current.opening, opening)
        return None

    def link(self, name: str) -> ListeningLink:
        """Return the present link if it has that name. Raises NotFound."""
        if self._current is None or self._current.opening.link != name:
            raise NotFound("This link is over: the node was started again, or another scheduler has called it.")
        return self._current

    def close_all(self) -> None:
        """End the link because the node ends, and let nobody wait for another."""
        self._stopping = True
        self._changes.note()
        if self._current:
            self._current.end(SchedulerUnavailable("The node is stopping."))


def refuse_rival(present: Opening, rival: Opening) -> None:
    """Return if a caller may replace one that lives. Raises Conflict.

    The same caller may always: it has given its older link up. Another needs a later term, so that an instance that slept
    through its claim cannot take the node back from the one that took it over. By another address nobody may: the terms of
    two addresses say nothing of each other, and their callers would take the node from each other for ever.
    """
    if rival.address != present.address:
        raise Conflict(
            f"The node is linked to {present.instance}, by the address {present.address}; {rival.address} comes too late. "
            "If both are in scheduler.push_nodes, leave one of them out."
        )
    if rival.instance != present.instance and rival.term <= present.term:
        raise Conflict(
            f"The node is linked to {present.instance} (term {present.term}); {rival.instance} (term {rival.term}) comes too late."
        )
