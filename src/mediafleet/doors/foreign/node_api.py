"""A node's own HTTP API: work that is handed in here, and the master that it works for. docs/reference/node-api.md.

Everything that changes something is done for programs on GET as well only where the older fleet did so (`/set-master`),
and then never for a page of another site.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from litestar import Controller, Litestar, Response, delete, get, post
from litestar.config.app import AppConfig
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter, SkipValidation

from mediafleet.client import FleetClient
from mediafleet.domain.errors import ConfigError, InvalidRequest, Unauthorized
from mediafleet.domain.job import Submission
from mediafleet.domain.push import parse_listen
from mediafleet.doors.foreign.choice import shown
from mediafleet.doors.foreign.worker import ForeignWorker, working_for_masters
from mediafleet.doors.http.context import AnyRequest, check_job_id
from mediafleet.doors.http.problems import PROBLEM_HANDLERS
from mediafleet.doors.http.security import SecurityShell
from mediafleet.doors.http.server import HttpServer
from mediafleet.ops.auth import is_loopback

if TYPE_CHECKING:
    from litestar.datastructures import Headers

    from mediafleet.domain.job import JobView
    from mediafleet.ops.settings import ServerSettings, Settings

T = TypeVar("T")
DEFAULT_API = "127.0.0.1:9000"
MOST_BODY_BYTES = 1024 * 1024
JSON = "application/json"
_OWN_SITES = frozenset({"same-origin", "none"})
"""Of `Sec-Fetch-Site`: a page of this address, or what a person typed."""


@dataclass
class Counter:
    """What the routes work with."""

    client: FleetClient
    worker: ForeignWorker | None = None
    """Set before the server takes requests."""

    @property
    def own(self) -> ForeignWorker:
        """The worker."""
        assert self.worker is not None  # noqa: S101 - see there
        return self.worker


InjectedCounter = NamedDependency[SkipValidation[Counter]]


class MasterWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /set-master`, in place of its query."""

    url: str = ""
    token: str = ""
    """What the master asks for."""


Url = Annotated[str, QueryParameter(description="Address of a hub, https://host/signalrhub")]


class MasterController(Controller):
    """Which master the node works for."""

    path = "/"

    @get("/status")
    async def status(self, counter: InjectedCounter) -> Response[bytes]:
        """Say how things stand."""
        scheduler = counter.client.base_url
        return _answer({"success": True, **counter.own.describe(), "scheduler": scheduler})

    @get("/set-master")
    async def set_by_get(self, request: AnyRequest, counter: InjectedCounter, url: Url) -> Response[bytes]:
        """Work for this master from now on, as the older fleet asks for it."""
        refuse_pages(request.headers)
        return await _set_master(counter, MasterWish(url))

    @post("/set-master", status_code=200)
    async def set(self, request: AnyRequest, counter: InjectedCounter, url: Url = "") -> Response[bytes]:
        """Work for this master from now on."""
        body = await request.body()
        wish = await _read(request, MasterWish) if body else MasterWish()
        return await _set_master(counter, msgspec.structs.replace(wish, url=url or wish.url))

    @post("/disconnect-master", status_code=200)
    async def disconnect(self, counter: InjectedCounter) -> Response[bytes]:
        """Work for no master until one is set; its tasks go on, and their results wait for it."""
        await counter.own.choice.set("")
        return _answer({"success": True, "message": "This node works for no master now."})


class TaskController(Controller):
    """Work that is handed in here."""

    path = "/task"

    @post("", status_code=202)
    async def submit(self, request: AnyRequest, counter: InjectedCounter) -> Response[bytes]:
        """Hand in a job, as the scheduler takes it."""
        return _answer(_describe(await counter.client.submit(await _read(request, Submission)), counter), 202)

    @get("/{task:str}")
    async def look(self, counter: InjectedCounter, task: FromPath[str]) -> Response[bytes]:
        """Say how far a job is."""
        return _answer(_describe(await counter.client.job(check_job_id(task)), counter))

    @post("/{task:str}/stop", status_code=200)
    async def stop(self, counter: InjectedCounter, task: FromPath[str]) -> Response[bytes]:
        """End a job."""
        return _answer(_describe(await counter.client.cancel(check_job_id(task)), counter))

    @delete("/{task:str}", status_code=200)
    async def drop(self, counter: InjectedCounter, task: FromPath[str]) -> Response[bytes]:
        """End a job."""
        return _answer(_describe(await counter.client.cancel(check_job_id(task)), counter))


async def _set_master(counter: Counter, wish: MasterWish) -> Response[bytes]:
    if not wish.url:
        raise InvalidRequest("Name the master, as /set-master?url=https://192.0.2.7/signalrhub.")
    choice = counter.own.choice
    await choice.set(wish.url, wish.token)
    url = shown(choice.url)
    return _answer({"success": True, "message": f"This node works for {url} now.", "master_url": url})


def refuse_pages(headers: Headers) -> None:
    """Return if a request cannot be one that a page of another site made a browser send. Raises Unauthorized.

    For what a GET changes: browsers send one for each picture of a page, with no `Origin`.
    """
    site = headers.get("sec-fetch-site", "")
    from_page = headers.get("origin", "") or headers.get("referer", "")
    is_old_browser = not site and headers.get("user-agent", "").startswith("Mozilla/")
    is_foreign_page = bool(from_page) and _site_of(from_page) != headers.get("host", "").lower()
    if (site and site not in _OWN_SITES) or is_foreign_page or is_old_browser:
        raise Unauthorized("A page may not set the master of this node; use POST, or a program of this machine.")


def _site_of(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return "?"


def _describe(view: JobView, counter: Counter) -> dict[str, Any]:
    base = f"{counter.client.base_url}/api/v1/artifacts/"
    return {
        "success": True,
        "id": view.id,
        "kind": view.kind,
        "status": view.status.value,
        "progress": view.progress,
        "stage": view.stage,
        "error": view.error,
        "warnings": view.warnings,
        "result": view.result,
        "outputs": [{"name": ref.name, "size": ref.size, "url": base + quote(ref.id, safe="")} for ref in view.outputs],
    }


async def _read(request: AnyRequest, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"This is not what the route takes: {error}.") from error


def _answer(document: object, status: int = 200) -> Response[bytes]:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(document), status_code=status, media_type=JSON, headers=headers)


@dataclass(frozen=True)
class _Application:
    """The routes as one ASGI application."""

    shell: SecurityShell

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.shell(scope, receive, send)

    def stop(self) -> None:
        """Nothing here waits for clients."""


def _build(counter: Counter, settings: ServerSettings) -> _Application:
    config = AppConfig(
        route_handlers=[MasterController, TaskController],
        dependencies={"counter": Provide(lambda: counter, sync_to_thread=False, use_cache=True)},
        exception_handlers=PROBLEM_HANDLERS,
        openapi_config=None,
        request_max_body_size=MOST_BODY_BYTES,
        logging_config=None,
        debug=False,
    )
    return _Application(SecurityShell(Litestar.from_config(config), settings))


@asynccontextmanager
async def standing_alone(settings: Settings, scheduler: str, token: str) -> AsyncGenerator[str]:
    """Serve the node's own API, and work for its master, inside the block; yields the API's address.

    Args:
        scheduler: Address of the scheduler that all work is handed to.
        token: Its credential, which this API asks for as well; empty for none.

    Raises:
        ConfigError: The address cannot be listened on, or others can reach it and there is no token to ask them for.
    """
    address = settings.node.api or DEFAULT_API
    host, port = parse_listen(address)
    if not token and not is_loopback(host):
        raise ConfigError(
            f"node.api is {address!r}, which other machines can reach: give this node a token with --token-file or "
            "MEDIAFLEET_TOKEN, or use 127.0.0.1."
        )
    async with FleetClient(scheduler, token) as client:
        counter = Counter(client)
        try:
            server = HttpServer(
                _build(counter, replace(settings.server, host=host, port=port, token=token)),
                host=host,
                port=port,
                option="--api",
            )
        except ConfigError as error:
            raise ConfigError(f"node.api is {address!r}: {error.message}") from error
        async with working_for_masters(settings, client, server.url) as worker:
            counter.worker = worker
            async with server:
                yield server.url
