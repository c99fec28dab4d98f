"""Puts the HTTP and WebSocket doors together into one ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from litestar import Litestar, Router
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ASGIApp, ControllerRouterHandler

import mediafleet
from mediafleet.doors.http.answers import AnswerCounter, CountAnswer
from mediafleet.doors.http.artifacts import ArtifactsController
from mediafleet.doors.http.batches import BatchesController
from mediafleet.doors.http.bodies import StrictRequest, require_json
from mediafleet.doors.http.catalogue import CatalogueController
from mediafleet.doors.http.dead import DeadLettersController
from mediafleet.doors.http.events import EventsController
from mediafleet.doors.http.jobs import JobsController
from mediafleet.doors.http.nodes import NodesController
from mediafleet.doors.http.overview import HealthController, OverviewController
from mediafleet.doors.http.problems import PROBLEM_HANDLERS
from mediafleet.doors.http.reviews import ReviewsController
from mediafleet.doors.http.security import SecurityShell
from mediafleet.doors.http.sse import StreamEnd
from mediafleet.doors.http.why import WhyController
from mediafleet.doors.signalr.access import HubAccess
from mediafleet.doors.signalr.door import SignalrDoor
from mediafleet.doors.websocket.node import NodeDoor
from mediafleet.ops.settings import ServerSettings
from mediafleet.scheduler.facade import Fleet

MOST_JSON_BYTES = 16 * 1024 * 1024
"""Largest body of a route that takes JSON: 10,000 submissions of 1.6 KiB each."""


@dataclass(frozen=True)
class Extras:
    """What a server may be given beyond fleet and settings."""

    handlers: Sequence[ControllerRouterHandler] = ()
    """Further routes: the console, doors for older fleets."""
    count_answer: CountAnswer | None = None
    """Told of each answer of an HTTP route: its pattern, method and status."""
    signalr: SignalrDoor | None = None
    """The hub for workers and programs that speak SignalR."""
    end: StreamEnd = field(default_factory=lambda: StreamEnd(asyncio.Event()))
    """When event streams end; `HttpServer` sets it at shutdown."""


@dataclass(frozen=True)
class Application:
    """The whole of the doors as one ASGI application, with what a server needs to end it well."""

    shell: ASGIApp
    end: StreamEnd
    nodes: NodeDoor
    signalr: SignalrDoor | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, as ASGI asks for."""
        await self.shell(scope, receive, send)

    def stop(self) -> None:
        """End event streams, node links and hub connections, so that a server need not wait for their clients."""
        self.end.stopping.set()
        self.nodes.close_all()
        if self.signalr:
            self.signalr.stop()


def build_application(fleet: Fleet, settings: ServerSettings, extras: Extras | None = None) -> Application:
    """Return the application: every route and socket behind the security shell.

    Args:
        fleet: The scheduler that the doors speak for.
        settings: Token and allowed host names are enforced here; binding is `HttpServer`'s.
        extras: Further routes, and what tests replace.
    """
    extras = extras or Extras()
    nodes = NodeDoor(fleet)
    litestar = Litestar.from_config(_configure(fleet, extras, nodes))
    shell: ASGIApp = AnswerCounter(SecurityShell(litestar, settings), extras.count_answer)
    if extras.signalr:
        shell = cast("ASGIApp", HubAccess(shell, settings, extras.signalr.settings))
    return Application(shell, extras.end, nodes, extras.signalr)


def _configure(fleet: Fleet, extras: Extras, nodes: NodeDoor) -> AppConfig:
    def provide(value: Any) -> Provide:
        # Left open, `sync_to_thread` is a warning; true, each request would pay a thread for a constant.
        return Provide(lambda: value, sync_to_thread=False, use_cache=True)

    return AppConfig(
        route_handlers=[
            *_api_handlers(),
            nodes.handler(),
            *(extras.signalr.handlers() if extras.signalr else ()),
            *extras.handlers,
        ],
        on_shutdown=[extras.signalr.end] if extras.signalr else [],
        dependencies={
            "fleet": provide(fleet),
            "end": provide(extras.end),
        },
        exception_handlers=PROBLEM_HANDLERS,
        openapi_config=_openapi(),
        request_max_body_size=MOST_JSON_BYTES,
        request_class=StrictRequest,
        # Left to itself, the framework would hang its own handlers into the process's logging.
        logging_config=None,
        debug=False,
    )


def _api_handlers() -> list[ControllerRouterHandler]:
    jobs = (
        JobsController,
        ReviewsController,
        BatchesController,
        DeadLettersController,
        EventsController,
        WhyController,
    )
    controllers = (*jobs, ArtifactsController, NodesController, OverviewController, CatalogueController)
    # One router for all of them: its guard sees every JSON body of the API and none of the console's forms.
    return [Router(path="", route_handlers=[*controllers, HealthController], guards=[require_json])]


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="mediafleet",
        version=mediafleet.__version__,
        summary="One fleet for all media work.",
        path="/schema",
        openapi_router=Router(
            path="/schema", route_handlers=[], include_in_schema=False, dto=None, return_dto=None, guards=[_refuse_page]
        ),
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        use_handler_docstrings=True,
    )


def _refuse_page(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    # The framework adds a page of its own for every other address below /schema, and has no switch for it; only
    # that route has a `path`.
    if "path" in connection.path_params:
        raise NotFoundException
