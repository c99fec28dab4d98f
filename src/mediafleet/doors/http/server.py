"""Runs the application: binds first, serves in this event loop, stops without waiting for watchers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mediafleet.domain.errors import ConfigError
from mediafleet.domain.frames import MAX_FRAME_BYTES
from mediafleet.doors.arrivals import ARRIVALS, Arrivals

BACKLOG = 2048
"""A fleet that restarts sees all its nodes come back at once."""
_CLIENT_FAULTS = (
    # With a stack trace, for a text frame that is none.
    "Invalid UTF-8 sequence",
    # For each WebSocket that was refused with a proper answer before its handshake.
    "ASGI callable returned without completing handshake",
)
STOP_GRACE_S = 3
"""How long requests that run may take to end at shutdown, seconds."""


class Application(Protocol):
    """What a server serves: an ASGI application that can be told to let go of its clients."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, as ASGI asks for."""
        ...

    def stop(self) -> None:
        """End what would else wait for clients to go."""
        ...


@dataclass(frozen=True)
class Bound:
    """A socket that listens already, so that its port is known and nobody else can take it."""

    socket: socket.socket
    host: str
    port: int

    @property
    def url(self) -> str:
        """The address to give to people: one that a browser on this machine can open."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"


def bind(host: str, port: int, *, option: str = "--port") -> Bound:
    """Bind an address; port 0 takes a free one.

    Args:
        host: Name or address of this machine.
        port: 0 to 65535.
        option: By which another address can be chosen, for sentences.

    Raises:
        ConfigError: The port is busy or not allowed, or the host is no address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"server.host is {host!r}, which is no address here: {error.strerror or error}.") from error
    try:
        # Connections of a server that has just ended hold its port for a minute; a restart must not wait for them.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the name of the method says what it means
    except OSError as error:
        listener.close()
        raise ConfigError(_explain_bind(host, port, error, option)) from error
    return Bound(listener, host, listener.getsockname()[1])


def _explain_bind(host: str, port: int, error: OSError, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use, perhaps by another fleet; stop that, or choose another with {option}."
    return f"Cannot listen on {host} port {port}: {error.strerror or error}; choose another with {option}."


@asynccontextmanager
async def serve(application: Application, bound: Bound) -> AsyncGenerator[None]:
    """Serve while the block runs.

    At its end event streams and node links are closed, running requests have a short grace, and the
    socket is closed.
    """
    server = _QuietServer(_configure(application))
    task = asyncio.create_task(server.serve(sockets=[bound.socket]), name="http-server")
    try:
        await _wait_started(server, task)
        yield
    finally:
        application.stop()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            # Shielded, so that a cancel of the caller cuts no answer in two: the server ends them by itself then.
            await asyncio.shield(task)
        bound.socket.close()


class HttpServer:
    """A server as one `async with`: bound when made, serving inside, gone after."""

    def __init__(self, application: Application, *, host: str, port: int, option: str = "--port") -> None:
        self._bound = bind(host, port, option=option)
        self._serving = serve(application, self._bound)

    @property
    def url(self) -> str:
        """Where it can be reached from this machine."""
        return self._bound.url

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""
        return self._bound.port

    async def __aenter__(self) -> Self:
        await self._serving.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._serving.__aexit__(None, None, None)


class _QuietServer(uvicorn.Server):
    """Leaves signals to the process: an embedded server must not decide when it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self):  # noqa: ANN202 - the type is uvicorn's
        """Capture nothing."""
        yield


class _CountingSocket(WebSocketsSansIOProtocol):
    """Counts what comes, for doors that must tell a slow peer from a silent one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arrivals = Arrivals()

    def data_received(self, data: bytes) -> None:
        self._arrivals.bytes += len(data)
        super().data_received(data)

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]  # type: ignore[assignment]
        extensions[ARRIVALS] = self._arrivals
        await super().run_asgi()


async def _wait_started(server: _QuietServer, task: asyncio.Task[None]) -> None:
    # Both are waited for, because a start that fails sets no event.
    started = asyncio.create_task(server.up.wait(), name="http-server-up")
    await asyncio.wait({started, task}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    if task.done():
        task.result()
        raise ConfigError("The server ended before it had started; the log says why.")


def _configure(application: Application) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").addFilter(_is_no_client_fault)
    return uvicorn.Config(
        application,
        http="httptools",
        # Not the plain `websockets` of uvicorn, which is built on an interface that its library has deprecated.
        ws=_CountingSocket,
        loop="none",
        lifespan="on",
        # uvicorn would set up logging for the whole process, which is the command's business.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        ws_max_size=MAX_FRAME_BYTES,
        # The doors find silence by themselves. The answer to a ping would wait behind a large frame on a slow line.
        ws_ping_interval=None,
        # Frames are small and many: each link would keep a compressor in memory, and each frame would wait for it.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=STOP_GRACE_S,
        h11_max_incomplete_event_size=None,
    )


def _is_no_client_fault(record: logging.LogRecord) -> bool:
    """Drop what uvicorn calls an error though only a client did something odd."""
    message = record.getMessage()
    return not any(fault in message for fault in _CLIENT_FAULTS)
