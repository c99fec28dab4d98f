"""The composition root: the only place where the parts are wired, and where processes begin and end."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import msgspec
import structlog
import uvloop

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.artifacts.transfer import ArtifactClient
from mediafleet.console import console_handlers
from mediafleet.domain.addresses import AddressRing
from mediafleet.domain.cells import cell_names
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.health import parse_headroom
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES
from mediafleet.doors.http.application import Extras, build_application
from mediafleet.doors.http.presence import Presence
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.push.keeper import build_keeper
from mediafleet.doors.push.node_api import listening
from mediafleet.kinds import KindRegistry
from mediafleet.node import Farewell, NodeAgent, Surroundings, WebSocketLink
from mediafleet.ops import traces
from mediafleet.ops.auth import TOKEN_FILE_NAME, is_loopback, load_or_make_token, needs_token
from mediafleet.ops.collector import calm_collector
from mediafleet.ops.config import variable_of
from mediafleet.ops.dismissal import DISMISS_WITHIN_S, DISMISSAL
from mediafleet.ops.metrics import Metrics
from mediafleet.scheduler.cells import CellBlobs, CellFleet
from mediafleet.scheduler.membership import PRESENCE_TICKS
from mediafleet.scheduler.service import Resources, Scheduler
from mediafleet.scheduler.shared_root import shared_root
from mediafleet.store import Store
from mediafleet.store.cell_store import CellStore, check_cells
from mediafleet.store.connection import connect
from mediafleet.store.death_signal import end_with_parent
from mediafleet.store.embedded import EmbeddedRedis
from mediafleet.store.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from redis.asyncio import Redis

    from mediafleet.node.link import Dial
    from mediafleet.ops.settings import Settings

RESTART_WAIT_S = 1.0
"""Pause before a node that ended by itself is started again."""
NODE_STOP_S = 15.0
"""How long a node of `up` may take to end before it is killed."""
ABORTED = 130
OWN_MACHINE = {"cpu": 0, "memory": 5, "disk": 1}
"""Per cent that must be free on the machine of `up` for new work; 0: look away."""

log = structlog.get_logger(__name__)


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
"""Called once a scheduler instance serves."""


def run_scheduler(settings: Settings, *, tell: Tell) -> int:
    """Run one scheduler instance until a signal ends it; return the exit code."""
    return uvloop.run(_serve_until(settings, _nothing_more, tell=tell))


def run_up(settings: Settings, *, tell: Tell, nodes: int = 1, linger_s: float | None = None) -> int:
    """Run everything on this machine until a signal, or until its last client has left for `linger_s`.

    Returns:
        The exit code.
    """
    return uvloop.run(_serve_until(settings, partial(_run_nodes, settings, nodes), tell=tell, linger_s=linger_s))


def run_node(settings: Settings) -> int:
    """Run one node until a signal ends it: SIGTERM drains, SIGINT or a second signal aborts; return the exit code."""
    return asyncio.run(_node(settings))


# --- scheduler ---------------------------------------------------------------------------------


@asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[Serving]:
    """Serve as one scheduler instance inside the block.

    Raises:
        DataDirectoryInUse: Another process runs on the data directory.
        ConfigError: Something is missing, or a port is taken.
        StoreUnavailable: Redis does not answer.
    """
    had_token = bool(settings.server.token) or (settings.data / TOKEN_FILE_NAME).exists()
    settings = _complete(settings)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        redis_url = settings.store.redis_url or await _embedded_redis(settings, stack)
        instance = f"i-{os.getpid()}-{secrets.token_hex(4)}"
        # Every log line and span from here on says whose it is.
        structlog.contextvars.bind_contextvars(instance=instance)
        stack.callback(structlog.contextvars.unbind_contextvars, "instance")
        _start_traces("mediafleet-scheduler", stack)
        blobs = Path(settings.artifacts.root or settings.data / "artifacts")
        metrics = Metrics(settings.slow)
        scheduler, store = await _scheduler(instance, settings, _Shared(redis_url, blobs, metrics), stack)
        extras = Extras(handlers=console_handlers(settings.server), count_answer=metrics.note_answer)
        application = build_application(scheduler, settings.server, extras)
        # Before the server, whose end closes all links; these need a moment for it.
        await stack.enter_async_context(build_keeper(settings, instance, store, application.nodes))
        presence = Presence(application.shell)
        server = HttpServer(replace(application, shell=presence), host=settings.server.host, port=settings.server.port)
        await stack.enter_async_context(server)
        # Last: who reads it calls at once, and must find somebody who answers.
        stack.enter_context(_fleet_record(settings, server.url))
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
    blobs: Path
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
    pairs: list[tuple[Redis, Keys]] = []
    for cell in names:
        # One client a cell: the cells of a cluster are on different servers.
        redis = connect(shared.redis_url, prefix=settings.store.prefix, cell=cell)
        stack.push_async_callback(redis.aclose)
        pairs.append((redis, Keys(settings.store.prefix, cell)))
    if len(names) == 1:
        only = Store(*pairs[0], **options)
        await _check_stores([only])
        resources = Resources(only, BlobStore(shared.blobs), KindRegistry.installed(), SystemClock(), shared.metrics)
        await stack.enter_async_context(_proven_root(instance, settings, resources))
        return await stack.enter_async_context(Scheduler(instance, settings, resources)), only
    stores = [CellStore(*pair, keep_ms=keep_ms, **options) for pair in pairs]
    for store in stores:
        store.meet(stores)
    await _check_stores(stores)
    blobs = CellBlobs(shared.blobs, stores)
    resources = Resources(stores[0], blobs, KindRegistry.installed(), SystemClock(), shared.metrics)
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


def _start_traces(service: str, stack: AsyncExitStack) -> None:
    if traces.start(service, os.environ):
        # In a thread, since the last spans may take a while to be sent.
        stack.push_async_callback(asyncio.to_thread, traces.stop)


def _complete(settings: Settings) -> Settings:
    """Fill in what depends on the bind address: a token off loopback, free use of files on it."""
    server, artifacts = settings.server, settings.artifacts
    if needs_token(server) and not server.token:
        server = replace(server, token=load_or_make_token(settings.data))
        print(f"The token of this fleet: {server.token}", file=sys.stderr)
        print(
            f"It is kept in {settings.data / 'token'}; give it with --token-file or MEDIAFLEET_TOKEN.", file=sys.stderr
        )
    if is_loopback(server.host) and not artifacts.file_roots:
        artifacts = replace(artifacts, file_roots=("/",))
    return replace(settings, server=server, artifacts=artifacts)


async def _embedded_redis(settings: Settings, stack: AsyncExitStack) -> str:
    embedded = await stack.enter_async_context(EmbeddedRedis(settings.data, settings.store.durability))
    watcher = asyncio.create_task(embedded.keep_running(), name="embedded-redis")
    stack.callback(watcher.cancel)
    return embedded.url


@contextmanager
def _fleet_record(settings: Settings, url: str) -> Generator[None]:
    """Tell client commands on this machine where the fleet is; readable by its owner only."""
    path = _record_path(settings)
    draft = path.with_suffix(".tmp")
    record = {"url": url, "pid": os.getpid(), "token": settings.server.token}
    # Made with its mode and not changed afterwards, since it holds the token; renamed into place, so that no client
    # reads half of it.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(record))
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _record_path(settings: Settings) -> Path:
    return settings.data / "fleet.json"


async def _serve_until(
    settings: Settings,
    beside: Callable[[Serving, Signals], Coroutine[Any, Any, None]],
    *,
    tell: Tell,
    linger_s: float | None = None,
) -> int:
    signals = Signals()
    async with serving(settings) as instance:
        calm_collector()
        print(f"mediafleet serves at {instance.url}", file=sys.stderr)
        tell(instance)
        endings = [signals.wait_first()]
        if linger_s is not None:
            endings.append(instance.presence.wait_abandoned(linger_s))
            endings.append(_dismissed(settings, instance, signals))
        work = asyncio.create_task(beside(instance, signals), name="beside")
        await _first_of(*endings, _only_if_it_fails(work))
        signals.ending.set()
        await work
    return 0


async def _dismissed(settings: Settings, instance: Serving, signals: Signals) -> None:
    """Return once the command that started this fleet has dismissed it; nothing is waited for then.

    Work that others handed in keeps the fleet: it ends when it is abandoned, as if nobody had dismissed it.
    """
    while True:
        await instance.presence.wait_dismissed(signals.dismissal, DISMISS_WITHIN_S)
        if instance.has_work is None or not await instance.has_work():
            break
    signals.interrupt()
    # Removed before anything ends: this is the answer that the command waits for, and none may join us any more.
    _record_path(settings).unlink(missing_ok=True)


async def _has_work(scheduler: Scheduler | CellFleet) -> bool:
    counts: dict[str, int] = (await scheduler.stats())["jobs"]
    return any(count for status, count in counts.items() if status not in FINAL_JOB_STATUSES)


async def _nothing_more(_: Serving, signals: Signals) -> None:
    await signals.ending.wait()


async def _only_if_it_fails(work: asyncio.Task[None]) -> None:
    # Shielded, because whichever wait ends first cancels the others, and the nodes must be ended in their own way.
    await asyncio.shield(work)


async def _first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when the first has ended, raise what it raised, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


LOOK_AGAIN = signal.SIGUSR2
"""Sent to a node whose machine has changed."""


class Signals:
    """SIGTERM, SIGINT and the dismissal of this process, as events of its loop."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        """The process is on its way out."""
        self._first = asyncio.Event()
        self._second = asyncio.Event()
        self.interrupted = False
        """SIGINT came, or a second signal: do not wait for running work."""
        self.dismissal = asyncio.Event()
        """The command that started this process does not need it any more."""
        loop = asyncio.get_running_loop()
        for sent in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sent, self._note, sent)
        loop.add_signal_handler(DISMISSAL, self.dismissal.set)

    def _note(self, sent: signal.Signals) -> None:
        if sent is signal.SIGINT or self._first.is_set():
            self.interrupt()
        self._first.set()

    def interrupt(self) -> None:
        """Let nothing wait for running work any more."""
        self.interrupted = True
        self._second.set()

    async def wait_first(self) -> None:
        """Wait for the first signal."""
        await self._first.wait()

    async def wait_interrupt(self) -> None:
        """Wait for SIGINT or a second signal."""
        await self._second.wait()


# --- nodes -------------------------------------------------------------------------------------


async def _run_nodes(settings: Settings, count: int, instance: Serving, signals: Signals) -> None:
    """Keep `count` node processes running until the end, then end them: drained on SIGTERM, else at once."""
    async with asyncio.TaskGroup() as group:
        for number in range(1, count + 1):
            group.create_task(_keep_node(settings, number, instance, signals), name=f"node-{number}")


async def _keep_node(settings: Settings, number: int, instance: Serving, signals: Signals) -> None:
    while not signals.ending.is_set():
        process = await _start_node(settings, number, instance)
        try:
            await _first_of(process.wait(), signals.ending.wait())
            if process.returncode is None:
                await _end_node(process, signals)
                return
        finally:
            if process.returncode is None:
                process.kill()
        log.warning("a node ended by itself; it is started again", node=number, exit_code=process.returncode)
        await _first_of(asyncio.sleep(RESTART_WAIT_S), signals.ending.wait())


async def _start_node(settings: Settings, number: int, instance: Serving) -> asyncio.subprocess.Process:
    data = settings.data / f"node-{number}"
    command = ["-P", "-m", "mediafleet.cli", "node", "--scheduler", instance.url, "--data", str(data)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        env=_node_environment(settings, instance.token),
        # A session of its own: Ctrl-C reaches a whole foreground group, and nodes are told by us whether to drain.
        start_new_session=True,
        preexec_fn=end_with_parent(signal.SIGINT),
    )


def _node_environment(settings: Settings, token: str) -> dict[str, str]:
    """Return the environment of a node: it must run with the settings of its parent, from wherever they came."""
    # It is the user's own machine and often the only one: what else he does there must not keep his jobs waiting.
    node = replace(settings.node, headroom=own_headroom(settings.node.headroom))
    values = {
        variable_of(f"{section}.{field.name}"): getattr(component, field.name)
        for section, component in (("node", node), ("log", settings.log))
        for field in fields(component)
        if field.name != "scheduler"
    }
    # It is told where its scheduler is, so it calls; and of several only one could listen there.
    values[variable_of("node.listen")] = ""
    texts = {name: _as_variable(value) for name, value in values.items()}
    return {**os.environ, **texts, "MEDIAFLEET_STORE__CELL": settings.store.cell, "MEDIAFLEET_TOKEN": token}


def own_headroom(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the headroom of a node on the machine of `up`: as given, and little of what is not."""
    return (
        *given,
        *(f"{name}:{percent}" for name, percent in OWN_MACHINE.items() if name not in parse_headroom(given)),
    )


def _as_variable(value: str | int | tuple[str, ...]) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


async def _end_node(process: asyncio.subprocess.Process, signals: Signals) -> None:
    process.send_signal(signal.SIGINT if signals.interrupted else signal.SIGTERM)
    if not signals.interrupted:
        await _first_of(process.wait(), signals.wait_interrupt())
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), NODE_STOP_S)
        except TimeoutError:
            log.warning("a node does not end; it is killed", pid=process.pid)


async def _node(settings: Settings) -> int:
    signals = Signals()
    data, node = settings.data, settings.node
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    ring = AddressRing(node.scheduler)
    async with AsyncExitStack() as stack:
        _start_traces("mediafleet-node", stack)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        dial, move_on = await stack.enter_async_context(_links(settings, ring))
        agent = NodeAgent(
            node,
            data,
            Surroundings(
                kinds=KindRegistry.installed(),
                dial=dial,
                move_on=move_on,
                artifacts=ArtifactClient(session, ring, settings.server.token),
                cell=settings.store.cell,
            ),
        )
        # Models are installed and cards are plugged in while a node runs.
        asyncio.get_running_loop().add_signal_handler(LOOK_AGAIN, agent.look_again)
        teller = asyncio.create_task(_tell(agent, signals), name="signals")
        try:
            farewell = await agent.run()
        finally:
            teller.cancel()
    return 0 if farewell is Farewell.DRAINED else ABORTED


@asynccontextmanager
async def _links(settings: Settings, ring: AddressRing) -> AsyncGenerator[tuple[Dial, Callable[[], None]]]:
    """Yield how a node gets its links, by calling or by being called, and what it does when one was not taken."""
    token = settings.server.token
    if not settings.node.listen:
        yield lambda: WebSocketLink.open(ring.current, token=token), lambda: ring.move_on(ring.current)
        return
    async with listening(settings.node.listen, settings.server) as (listener, url):
        print(f"mediafleet node listens at {url}", file=sys.stderr)
        yield listener.accept, lambda: None


async def _tell(agent: NodeAgent, signals: Signals) -> None:
    await signals.wait_first()
    agent.drain()
    await signals.wait_interrupt()
    agent.abort()


__all__ = ["Serving", "run_node", "run_scheduler", "run_up", "serving"]
