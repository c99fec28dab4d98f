"""How a node is reached: the `Link` seam, and the link that dials in over a WebSocket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from mediafleet.domain.errors import (
    ConfigError,
    Conflict,
    InvalidRequest,
    MediafleetError,
    SchedulerUnavailable,
    Unauthorized,
)
from mediafleet.domain.frames import (
    MAX_FRAME_BYTES,
    NodeFrame,
    SchedulerFrame,
    decode_scheduler_frame,
    encode_frame,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CLOSE_MALFORMED = 4400
CLOSE_UNAUTHORIZED = 4401
CLOSE_REPLACED = 4409
CLOSE_VERSION = 4426

_REFUSED = (
    "The scheduler at {address} refused this node's token{said}; "
    "give the right one with --token-file or MEDIAFLEET_TOKEN."
)
_CLOSE_ERRORS: dict[int, tuple[type[MediafleetError], str]] = {
    CLOSE_MALFORMED: (InvalidRequest, "The scheduler at {address} could not read what this node sent{said}."),
    CLOSE_UNAUTHORIZED: (Unauthorized, _REFUSED),
    CLOSE_REPLACED: (
        Conflict,
        "The scheduler at {address} closed this node's link{said}; if its data directory is a copy of another node's, delete node.json in it.",
    ),
    CLOSE_VERSION: (
        ConfigError,
        "The scheduler at {address} does not speak this node's protocol{said}; upgrade the older of the two.",
    ),
}

_CLOSE_S = 1.0
_OPEN_S = 10.0
_PIECE_BYTES = 16 * 1024
"""Larger frames go in pieces with a ping between them: what answers those shows, on a slow line, that it is not dead."""

_log = structlog.get_logger(__name__)


class Link(Protocol):
    """One connection between a node and its scheduler, whatever carries it."""

    async def send(self, frame: NodeFrame) -> None:
        """Hand a frame over; it may still be lost.

        Raises:
            SchedulerUnavailable: The link is down.
        """
        ...

    def receive(self) -> AsyncIterator[SchedulerFrame]:
        """Iterate over the frames that come; only one caller at a time.

        Raises:
            MediafleetError: The link is down; the class and sentence say why.
        """
        ...

    async def probe(self, *, within_s: float) -> None:
        """Return once the other end has shown that it is there; a link that finds silence by itself returns at once.

        Raises:
            SchedulerUnavailable: It did not in time; the link is down now.
        """
        ...

    async def close(self) -> None:
        """Close it; safe to repeat."""
        ...


class Dial(Protocol):
    """Opens a link."""

    async def __call__(self) -> Link:
        """Return a fresh link.

        Raises:
            SchedulerUnavailable: Nobody answers; trying again can help.
            Unauthorized: The credential is wrong.
        """
        ...


class _CountingSocket(ClientConnection):
    """Notes when the last bytes came."""

    heard_s = 0.0

    def data_received(self, data: bytes) -> None:
        self.heard_s = self.loop.time()
        super().data_received(data)


class WebSocketLink:
    """A link over `/ws/node`."""

    def __init__(self, socket: _CountingSocket, address: str) -> None:
        self._socket = socket
        self._address = address
        self._is_silent = False

    @classmethod
    async def open(cls, scheduler: str, *, token: str = "") -> WebSocketLink:
        """Dial the scheduler at an http(s) address.

        Raises:
            SchedulerUnavailable: Nobody answers there, or something that is no scheduler.
            Unauthorized: The token is missing or wrong.
            ConfigError: The address is none.
        """
        try:
            socket = await connect(
                socket_address(scheduler),
                additional_headers={"Authorization": f"Bearer {token}"} if token else None,
                # Frames are small, and permessage-deflate would keep a window of memory for every link.
                compression=None,
                # The library would else take a proxy from the environment,
                # which knows nothing of a scheduler on the local network.
                proxy=None,
                open_timeout=_OPEN_S,
                # `probe` asks, at the pace of the scheduler's heartbeats, which only the registration tells.
                ping_interval=None,
                close_timeout=_CLOSE_S,
                max_size=MAX_FRAME_BYTES,
                create_connection=_CountingSocket,
            )
        except InvalidURI as error:
            raise ConfigError(f"{scheduler!r} is no address; write it like 'http://host:8000'.") from error
        except InvalidStatus as error:
            raise _refusal(scheduler, error.response.status_code) from error
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
            raise SchedulerUnavailable(f"No scheduler answers at {scheduler}: {_reason(error)}.") from error
        return cls(cast("_CountingSocket", socket), scheduler)

    async def send(self, frame: NodeFrame) -> None:
        """Hand a frame over; it may still be lost."""
        try:
            content = encode_frame(frame)
            await self._socket.send(content if len(content) <= _PIECE_BYTES else self._pieces(content), text=True)
        except ConnectionClosed as error:
            raise explain_close(self._address, error) from error

    async def _pieces(self, content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), _PIECE_BYTES):
            yield content[start : start + _PIECE_BYTES]
            # Its answer is not waited for; `probe` sees that something has come.
            await self._socket.ping()

    async def receive(self) -> AsyncIterator[SchedulerFrame]:
        """Iterate over the frames that come; one that cannot be read is logged and left out."""
        try:
            while True:
                message = await self._socket.recv(decode=False)
                if frame := read_frame(message):
                    yield frame
        except ConnectionClosed as error:
            if self._is_silent:
                raise self._silence() from error
            raise explain_close(self._address, error) from error

    async def probe(self, *, within_s: float) -> None:
        """Return once the scheduler has answered a ping; it has time for as long as anything comes from it."""
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        answer = asyncio.create_task(self._ask(), name="probe")
        try:
            # Neither a ping behind a large frame of this side nor its answer behind one of the other means anything.
            while (left_s := max(asked_s, self._socket.heard_s) + within_s - loop.time()) > 0 and not answer.done():
                await asyncio.wait({answer}, timeout=left_s)
            if not answer.done():
                # Not closed: a close frame to nobody would be waited for.
                self._is_silent = True
                self._socket.transport.abort()
                raise self._silence()
            await answer
        except ConnectionClosed as error:
            raise explain_close(self._address, error) from error
        finally:
            answer.cancel()

    async def _ask(self) -> None:
        await (await self._socket.ping())

    def _silence(self) -> SchedulerUnavailable:
        return SchedulerUnavailable(f"The scheduler at {self._address} went silent.")

    async def close(self) -> None:
        """Close it; safe to repeat."""
        await self._socket.close()


def socket_address(scheduler: str) -> str:
    """Return the WebSocket address of the scheduler's node door.

    Raises:
        ConfigError: The address is not http or https.
    """
    parts = urlsplit(scheduler)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if parts.scheme not in schemes or not parts.netloc:
        raise ConfigError(f"{scheduler!r} is no address of a scheduler; write it like 'http://host:8000'.")
    return urlunsplit((schemes[parts.scheme], parts.netloc, f"{parts.path.rstrip('/')}/ws/node", "", ""))


def explain_close(address: str, closed: ConnectionClosed) -> MediafleetError:
    """Return our error for the end of a link; the close code decides what a node may do next."""
    return error_of_close(address, closed.rcvd.code if closed.rcvd else 0, closed.rcvd.reason if closed.rcvd else "")


def error_of_close(address: str, code: int, reason: str) -> MediafleetError:
    """Return our error for a link that the scheduler closed with a code."""
    said = f" ({reason})" if reason else ""
    error, sentence = _CLOSE_ERRORS.get(
        code, (SchedulerUnavailable, "The link to the scheduler at {address} ended{said}.")
    )
    return error(sentence.format(address=address, said=said))


def _refusal(address: str, status: int) -> MediafleetError:
    if status in {401, 403}:
        return Unauthorized(_REFUSED.format(address=address, said=""))
    return SchedulerUnavailable(f"What answers at {address} is no scheduler that is ready (HTTP status {status}).")


def _reason(error: BaseException) -> str:
    return "it took too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def read_frame(message: bytes) -> SchedulerFrame | None:
    """Return a frame of the scheduler; None, and a line in the log, for what is none."""
    try:
        return decode_scheduler_frame(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A newer scheduler may have frames that this node does not know.
        _log.warning(
            "frame from the scheduler left out", error=str(error), start=message[:80].decode("utf-8", "replace")
        )
        return None
