"""One request to a listening node and its answer: tried again where only the connection broke, never followed elsewhere."""

from __future__ import annotations

import asyncio
import io
import os
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import msgspec
import stamina

from mediafleet.doors.arrivals import Arrivals
from mediafleet.doors.push.messages import LINK_ROUTE, MOST_BODY_BYTES, carrying_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Answer = TypeVar("Answer")

RETRY_WITHIN_S = 0.5
"""How long a connection that broke is made anew before the link counts as lost: below what a closed socket may cost."""
_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.2
_READ_BYTES = 64 * 1024
_LONGEST_REASON = 300


class NodeAway(Exception):
    """The node does not answer, or not as one: the sentence says how."""


class NodeRefused(NodeAway):
    """The node answered, and said no."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class _Problem(msgspec.Struct):
    detail: str = ""


class Exchange:
    """Requests to one address. Safe to use from several tasks."""

    def __init__(self, session: aiohttp.ClientSession, address: str, *, token: str = "") -> None:
        self.address = address
        self.arrivals = Arrivals()
        """Of answers that come in several pieces."""
        self._session = session
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def ask(
        self, path: str, kind: type[Answer], *, body: msgspec.Struct | None = None, within_s: float
    ) -> Answer:
        """Return the answer to a POST of the body, or to a GET where there is none.

        Every request of a pushed link may be repeated, so one whose connection broke is. An answer that has begun is late
        only if nothing more of it comes for as long; a large body has more time to get there.

        Raises:
            NodeRefused: The node said no.
            NodeAway: It did not answer in time, or what answers there is no node.
        """
        data = None if body is None else msgspec.json.encode(body)
        async for attempt in stamina.retry_context(
            on=_may_pass,
            attempts=None,
            timeout=RETRY_WITHIN_S,
            wait_initial=_FIRST_WAIT_S,
            wait_max=_LONGEST_WAIT_S,
            wait_jitter=_FIRST_WAIT_S,
        ):
            with attempt:
                return await self._ask_once(path, kind, data=data, within_s=within_s)
        raise AssertionError("unreachable: raised or returned")  # pragma: no cover

    async def _ask_once(self, path: str, kind: type[Answer], *, data: bytes | None, within_s: float) -> Answer:
        try:
            async with asyncio.timeout(within_s + carrying_s(len(data or b""))) as patience:
                status, content = await self._send(path, data, lambda: self._extend(patience, within_s))
        except TimeoutError:
            raise NodeAway(f"{self.address} did not answer within {within_s:.1f} s.") from None
        except aiohttp.ClientError as error:
            raise NodeAway(f"{self.address} cannot be reached: {_words(error)}.") from error
        if status != 200:  # noqa: PLR2004 - HTTP's own number
            raise NodeRefused(_reason(self.address, status, content), status)
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise NodeAway(f"What answers at {self.address} is no node: {error}.") from error

    @staticmethod
    def _extend(patience: asyncio.Timeout, within_s: float) -> None:
        if not patience.expired():
            patience.reschedule(asyncio.get_running_loop().time() + within_s)

    async def _send(self, path: str, data: bytes | None, on_piece: Callable[[], None]) -> tuple[int, bytes]:
        async with self._session.request(
            "GET" if data is None else "POST",
            f"{self.address}{LINK_ROUTE}{path}",
            data=_as_body(data),
            headers=self._headers,
            # Only configured addresses are called: the token must not go where an answer points.
            allow_redirects=False,
        ) as response:
            return response.status, await self._read(response, on_piece)

    async def _read(self, response: aiohttp.ClientResponse, on_piece: Callable[[], None]) -> bytes:
        content = bytearray()
        while block := await response.content.read(_READ_BYTES):
            # What comes in one piece is no news before it is read.
            self.arrivals.bytes += len(block) if content else 0
            on_piece()
            content += block
            # Whatever listens there must not fill this instance's memory.
            if len(content) > MOST_BODY_BYTES:
                raise aiohttp.ClientPayloadError(f"the answer is larger than {MOST_BODY_BYTES} bytes")
        return bytes(content)


def _as_body(data: bytes | None) -> bytes | io.BytesIO | None:
    # Large bytes as they are would hold the event loop until the kernel has taken all of them.
    return io.BytesIO(data) if data and len(data) > _READ_BYTES else data


def _words(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    return str(error) or type(error).__name__


def _may_pass(error: Exception) -> bool:
    """Tell whether the next connection may be better: not if nobody listens, and not after a long silence."""
    cause = error.__cause__
    broke = isinstance(cause, aiohttp.ClientError)
    return broke and not isinstance(cause, aiohttp.ClientConnectorError | aiohttp.InvalidURL)


def _reason(address: str, status: int, content: bytes) -> str:
    if status == 401:  # noqa: PLR2004 - HTTP's own number
        return f"The node at {address} refused this fleet's token; start it with the same one."
    try:
        detail = msgspec.json.decode(content, type=_Problem).detail
    except (msgspec.DecodeError, RecursionError):
        detail = ""
    return f"{address} answered {status}: {detail[:_LONGEST_REASON] or 'no sentence; perhaps it is no node.'}"


def query(parts: Mapping[str, int]) -> str:
    """Return numbers as the query of a path."""
    return "?" + "&".join(f"{name}={value}" for name, value in parts.items())
