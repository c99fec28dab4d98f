"""The node agent: offers this machine to a scheduler, runs what it is given, and loses nothing of it.

It decides nothing about attempts (`mediafleet.node.state` does) and does not wire signals (`mediafleet.app` does).
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import stamina
import structlog

from mediafleet.artifacts.originals import Originals
from mediafleet.domain.clock import Clock, SystemClock
from mediafleet.domain.errors import MediafleetError, SchedulerUnavailable, Unavailable
from mediafleet.domain.frames import PROTOCOL_VERSION, Misc, Register
from mediafleet.domain.ids import DEFAULT_CELL
from mediafleet.domain.node import NodeState
from mediafleet.domain.path_map import PathMap
from mediafleet.node.connection import Connection
from mediafleet.node.containment import contain
from mediafleet.node.context import Persistence
from mediafleet.node.duty import Duty
from mediafleet.node.engines import NodeEngines, open_engines
from mediafleet.node.executors import CapabilityMemory, detect_offer
from mediafleet.node.gauges import Cards, LoadGauges
from mediafleet.node.guard import Guard, choose_guard
from mediafleet.node.identity import Identity, claim_identity
from mediafleet.node.machine import Machine
from mediafleet.node.originals import look_after
from mediafleet.node.outbox import Outbox
from mediafleet.node.processes import Launcher
from mediafleet.node.progress import ProgressBoard
from mediafleet.node.runner import Runner, find_missing
from mediafleet.node.state import AttemptTable
from mediafleet.node.workspace import Workspaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mediafleet.kinds.registry import KindRegistry
    from mediafleet.node.context import ArtifactTransfer
    from mediafleet.node.link import Dial
    from mediafleet.node.spares import Spares
    from mediafleet.ops.settings import EngineSettings, NodeSettings

_DELIVER_S = 10.0
"""How long a drained node waits for its last results to be confirmed; the outbox keeps them anyway."""
_FLUSH_S = 1.0

_log = structlog.get_logger(__name__)


class Farewell(StrEnum):
    """How an agent ended."""

    DRAINED = "drained"
    """All it ran was finished."""
    ABORTED = "aborted"
    """Running work was stopped; the scheduler places it elsewhere."""


@dataclass(frozen=True)
class Surroundings:
    """What an agent needs of the world outside its data directory."""

    kinds: KindRegistry
    dial: Dial
    """Opens a link, for example `partial(WebSocketLink.open, address, token=token)`."""
    artifacts: ArtifactTransfer
    move_on: Callable[[], None] = lambda: None
    """Called when a dialled scheduler did not take the node: another may be dialled next."""
    clock: Clock = field(default_factory=SystemClock)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Where children get PATH, HOME and LANG from."""
    make_guard: Callable[[], Guard] = choose_guard
    cell: str = DEFAULT_CELL
    engines: EngineSettings | None = None
    """Where speech engines are; None for a node without any."""


class Place(NamedTuple):
    """What an agent works in, once its data directory is its own."""

    identity: Identity
    machine: Machine
    workspaces: Workspaces
    launcher: Launcher
    engines: NodeEngines


class NodeAgent:
    """One agent on one data directory; runs once. Start it in the main thread: Linux ties its children to that."""

    def __init__(self, settings: NodeSettings, data: Path, surroundings: Surroundings) -> None:
        self._settings = settings
        self._data = data
        self._around = surroundings
        self._host = settings.name or socket.gethostname()
        self._told = asyncio.Event()
        self._look = asyncio.Event()
        self._is_draining = False
        self._is_aborting = False
        self._has_registered = False
        self._failure: BaseException | None = None
        self._duty: Duty | None = None

    def drain(self) -> None:
        """Take nothing new, finish and deliver what runs, and end; safe to call from a signal handler of the loop."""
        self._is_draining = True
        self._note_change()

    def abort(self) -> None:
        """Stop what runs, clean up, and end."""
        self._is_aborting = True
        self._note_change()

    def look_again(self) -> None:
        """Find out anew what this machine can do, and tell the scheduler if that has changed; work goes on."""
        self._look.set()

    def _note_change(self) -> None:
        self._told.set()
        if self._duty:
            self._duty.note_change()

    async def run(self) -> Farewell:
        """Work until told to end. Cancelling it is an abort.

        Raises:
            DataDirectoryInUse: Another agent runs on the data directory.
            ConfigError: Children must have no network, and this system cannot take it away.
            Unauthorized, ConfigError: The scheduler refused the node before it was ever registered.
        """
        # The guard is closed before the lock is given back: a next
        # agent on the directory must find no child of this one.
        with (
            claim_identity(self._data, cell=self._around.cell, host=self._host) as identity,
            closing(self._around.make_guard()) as guard,
            closing(await asyncio.to_thread(contain, self._settings)) as containment,
        ):
            # Every log line and span from here on says whose it is.
            structlog.contextvars.bind_contextvars(node=identity.node)
            workspaces = Workspaces(self._data / "work")
            # Only with the lock held can nobody else be at work in these folders.
            workspaces.sweep()
            launcher = Launcher(
                guard,
                environment=self._around.environment,
                grace_s=self._settings.stop_grace_ms / 1000,
                containment=containment,
                spares=self._settings.spare_children,
            )
            # A driver may take seconds to answer.
            cards = await asyncio.to_thread(Cards)
            with LoadGauges(self._data, cards) as gauges:
                async with launcher.spares, open_engines(self._around.engines, launcher) as engines:
                    look = partial(
                        detect_offer,
                        self._around.kinds,
                        workspaces=workspaces,
                        launcher=launcher,
                        memory=CapabilityMemory(self._data / "capabilities.json"),
                        engines=engines,
                    )
                    place = Place(
                        identity, Machine(self._settings, gauges, cards.names, look), workspaces, launcher, engines
                    )
                    return await self._look_first(place)

    async def _look_first(self, place: Place) -> Farewell:
        machine = place.machine
        # Detection may take minutes on a slow machine, and the loops that look at `drain` and `abort` do not run yet.
        looking = asyncio.create_task(machine.look(), name="detect")
        told = asyncio.create_task(self._told.wait(), name="told")
        try:
            patience_s = self._settings.warmup_after_ms / 1000
            await asyncio.wait([looking, told], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if told.done() and not looking.done():
                return Farewell.ABORTED if self._is_aborting else Farewell.DRAINED
            await machine.wait_for_load()
            return await self._work(place, looking)
        finally:
            for task in (looking, told):
                task.cancel()
            await asyncio.wait([looking, told])

    async def _work(self, place: Place, looking: asyncio.Task[None]) -> Farewell:
        machine, launcher = place.machine, place.launcher
        table = AttemptTable(machine.executors, find_missing=partial(find_missing, self._around.kinds))
        outbox = Outbox(self._data / "outbox")
        table.restore(outbox.load())
        originals = Originals(
            self._settings.replace_roots,
            self._data / "originals",
            paths=PathMap(self._settings.paths),
            clock=self._around.clock,
        )
        runner = Runner(
            self._around.kinds,
            place.workspaces,
            launcher,
            self._around.artifacts,
            self._persistence(),
            ProgressBoard(),
            originals,
            place.engines,
        )
        introduce = partial(self._introduce, place.identity, machine, table)
        launcher.spares.prepare(script for kind in self._around.kinds for script in kind.scripts)
        async with Duty(table, outbox=outbox, runner=runner, clock=self._around.clock, load=machine.load) as duty:
            self._duty = duty
            # Tasks of their own, because running work and a drain go on while no scheduler answers.
            helpers = [
                asyncio.create_task(self._stay_linked(duty, introduce), name="link"),
                asyncio.create_task(self._follow_machine(duty, machine, looking), name="machine"),
                asyncio.create_task(look_after(originals), name="originals"),
            ]
            for helper in helpers:
                helper.add_done_callback(self._note_failure)
            try:
                return await self._until_told(duty, launcher.spares)
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.wait(helpers)

    async def _follow_machine(self, duty: Duty, machine: Machine, looking: asyncio.Task[None]) -> None:
        """Tell what this machine can do once that is known, and again whenever it turns out to be something else."""
        if not looking.done():
            await looking
            duty.table.offer(machine.executors)
            # Where there is no link yet, the registration says it.
            duty.post(machine.announcement("state"))
        while True:
            await self._look.wait()
            self._look.clear()
            before = machine.executors
            await machine.look()
            _log.info("looked again at what this machine can do", changed=machine.executors != before)
            if machine.executors != before:
                duty.table.offer(machine.executors)
                duty.post(machine.announcement("executors"))

    def _note_failure(self, linking: asyncio.Task[None]) -> None:
        if not linking.cancelled() and (error := linking.exception()):
            # Raised by `_until_told`, inside the block whose end stops
            # all work; a task that fails by itself tells nobody.
            self._failure = error
            self.abort()

    def _persistence(self) -> Persistence:
        return Persistence(self._settings.reconnect_min_ms / 1000, self._settings.reconnect_max_ms / 1000)

    def _introduce(self, identity: Identity, machine: Machine, table: AttemptTable) -> Register:
        return Register(
            protocol=PROTOCOL_VERSION,
            node=identity.node,
            incarnation=identity.incarnation,
            host=self._host,
            version=version("mediafleet"),
            executors=machine.executors,
            running=table.running,
            holding=table.holding,
            draining=table.is_draining,
            facts=machine.facts,
            state="" if machine.is_warm else NodeState.WARMUP,
            load=machine.load(),
            headroom=machine.headroom,
        )

    # --- the end ---

    async def _until_told(self, duty: Duty, spares: Spares) -> Farewell:
        await duty.until(lambda: self._is_draining or self._is_aborting)
        if not self._is_aborting:
            await self._finish_work(duty, spares)
        if self._failure:
            raise self._failure
        # Told by what is left and not by what was asked: a drain that ran out of time has not finished its work.
        is_finished = not duty.table.running
        if not is_finished:
            duty.apply(duty.table.abort())
            await duty.until(lambda: not duty.table.running, seconds=self._settings.stop_grace_ms / 1000 + _DELIVER_S)
        # Ends the lease at once. Without it the scheduler would wait for the lease before it places the work elsewhere.
        duty.post(Misc("goodbye"))
        # A scheduler that does not read must not keep the process from ending.
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await duty.flush()
        return Farewell.DRAINED if is_finished else Farewell.ABORTED

    async def _finish_work(self, duty: Duty, spares: Spares) -> None:
        table = duty.table
        # First here, then told: an assignment that is on its way already is refused and goes elsewhere.
        table.leave()
        duty.post(Misc("draining"))
        if table.running:
            # Which may take hours; the few children that it still needs are started when they are needed.
            await spares.close()
        await duty.until(lambda: self._is_aborting or not table.running, seconds=self._settings.drain_s)
        if not table.running:
            # Without a link the results may have to wait for the next start, which the outbox is there for.
            await duty.until(lambda: self._is_aborting or not table.holding, seconds=_DELIVER_S)

    # --- the link ---

    async def _stay_linked(self, duty: Duty, introduce: Callable[[], Register]) -> None:
        """Link again and again, for ever; work goes on meanwhile.

        Raises:
            MediafleetError: The very first link was refused. Nothing was ever given to this node, so ending
                with the sentence helps more than trying on.
        """
        while True:
            connection = await self._link(introduce)
            # From here on work may run, and it is worth waiting until
            # somebody corrects what makes the scheduler refuse.
            self._has_registered = True
            _log.info("linked", scheduler=self._settings.scheduler, node=connection.registered.node)
            await self._serve(duty, connection)

    async def _link(self, introduce: Callable[[], Register]) -> Connection:
        async for attempt in stamina.retry_context(
            on=self._is_worth_retrying,
            attempts=None,
            timeout=None,
            wait_initial=self._settings.reconnect_min_ms / 1000,
            wait_max=self._settings.reconnect_max_ms / 1000,
            # A whole fleet loses a restarted scheduler in the same moment and must not come back in the same one.
            wait_jitter=self._settings.reconnect_min_ms / 1000,
        ):
            with attempt:
                return await self._try_link(introduce)
        raise AssertionError("unreachable: tried for ever")  # pragma: no cover

    async def _try_link(self, introduce: Callable[[], Register]) -> Connection:
        try:
            return await Connection.register(await self._around.dial(), introduce())
        except MediafleetError:
            # Also where it answered and could not take the node: its store may be away, and another's may not.
            self._around.move_on()
            raise

    def _is_worth_retrying(self, error: Exception) -> bool:
        return isinstance(error, Unavailable) or (self._has_registered and isinstance(error, MediafleetError))

    async def _serve(self, duty: Duty, connection: Connection) -> None:
        duty.link(connection)
        pause_ms = self._settings.reconnect_min_ms
        try:
            await connection.serve(handle=duty.handle, beat=duty.beat, board=duty.board)
        # Expected whenever a scheduler is restarted, so it is no error of this node.
        except SchedulerUnavailable as error:
            _log.warning("link lost; running work goes on", reason=error.message)
        except MediafleetError as error:
            # A refusal will not pass by itself soon: the longest pause keeps two rivals from fighting.
            _log.error("link refused; running work goes on", reason=error.message)
            pause_ms = self._settings.reconnect_max_ms
        finally:
            duty.unlink()
        await asyncio.sleep(pause_ms / 1000 * random.uniform(0.5, 1.5))  # noqa: S311 - jitter needs no secrecy
