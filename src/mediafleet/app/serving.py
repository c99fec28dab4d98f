"""One scheduler instance that serves: the parts wired, in the order that they depend on each other."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from mediafleet.app.spans import start_traces
from mediafleet.artifacts.blobs import BlobStore
from mediafleet.artifacts.buckets import Bucket, is_object_address
from mediafleet.console import console_handlers
from mediafleet.domain.cells import cell_names
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES
from mediafleet.doors.http.application import Extras, build_application
from mediafleet.doors.http.presence import Presence
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.push.keeper import build_keeper
from mediafleet.doors.signalr.door import SignalrDoor
from mediafleet.doors.signalr.older_api import older_routes
from mediafleet.doors.signalr.workers import WorkerHub
from mediafleet.kinds import KindRegistry
from mediafleet.ops.auth import TOKEN_FILE_NAME, is_loopback, load_or_make_token, needs_token
from mediafleet.ops.checks import ALL_OBJECTS
from mediafleet.ops.metrics import Metrics
from mediafleet.scheduler.cells import CellBlobs, CellFleet
from mediafleet.scheduler.membership import PRESENCE_TICKS
from mediafleet.scheduler.object_inputs import access_of
from mediafleet.scheduler.service import Resources, Scheduler
from mediafleet.scheduler.shared_root import shared_root
from mediafleet.store import Store
from mediafleet.store.cell_store import CellStore, check_cells
from mediafleet.store.connection import connect
from mediafleet.store.embedded import EmbeddedRedis
from mediafleet.store.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from redis.asyncio import Redis

    from mediafleet.ops.settings import Settings


@dataclass(frozen=True)
class Serving:
    """A scheduler instance that serves."""

    url: str
    token: str
    presence: Presence
    data: Path
    """Its data directory."""
    made_token: str = ""
    """The token, if it was made at this start and nobody can know it yet."""
    has_work: Callable[[], Coroutine[Any, Any, bool]] | None = None
    """Tells whether any job is not final."""


Tell = Callable[[Serving], None]


@asynccontextmanager
async def serving(settings: Settings, *, lingers: bool = False) -> AsyncGenerator[Serving]:
    """Serve as one scheduler instance inside the block.

    Args:
        lingers: It ends by itself when nobody needs it, and may be told so.

    Raises:
        DataDirectoryInUse: Another process runs on the data directory.
        ConfigError: Something is missing, or a port is taken.
        StoreUnavailable: Redis does not answer.
    """
    had_token = bool(settings.server.token) or (settings.data / TOKEN_FILE_NAME).exists()
    settings = complete_settings(settings)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        redis_url = settings.store.redis_url or await _embedded_redis(settings, stack)
        instance = f"i-{os.getpid()}-{secrets.token_hex(4)}"
        # Every log line and span from here on says whose it is.
        structlog.contextvars.bind_contextvars(instance=instance)
        stack.callback(structlog.contextvars.unbind_contextvars, "instance")
        start_traces("mediafleet-scheduler", stack)
        blobs = open_root(settings)
        metrics = Metrics(settings.slow)
        scheduler, store = await _scheduler(instance, settings, _Shared(redis_url, blobs, metrics), stack)
        cell = settings.store.cell
        extras = Extras(
            handlers=[*console_handlers(settings.server), older_routes(cell, settings.signalr)],
            count_answer=metrics.note_answer,
            signalr=SignalrDoor(WorkerHub(scheduler, cell, settings.signalr).hub(), settings.signalr),
        )
        application = build_application(scheduler, settings.server, extras)
        # Before the server, whose end closes all links; these need a moment for it.
        await stack.enter_async_context(build_keeper(settings, instance, store, application.nodes))
        presence = Presence(application.shell)
        server = HttpServer(replace(application, shell=presence), host=settings.server.host, port=settings.server.port)
        await stack.enter_async_context(server)
        # Last: who reads it calls at once, and must find somebody who answers.
        stack.enter_context(fleet_record(settings, server.url, lingers=lingers))
        token = settings.server.token
        yield Serving(
            server.url,
            token,
            presence,
            settings.data,
            made_token="" if had_token else token,
            has_work=partial(_has_work, scheduler),
        )


class _Shared(NamedTuple):
    """What all cells of an instance share."""

    redis_url: str
    blobs: Path | Bucket
    metrics: Metrics


async def _scheduler(
    instance: str, settings: Settings, shared: _Shared, stack: AsyncExitStack
) -> tuple[Scheduler | CellFleet, Store]:
    """Start the scheduler of the fleet's only cell, or those of all its cells; with the store of the first.

    Raises:
        ConfigError: The store, or the artifact root, is not one for this instance.
        StoreUnavailable: Redis does not answer.
    """
    names = cell_names(settings.store.cells, only=settings.store.cell)
    options: dict[str, Any] = {"history": settings.scheduler.event_history, "observe": shared.metrics.note_script}
    keep_ms = settings.scheduler.upload_retention_s * 1000
    staging = settings.data / "staging"
    pairs: list[tuple[Redis, Keys]] = []
    for cell in names:
        # One client a cell: the cells of a cluster are on different servers.
        redis = connect(shared.redis_url, prefix=settings.store.prefix, cell=cell)
        stack.push_async_callback(redis.aclose)
        pairs.append((redis, Keys(settings.store.prefix, cell)))
    if len(names) == 1:
        only = Store(*pairs[0], **options)
        await _check_stores([only])
        resources = Resources(
            only,
            BlobStore(shared.blobs, staging=staging),
            KindRegistry.installed(settings),
            SystemClock(),
            shared.metrics,
        )
        await stack.enter_async_context(_proven_root(instance, settings, resources))
        return await stack.enter_async_context(Scheduler(instance, settings, resources)), only
    stores = [CellStore(*pair, keep_ms=keep_ms, **options) for pair in pairs]
    for store in stores:
        store.meet(stores)
    await _check_stores(stores)
    blobs = CellBlobs(shared.blobs, stores, staging=staging)
    resources = Resources(stores[0], blobs, KindRegistry.installed(settings), SystemClock(), shared.metrics)
    # Every instance serves all cells, so those that meet in the first are all that there are.
    await stack.enter_async_context(_proven_root(instance, settings, resources))
    return await stack.enter_async_context(CellFleet(instance, settings, stores, resources)), stores[0]


def _proven_root(instance: str, settings: Settings, resources: Resources) -> AbstractAsyncContextManager[None]:
    presence_ms = settings.scheduler.reap_ms * PRESENCE_TICKS
    return shared_root(resources.store, resources.blobs, instance, presence_ms=presence_ms)


async def _check_stores(stores: Sequence[Store]) -> None:
    # Before any loop runs: an instance must not write into a cell whose shapes it does not know.
    await check_cells(stores)
    for store in stores:
        await store.check_schema()


def open_root(settings: Settings) -> Path | Bucket:
    """Return where artifacts live. Raises ConfigError."""
    root = settings.artifacts.root
    if is_object_address(root):
        return Bucket(root, access_of(settings.artifacts))
    return Path(root or settings.data / "artifacts")


def complete_settings(settings: Settings) -> Settings:
    """Fill in what depends on the bind address: a token off loopback, free use of files on it."""
    server, artifacts = settings.server, settings.artifacts
    if needs_token(server) and not server.token:
        server = replace(server, token=load_or_make_token(settings.data))
        print(f"The token of this fleet: {server.token}", file=sys.stderr)
        print(
            f"It is kept in {settings.data / 'token'}; give it with --token-file or MEDIAFLEET_TOKEN.", file=sys.stderr
        )
    if is_loopback(server.host):
        artifacts = replace(
            artifacts,
            file_roots=artifacts.file_roots or ("/",),
            object_roots=artifacts.object_roots or ALL_OBJECTS,
        )
    return replace(settings, server=server, artifacts=artifacts)


async def _embedded_redis(settings: Settings, stack: AsyncExitStack) -> str:
    embedded = await stack.enter_async_context(EmbeddedRedis(settings.data, settings.store.durability))
    watcher = asyncio.create_task(embedded.keep_running(), name="embedded-redis")
    stack.callback(watcher.cancel)
    return embedded.url


@contextmanager
def fleet_record(settings: Settings, url: str, *, lingers: bool = False) -> Generator[None]:
    """Tell client commands on this machine where the fleet is; readable by its owner only."""
    path = record_path(settings)
    draft = path.with_suffix(".tmp")
    record = {"url": url, "pid": os.getpid(), "token": settings.server.token, "lingers": lingers}
    # Made with its mode and not changed afterwards, since it holds the token; renamed into place, so that no client
    # reads half of it.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(record))
    draft.replace(path)
    try:
        yield
    finally:
        remove_record(settings)


def remove_record(settings: Settings) -> None:
    """Take back what tells clients where the fleet is; safe to repeat."""
    path = record_path(settings)
    # One that was withdrawn takes a while to end, and on a Redis of its own another fleet may have begun meanwhile.
    with suppress(OSError, ValueError, msgspec.MsgspecError):
        if msgspec.json.decode(path.read_bytes(), type=_Owner).pid == os.getpid():
            path.unlink(missing_ok=True)


class _Owner(msgspec.Struct, frozen=True):
    """Whose a record is."""

    pid: int


def record_path(settings: Settings) -> Path:
    """Return where client commands on this machine look for the fleet."""
    return settings.data / "fleet.json"


async def _has_work(scheduler: Scheduler | CellFleet) -> bool:
    counts: dict[str, int] = (await scheduler.stats())["jobs"]
    return any(count for status, count in counts.items() if status not in FINAL_JOB_STATUSES)
