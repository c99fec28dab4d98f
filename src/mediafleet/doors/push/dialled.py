"""The scheduler's end of a pushed link: requests to a node, shown to the node door as the messages of a WebSocket.

What a frame means, when a link is refused and who replaces whom is the door's and the fleet's business: here frames are
only carried, each once and in order, until one side ends it or the other does not answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
import structlog

from mediafleet.domain.frames import Misc, Register, decode_node_frame, encode_frame
from mediafleet.domain.ids import new_token
from mediafleet.doors.push.changes import Changes
from mediafleet.doors.push.exchange import Exchange, NodeAway, query
from mediafleet.doors.push.messages import Closing, Frames, LinkTimes, Opening, Received
from mediafleet.doors.push.sequence import Incoming, Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet.domain.push import PushNode

Answer = TypeVar("Answer")

OPEN_WITHIN_S = 6.0
"""A node that is between two links answers within 3 s."""
MOST_UNREAD_FRAMES = 256
"""With so many frames that the fleet has not handled, no more are fetched."""

_log = structlog.get_logger(__name__)


class _Opened(msgspec.Struct):
    link: str


class _Done(msgspec.Struct):
    pass


class DialledLink:
    """One link to a node that listens. Use it as an async context manager; it is open inside."""

    def __init__(self, exchange: Exchange, node: PushNode, *, instance: str, term: int, times: LinkTimes) -> None:
        self._exchange = exchange
        self._node = node
        self._times = times
        self._opening = Opening(new_token(), instance, node.address, term, int(times.silence_s * 1000))
        self._incoming = Incoming()
        self._outgoing = Outgoing()
        self._inbox: deque[str] = deque()
        self._greeted = False
        self._carriers: list[asyncio.Task[None]] = []
        self._changes = Changes()
        self.lost = ""
        """Why the node's end of it is gone; empty while it is there."""
        self.closed_with: tuple[int, str] | None = None
        """Code and reason, where this side closed it."""

    async def __aenter__(self) -> Self:
        """Open it. Raises NodeAway."""
        await self._exchange.ask("", _Opened, body=self._opening, within_s=OPEN_WITHIN_S)
        self._carriers = [
            asyncio.create_task(self._carry(step), name=f"push {name} {self._node.address}")
            for name, step in {"in": self._fetch, "out": self._bring}.items()
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for carrier in self._carriers:
            carrier.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)

    # --- as the door sees it: messages of a WebSocket, as ASGI has them ---

    async def receive(self) -> dict[str, Any]:
        """Return the next message: a frame, or that the node has gone."""
        if not self._greeted:
            self._greeted = True
            return {"type": "websocket.connect"}
        await self._changes.until(lambda: self._inbox or self.lost)
        # What came before the end counts: it may be a result, or a goodbye.
        if not self._inbox:
            return {"type": "websocket.disconnect", "code": 1006}
        text = self._inbox.popleft()
        self._changes.note()
        return {"type": "websocket.receive", "text": text}

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message. Raises OSError if nobody is there."""
        match message["type"]:
            case "websocket.send":
                await self._changes.until(lambda: self.lost or not self._outgoing.is_full)
                if self.lost:
                    raise ConnectionResetError(self.lost)
                self._outgoing.add(message["text"].encode())
                self._changes.note()
            case "websocket.close":
                await self._close(Closing(message["code"], message["reason"]))
            case _:
                pass  # An `accept`: the node has answered already.

    async def _close(self, closing: Closing) -> None:
        self.closed_with = (closing.code, closing.reason)
        # What was said before comes first, as on a socket.
        await self._changes.until(lambda: self.lost or not self._outgoing, within_s=self._times.patience_s)
        with suppress(NodeAway):
            await self._ask("close", _Done, closing)
        self._lose("closed by this side")

    # --- the requests ---

    async def _carry(self, step: Callable[[], Any]) -> None:
        """Repeat a step until the node does not answer any more."""
        try:
            while not self.lost:
                await step()
        except NodeAway as error:
            self._lose(str(error))
        except Exception as error:  # noqa: BLE001 - boundary of the link: the next one starts afresh
            _log.exception("a part of a pushed link failed", address=self._node.address)
            self._lose(repr(error))

    async def _fetch(self) -> None:
        # A fleet that is slow to handle frames slows the node down, but its link must stay alive meanwhile.
        await self._changes.until(lambda: self.lost or self._room > 0, within_s=self._times.wait_s)
        wait_ms = int(self._times.wait_s * 1000) if self._room else 0
        parts = {"after": self._incoming.received, "wait_ms": wait_ms, "most": self._room}
        batch = await self._ask("frames" + query(parts), Frames)
        frames = self._incoming.take(batch)
        if batch.frames and not frames:
            raise NodeAway(f"The node at {self._node.address} has left out frames.")
        for frame in frames:
            self._inbox.append(self._text_of(frame))
        self._changes.note()

    async def _bring(self) -> None:
        await self._changes.until(lambda: self.lost or self._outgoing)
        answer = await self._ask("frames", Received, self._outgoing.batch())
        self._outgoing.confirm(answer.received)
        self._changes.note()

    async def _ask(self, what: str, kind: type[Answer], body: msgspec.Struct | None = None) -> Answer:
        within_s = self._times.wait_s + self._times.patience_s
        return await self._exchange.ask(f"/{self._opening.link}/{what}", kind, body=body, within_s=within_s)

    @property
    def _room(self) -> int:
        return max(0, MOST_UNREAD_FRAMES - len(self._inbox))

    def _lose(self, reason: str) -> None:
        self.lost = self.lost or reason
        self._changes.note()

    def _text_of(self, frame: bytes) -> str:
        try:
            return self._amend(frame).decode()
        except UnicodeDecodeError:
            raise NodeAway(f"The node at {self._node.address} sent a frame that is not UTF-8.") from None

    def _amend(self, frame: bytes) -> bytes:
        """Put the operator's priority in place of the node's own."""
        if self._node.priority is None or b'"executors"' not in frame:
            return frame
        try:
            known = decode_node_frame(frame)
        except (msgspec.DecodeError, RecursionError):
            return frame  # The door says what is wrong with it.
        if not isinstance(known, Register | Misc):
            return frame
        ranked = tuple(msgspec.structs.replace(one, priority=self._node.priority) for one in known.executors)
        return encode_frame(msgspec.structs.replace(known, executors=ranked))
