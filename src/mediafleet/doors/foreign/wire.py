"""One connection to a master's hub, by `pysignalr`, from its negotiation to its loss.

Of the library only transport and protocol are used. Its client dials again by itself with an id that is gone, and puts
the headers of requests, the token among them, into each message.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, cast

import aiohttp
from pysignalr.exceptions import AuthorizationError, HubError, ServerError
from pysignalr.exceptions import ConnectionError as RefusedNegotiation
from pysignalr.messages import CloseMessage, CompletionMessage, InvocationMessage, Message
from pysignalr.protocol.json import JSONProtocol
from pysignalr.transport.websocket import WebsocketTransport
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from mediafleet.domain.errors import MediafleetError, Unavailable

OPEN_S = 20.0
"""Longest wait for a connection, from the first byte of its negotiation on."""
ANSWER_S = 30.0
"""Longest wait for the completion of a call; hubs handle the calls of one client one by one."""
_CLOSE_S = 1.0
_MOST_WAITING = 1000
"""Calls of a master that may wait to be handled: it has a few tasks, and each is two calls."""
_LONGEST_ECHO = 200

# What it says of lost connections is said by us, once a cause.
logging.getLogger("pysignalr").setLevel(logging.CRITICAL)


class MasterLost(Unavailable):
    """There is no connection to the master, or no more; the sentence says why."""

    code = "master-lost"


class MasterRefused(MediafleetError):
    """The master answered a call with an error."""

    code = "master-refused"


class Call(NamedTuple):
    """What a master called."""

    target: str
    """In small letters."""
    arguments: Sequence[Any]


class MasterWire:
    """An open connection; `connected` makes it."""

    def __init__(self) -> None:
        self.calls = asyncio.Queue[Call](_MOST_WAITING)
        """Of the master, in order."""
        self._ids = itertools.count(1)
        self._answers: dict[str, asyncio.Future[CompletionMessage]] = {}
        self._transport: WebsocketTransport | None = None

    async def call(self, target: str, *arguments: Any) -> None:
        """Call a method of the hub and wait until it has done it.

        Raises:
            MasterRefused: It answered with an error.
            MasterLost: The connection is gone, or no answer came; nobody knows whether the call was handled.
        """
        name = str(next(self._ids))
        answer = self._answers[name] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._send(InvocationMessage(name, target, list(arguments)))
                completion = await answer
        except TimeoutError:
            raise MasterLost(f"It did not answer {target} within {ANSWER_S:.0f} s.") from None
        finally:
            del self._answers[name]
        if completion.error is not None:
            raise MasterRefused(str(completion.error)[:_LONGEST_ECHO])

    async def tell(self, target: str, *arguments: Any) -> None:
        """Call a method of the hub, and ask for no answer. Raises MasterLost."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._send(InvocationMessage(None, target, list(arguments)))
        except TimeoutError:
            raise MasterLost("It does not read what it is sent.") from None

    async def _send(self, message: Message) -> None:
        assert self._transport is not None  # noqa: S101 - `connected` has set it
        try:
            await self._transport.send(message)
        except ConnectionClosed as error:
            raise MasterLost("The connection was lost.") from error

    async def take(self, message: Message) -> None:
        """Take what the hub sent; the library calls it, one message after the other."""
        if isinstance(message, CompletionMessage):
            answer = self._answers.get(message.invocation_id)
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif isinstance(message, InvocationMessage):
            self._note(Call(str(message.target).casefold(), _as_list(message.arguments)))
            if message.invocation_id is not None:
                await self._send(CompletionMessage(message.invocation_id))
        elif isinstance(message, CloseMessage):
            raise MasterLost(_quote("It closed the connection", message.error))

    def _note(self, call: Call) -> None:
        try:
            self.calls.put_nowait(call)
        except asyncio.QueueFull:
            raise MasterLost(f"It called more than {_MOST_WAITING} times without a pause.") from None

    def bind(self, transport: WebsocketTransport) -> None:
        """Send by this transport from now on."""
        self._transport = transport


class _OneConnection(WebsocketTransport):
    """A transport whose life is one connection, where the library's own would dial again by itself."""

    async def _get_connection(self) -> ClientConnection:
        # The library's own waits by `asyncio.wait_for`, which in Python 3.11 may swallow a cancel.
        if self._ws is None:
            raise MasterLost("The connection was lost.")
        return self._ws

    async def _keepalive(self, conn: ClientConnection) -> None:
        """Do nothing: it would outlive the connection; `_process` takes care of it."""

    async def _handshake(self, conn: ClientConnection) -> None:
        try:
            await super()._handshake(conn)
        except ConnectionClosed as error:
            raise MasterLost("It closed the connection instead of a handshake.") from error
        except BaseException:
            await _end(conn)
            raise

    async def _process(self, conn: ClientConnection) -> None:
        pinging = asyncio.create_task(super()._keepalive(conn), name="master-pings")
        try:
            await super()._process(conn)
        except ConnectionClosed as error:
            raise MasterLost("The connection was lost.") from error
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)
            await _end(conn)


async def _end(conn: ClientConnection) -> None:
    with suppress(TimeoutError, WebSocketException, OSError):
        async with asyncio.timeout(_CLOSE_S):
            await conn.close()
            return
    conn.transport.abort()


@asynccontextmanager
async def connected(url: str, token: str = "") -> AsyncGenerator[tuple[MasterWire, asyncio.Task[None]]]:
    """Connect to a hub inside the block; yields the connection, and a task that ends with it by raising MasterLost.

    Raises:
        MasterLost: Nobody answers there, or nobody who speaks SignalR, or the token is refused.
    """
    wire, opened = MasterWire(), asyncio.Event()

    async def note_open() -> None:
        opened.set()

    transport = _OneConnection(
        url=url,
        protocol=JSONProtocol(),
        callback=wire.take,
        # As headers: the library asks a token factory only after the negotiation.
        headers={"Authorization": f"Bearer {token}"} if token else {},
        retry_count=1,
    )
    transport.on_open(note_open)
    wire.bind(transport)
    running = asyncio.create_task(_run(transport), name="master-connection")
    waiting = asyncio.create_task(opened.wait(), name="master-opening")
    try:
        await asyncio.wait({running, waiting}, timeout=OPEN_S, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        if not opened.is_set():
            raise MasterLost(f"No connection came to be within {OPEN_S:.0f} s.")
        yield wire, running
    finally:
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)


async def _run(transport: WebsocketTransport) -> None:
    try:
        await transport.run()
    except MasterLost:
        raise
    except Exception as error:  # the boundary to the library, and to what strangers send it
        raise MasterLost(explain(error)) from error
    raise MasterLost("The connection was lost.")


def explain(error: Exception) -> str:
    """Return a sentence for what the library raises while it connects or reads."""
    for kind, write in _SENTENCES:
        if isinstance(error, kind):
            return write(error)
    # Not its text, which may be all that a stranger sent.
    return f"It sends what is no SignalR ({type(error).__name__})."


_SENTENCES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[Any], str]], ...] = (
    (
        AuthorizationError,
        lambda _: "It refuses the token; give the right one with --master-token-file or the setting master.token.",
    ),
    (
        RefusedNegotiation,
        lambda error: f"Its negotiation answers with status {error.status}; is this the address of a hub?",
    ),
    (ServerError, lambda error: _quote("It refuses the connection", error.message)),
    (HubError, lambda _: "The connection was lost during its negotiation."),
    (InvalidStatus, lambda error: f"It refuses the WebSocket with status {error.response.status_code}."),
    (aiohttp.ClientResponseError, lambda _: "It answers, but not as a hub does; is this the address of one?"),
    ((aiohttp.ClientError, OSError), lambda error: f"Nobody answers there: {_reason(error)}."),
)
"""The first that fits counts."""


def _reason(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    # asyncio's own text names the address once more, and aiohttp's twice.
    return os.strerror(number) if number and number > 0 else str(error)[:_LONGEST_ECHO] or type(error).__name__


def _as_list(arguments: object) -> Sequence[Any]:
    return cast("list[Any]", arguments) if isinstance(arguments, list) else ()


def _quote(sentence: str, said: object) -> str:
    return f"{sentence}: {str(said)[:_LONGEST_ECHO]}" if said else f"{sentence}."
