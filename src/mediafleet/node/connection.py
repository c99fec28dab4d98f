"""One link from its registration to its end: what goes out in order, and the beats that keep it alive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.errors import MediafleetError, SchedulerUnavailable
from mediafleet.domain.frames import Registered
from mediafleet.node.progress import FRAME_INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mediafleet.domain.frames import NodeFrame, Register, SchedulerFrame
    from mediafleet.node.link import Link
    from mediafleet.node.progress import ProgressBoard

_REGISTER_S = 10.0
"""How long the scheduler may take to answer `register`."""
_SHORTEST_BEAT_S = 0.05
_ANSWER_BEATS = 1.5
"""How long the scheduler may take to show that it is there, in heartbeats; with the one between two questions 2.5."""
_MOST_QUEUED = 10_000
"""Frames that wait for a peer which does not read; then the link is given up, and the next one tells all anew."""

_log = structlog.get_logger(__name__)


class Connection:
    """A registered link. Owned by the agent's linking loop."""

    def __init__(self, link: Link, frames: AsyncIterator[SchedulerFrame], registered: Registered) -> None:
        self._link = link
        self._frames = frames
        self._outgoing: asyncio.Queue[NodeFrame] = asyncio.Queue(_MOST_QUEUED)
        self._has_gap = False
        self.registered = registered

    @classmethod
    async def register(cls, link: Link, frame: Register) -> Connection:
        """Introduce the node on a fresh link; closes it on failure.

        Raises:
            MediafleetError: The scheduler did not answer as agreed, or refused; the sentence says why.
        """
        try:
            await link.send(frame)
            frames = link.receive()
            # A proxy may hold a link open that no scheduler is behind.
            async with asyncio.timeout(_REGISTER_S):
                answer = await anext(frames)
            if not isinstance(answer, Registered):
                raise SchedulerUnavailable("The scheduler answered `register` with something else.")
        except (TimeoutError, StopAsyncIteration) as error:
            await link.close()
            raise SchedulerUnavailable("The scheduler did not answer `register`.") from error
        # Also on cancel: nobody else knows of the link yet, so nobody else could close it.
        except BaseException:
            await link.close()
            raise
        return cls(link, frames, answer)

    def post(self, frame: NodeFrame) -> None:
        """Put a frame in line to be sent. Never waits; frames of a link that ends are lost."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            # A gap would leave both sides with different pictures; the beat ends such a link.
            self._has_gap = True

    async def flush(self) -> None:
        """Wait until all frames so far were handed to the link."""
        await self._outgoing.join()

    async def serve(
        self, *, handle: Callable[[SchedulerFrame], None], beat: Callable[[], None], board: ProgressBoard
    ) -> None:
        """Send and receive until the link ends; then close it.

        Raises:
            MediafleetError: Why it ended.
        """
        helpers = [
            asyncio.create_task(self._help(work), name=f"link {name}")
            for name, work in {
                "send": self._send_all,
                "beat": lambda: self._beat(beat),
                "probe": self._probe,
                "progress": lambda: self._report(board),
            }.items()
        ]
        try:
            # Receiving sets the pace: any helper that fails closes the link, which ends this loop with the reason.
            async for frame in self._frames:
                handle(frame)
        finally:
            await _cancel_all(helpers)
            await self._link.close()

    async def _help(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one helper; if it fails the link ends, so that no node looks alive while it only half is."""
        try:
            await work()
        except MediafleetError:
            # The receiving side ends for the same cause and says it.
            await self._link.close()
        except Exception:  # noqa: BLE001 - boundary of the link: the next link starts afresh
            _log.exception("a part of the link failed")
            await self._link.close()

    async def _send_all(self) -> None:
        while True:
            frame = await self._outgoing.get()
            await self._link.send(frame)
            # After the send and not after the `get`: a flush waits for what was handed to the link.
            self._outgoing.task_done()

    async def _beat(self, beat: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            beat()
            if self._has_gap:
                _log.warning("the scheduler does not read what this node sends; the link is given up")
                await self._link.close()

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            await self._link.probe(within_s=_ANSWER_BEATS * self._beat_s)

    @property
    def _beat_s(self) -> float:
        # The scheduler names the pace; a nought from it must not make a busy loop.
        return max(_SHORTEST_BEAT_S, self.registered.heartbeat_ms / 1000)

    async def _report(self, board: ProgressBoard) -> None:
        # The other end may be another instance of the scheduler, which has seen none of it.
        board.resend_all()
        while True:
            self.post(await board.next_frame())
            # After the frame and not before it: the first news goes out at once, and what comes meanwhile is coalesced.
            await asyncio.sleep(FRAME_INTERVAL_S)


async def _cancel_all(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
