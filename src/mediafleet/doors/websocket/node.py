"""`/ws/node`: a node registers, then frames go both ways until one side closes.

Plain ASGI: at thousands of frames a second a framework's layers around each of them would cost
more than the scheduling. What a node does wrong closes its link with a code and a reason, and is
one line in the log.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import structlog
from litestar import asgi

from mediafleet.domain.errors import InputError, MediafleetError, Unauthorized, Unavailable
from mediafleet.domain.frames import PROTOCOL_VERSION, NodeFrame, Register, check_node_frame, decode_node_frame
from mediafleet.doors.arrivals import ARRIVALS, Arrivals
from mediafleet.doors.websocket.link import CODE_GOING_AWAY, SocketLink
from mediafleet.doors.websocket.silence import Silence
from mediafleet.scheduler.facade import Fleet

REGISTER_WITHIN_S = 10.0
"""How long a new connection may stay silent, seconds."""

CLOSE_WITHIN_S = 5.0
"""How long a node that does not read may hold up its own close frame, seconds."""

CODE_BINARY = 1003
CODE_FAULT = 1011
CODE_TRY_LATER = 1013
CODE_MALFORMED = 4400
CODE_UNAUTHORIZED = 4401
CODE_NOT_REGISTERED = 4408
CODE_SILENT = 4408
CODE_REFUSED = 4409
CODE_UNSUPPORTED = 4426

SILENT = "Nothing was heard of the node for two heartbeats."

_logger = structlog.get_logger(__name__)


class Refusal(Exception):
    """The node broke the protocol: the link is closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class _Gone(Exception):
    """The node closed the link."""


class NodeDoor:
    """All links of this instance; one for a server."""

    def __init__(self, fleet: Fleet, *, register_within_s: float = REGISTER_WITHIN_S) -> None:
        self._fleet = fleet
        self._register_within_s = register_within_s
        self._links: set[SocketLink] = set()
        self._stopping = False

    def handler(self) -> asgi:
        """Return the route for Litestar."""
        return asgi("/ws/node", copy_scope=False)(self._entry)

    def close_all(self) -> None:
        """Close every link because the server goes away; nodes come back by themselves."""
        self._stopping = True
        for link in self._links:
            link.close(CODE_GOING_AWAY, "The scheduler is stopping; come back soon.")

    async def _entry(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.serve(receive, send, arrivals=scope.get("extensions", {}).get(ARRIVALS))
        else:
            await _refuse_plain_http(send)

    async def serve(
        self, receive: Any, send: Any, *, kind: str = "websocket", arrivals: Arrivals | None = None
    ) -> None:
        """Serve one link until it ends.

        Args:
            receive: Gives the messages of a WebSocket as ASGI does; what carries them is the caller's business.
            send: Takes such messages; an OSError says that nobody is there.
            kind: What carries them.
            arrivals: Bytes that have come, where it is known.
        """
        await receive()
        # Accepted before anything is known of it: a refused handshake carries a number, a close frame also a sentence.
        await send({"type": "websocket.accept"})
        link = SocketLink(send, kind=kind)
        self._links.add(link)
        # A server that stops still lets in who was connecting; `close_all` has run by then and comes only once.
        if self._stopping:
            link.close(CODE_GOING_AWAY, "The scheduler is stopping; come back soon.")
        silence = Silence(arrivals, on_arriving=lambda: self._fleet.keep(link))
        reader = asyncio.create_task(self._read(link, receive, silence), name="node-link-reader")
        writer = asyncio.create_task(link.write(), name="node-link-writer")
        try:
            await asyncio.wait({reader, writer, silence.found}, return_when=asyncio.FIRST_COMPLETED)
            if silence.found.done():
                await self._give_up(link, writer)
            await self._finish(link, reader, writer)
        finally:
            silence.end()
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            self._links.discard(link)
            await self._detach(link)

    async def _give_up(self, link: SocketLink, writer: asyncio.Task[None]) -> None:
        """End the link of a node that is not heard any more."""
        _logger.warning("node link is silent", node=link.node, reason=SILENT)
        # First, because a close frame to nobody takes its time, and live work is to go elsewhere now.
        await self._detach(link)
        link.close(CODE_SILENT, SILENT)
        await asyncio.wait({writer}, timeout=CLOSE_WITHIN_S)

    async def _finish(self, link: SocketLink, reader: asyncio.Task[None], writer: asyncio.Task[None]) -> None:
        """Say why the link ends, if the node is still there to hear it."""
        # A writer that ended has sent a close frame, with its reason, or has found nobody to send it to.
        if writer.done() or not reader.done():
            return
        error = reader.exception()
        if isinstance(error, _Gone) or error is None:
            return
        code, reason = _explain(error)
        if code == CODE_FAULT:
            _logger.error("node link failed", node=link.node, reason=repr(error))
        else:
            _logger.warning("node link refused", node=link.node, code=code, reason=reason)
        link.close(code, reason)
        await asyncio.wait({writer}, timeout=CLOSE_WITHIN_S)

    async def _read(self, link: SocketLink, receive: Any, silence: Silence) -> None:
        fleet_receive = self._fleet.receive
        silence.watch(await self._register(link, receive))
        while True:
            message = await receive()
            silence.heard = silence.busy = True
            # One after another, never as tasks: the order of a node's frames means something, and a node that sends too
            # much is slowed down by its own connection.
            await fleet_receive(link, _decode(message))
            silence.busy = False

    async def _register(self, link: SocketLink, receive: Any) -> int:
        """Take a node's first frame; return how often it is to be heard from now on, milliseconds."""
        try:
            async with asyncio.timeout(self._register_within_s):
                message = await receive()
        except TimeoutError:
            raise Refusal(CODE_NOT_REGISTERED, f"No register frame within {self._register_within_s:g} s.") from None
        frame = _decode(message)
        if not isinstance(frame, Register):
            raise Refusal(CODE_MALFORMED, "The first frame must be register.")
        if frame.protocol != PROTOCOL_VERSION:
            raise Refusal(
                CODE_UNSUPPORTED,
                f"This scheduler speaks protocol {PROTOCOL_VERSION}, the node {frame.protocol}; update the older one.",
            )
        # Set before the fleet knows: where attaching breaks off halfway, detaching still has to name the node.
        link.node = frame.node
        registered = await self._fleet.attach(link, frame)
        link.greet(registered)
        return registered.heartbeat_ms

    async def _detach(self, link: SocketLink) -> None:
        if not link.node:
            return
        try:
            await self._fleet.detach(link)
        except MediafleetError as error:
            # The lease of the node's work ends by itself: nothing is lost by not saying goodbye.
            _logger.warning("node link closed while the store is away", node=link.node, reason=error.message)


def _decode(message: Any) -> NodeFrame:
    if message["type"] == "websocket.disconnect":
        raise _Gone
    text = message.get("text")
    if text is None:
        raise Refusal(CODE_BINARY, "Binary frames mean nothing here; send JSON as text.")
    try:
        frame = decode_node_frame(text)
    except msgspec.DecodeError as error:
        raise Refusal(CODE_MALFORMED, f"Not a frame of a node: {error}") from error
    except RecursionError:
        raise Refusal(CODE_MALFORMED, "Not a frame of a node: it is nested too deeply.") from None
    check_node_frame(frame)
    return frame


def _explain(error: BaseException) -> tuple[int, str]:
    """Return the close code and reason for what ended a link."""
    match error:
        case Refusal():
            return error.code, error.reason
        case Unavailable():
            return CODE_TRY_LATER, error.message
        case Unauthorized():
            return CODE_UNAUTHORIZED, error.message
        case InputError():
            return CODE_MALFORMED, error.message
        case MediafleetError():
            return CODE_REFUSED, error.message
        case _:
            return CODE_FAULT, "The scheduler could not handle a frame; its log says why."


async def _refuse_plain_http(send: Any) -> None:
    body = b'{"type":"urn:mediafleet:error:upgrade-required","title":"Upgrade required","status":426,'
    body += b'"detail":"This address speaks WebSocket; a node agent connects here.","code":"upgrade-required"}'
    headers = [(b"content-type", b"application/problem+json"), (b"upgrade", b"websocket")]
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": body})
