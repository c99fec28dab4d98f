"""The HTTP server of a node that listens: four routes of a pushed link, behind the same shell as the scheduler's.

Later doors of a node (docs/reference/node-protocol.md) hang their routes in here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from litestar import Controller, Litestar, Response, get, post
from litestar.config.app import AppConfig
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter, SkipValidation

from mediafleet.domain.errors import ConfigError, InvalidRequest
from mediafleet.domain.push import parse_listen
from mediafleet.doors.http.context import AnyRequest
from mediafleet.doors.http.problems import PROBLEM_HANDLERS
from mediafleet.doors.http.security import SecurityShell
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.push.listening import Listener
from mediafleet.doors.push.messages import LINK_ROUTE, LONGEST_WAIT_MS, MOST_BODY_BYTES, Closing, Frames, Opening
from mediafleet.ops.auth import is_loopback

if TYPE_CHECKING:
    from litestar.types import ASGIApp, ControllerRouterHandler

    from mediafleet.ops.settings import ServerSettings

T = TypeVar("T")
InjectedListener = NamedDependency[SkipValidation[Listener]]
JSON = "application/json"


class LinkController(Controller):
    """`/api/v1/link`."""

    path = LINK_ROUTE

    @post("", status_code=200)
    async def open(self, request: AnyRequest, listener: InjectedListener) -> Response[bytes]:
        """Open the node's link; safe to repeat."""
        link = await listener.open(await _read(request, Opening))
        return _answer({"link": link.opening.link})

    @get("/{link:str}/frames")
    async def fetch(
        self,
        link: FromPath[str],
        listener: InjectedListener,
        after: Annotated[int, QueryParameter(ge=0)],
        wait_ms: Annotated[int, QueryParameter(ge=0, le=LONGEST_WAIT_MS)] = 0,
        most: Annotated[int, QueryParameter(ge=0)] = 1,
    ) -> Response[bytes]:
        """Fetch the frames after one that has arrived; the answer waits for the first."""
        return _answer(await listener.link(link).fetch(after=after, wait_s=wait_ms / 1000, most=most))

    @post("/{link:str}/frames", status_code=200)
    async def take(self, request: AnyRequest, link: FromPath[str], listener: InjectedListener) -> Response[bytes]:
        """Bring frames; those that came before are left out."""
        return _answer(await listener.link(link).take(await _read(request, Frames)))

    @post("/{link:str}/close", status_code=200)
    async def close(self, request: AnyRequest, link: FromPath[str], listener: InjectedListener) -> Response[bytes]:
        """Close the link with a code and a reason."""
        listener.link(link).close_by(await _read(request, Closing))
        return _answer({})


async def _read(request: AnyRequest, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"This is not what the route takes: {error}.") from error


def _answer(document: object) -> Response[bytes]:
    return Response(msgspec.json.encode(document), media_type=JSON, headers={"Cache-Control": "no-store"})


@dataclass(frozen=True)
class NodeApplication:
    """A node's routes as one ASGI application."""

    shell: ASGIApp
    listener: Listener

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, as ASGI asks for."""
        await self.shell(scope, receive, send)

    def stop(self) -> None:
        """End what a server would else wait for."""
        self.listener.close_all()


def build_node_application(
    listener: Listener, settings: ServerSettings, handlers: Sequence[ControllerRouterHandler] = ()
) -> NodeApplication:
    """Return the application of a node; token and allowed host names are those of the settings."""
    config = AppConfig(
        route_handlers=[LinkController, *handlers],
        dependencies={"listener": Provide(lambda: listener, sync_to_thread=False, use_cache=True)},
        exception_handlers=PROBLEM_HANDLERS,
        openapi_config=None,
        request_max_body_size=MOST_BODY_BYTES,
        logging_config=None,
        debug=False,
    )
    return NodeApplication(SecurityShell(Litestar.from_config(config), settings), listener)


@asynccontextmanager
async def listening(address: str, settings: ServerSettings) -> AsyncGenerator[tuple[Listener, str]]:
    """Listen inside the block; yields the listener and its URL.

    Raises:
        ConfigError: The address cannot be listened on, or others can reach it and there is no token to ask them for.
    """
    host, port = parse_listen(address)
    if not settings.token and not is_loopback(host):
        raise ConfigError(
            f"node.listen is {address!r}, which other machines can reach: give this node the fleet's token with "
            "--token-file or MEDIAFLEET_TOKEN, or listen on 127.0.0.1."
        )
    listener = Listener()
    application = build_node_application(listener, replace(settings, host=host, port=port))
    try:
        server = HttpServer(application, host=host, port=port)
    except ConfigError as error:
        raise ConfigError(f"node.listen is {address!r}: {error.message}") from error
    async with server:
        yield listener, server.url
