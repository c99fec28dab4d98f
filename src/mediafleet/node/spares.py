"""Interpreters that wait for work: a script of a kind is started and has imported its libraries before it is needed.

A spare is a child as any other (limits, no network, a group of its own) that has been told nothing yet. It serves one
task once, so that no file can leave anything behind for the next; another takes its place meanwhile. Where the system permits
it, a prepared interpreter forks it (`nursery.py`); else it is started from nothing, imports and all.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import structlog

from mediafleet.domain.clock import Clock, SystemClock
from mediafleet.domain.errors import TransientFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from mediafleet.node.nursery import Nurseries
    from mediafleet.node.processes import Child

IDLE_S = 600.0
"""A script that nobody needed for so long has no spares until it is needed again."""
REST_S = 0.2
"""How long after a use it is replaced: until then the task has the machine for itself, which for a small file is its end."""

_log = structlog.get_logger(__name__)


@dataclass
class _Shelf:
    waiting: list[Child] = field(default_factory=list["Child"])
    used_s: float = 0.0
    is_short: bool = True
    """Whether it is to be filled. Only a use makes it so: a script that cannot even start is not tried again and again."""


class Spares:
    """The spares of one node. Nothing is started but inside the block; without it every child is started when needed."""

    def __init__(
        self,
        spawn: Callable[[Path], Child],
        release: Callable[[int], None],
        *,
        most: int,
        nurseries: Callable[[Callable[[Child], None]], Nurseries] | None = None,
        clock: Clock | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        """Hold nothing yet.

        Args:
            spawn: Starts a child that waits for its line, in the thread that calls.
            release: Called with the number of a spare that has ended unused.
            most: How many of each script wait at a time; 0 for none.
            nurseries: Makes what forks children, of a function that ends one nobody waits for; none where not given.
            clock: Tells how long a script was not needed.
            idle_s: For how long that may be.
        """
        self._spawn = spawn
        self._release = release
        self._most = most
        self._clock = clock or SystemClock()
        self._idle_s = idle_s
        self._shelves: dict[Path, _Shelf] = {}
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._unready: list[Child] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._nurseries = nurseries(self._dismiss) if nurseries else None
        self._is_closed = True

    async def __aenter__(self) -> Self:
        self._is_closed = self._most == 0
        if not self._is_closed:
            self._keeper = asyncio.create_task(self._keep(), name="spares")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all that wait, and start no more; what was taken goes on."""
        self._is_closed = True
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        for shelf in self._shelves.values():
            self._empty(shelf)
        while self._unready:
            self._dismiss(self._unready.pop())
        if self._nurseries:
            await self._nurseries.close()
        # Once more round the loop: children that were forked last are dismissed by callbacks.
        await asyncio.sleep(0)
        await asyncio.gather(*self._ending)

    @property
    def pids(self) -> list[int]:
        """The numbers of all that wait."""
        return [child.pid for shelf in self._shelves.values() for child in shelf.waiting]

    @property
    def nurseries(self) -> dict[Path, int]:
        """Script → number of the prepared interpreter that forks its children."""
        return self._nurseries.pids if self._nurseries else {}

    def prepare(self, scripts: Iterable[Path]) -> None:
        """Have spares of these scripts started, as if each had been used."""
        if self._is_closed:
            return
        for script in scripts:
            self._note_use(script)

    async def start(self, script: Path, line: bytes, *, own: Callable[[Child], None]) -> Child:
        """Return a child that was told its line: one that waited, or else a new one.

        Args:
            script: Path of the script.
            line: What it is told.
            own: Called with the child before anything is awaited; whoever calls owns it from then on.

        Raises:
            TransientFailure: No child could be started.
        """
        if not self._is_closed:
            self._note_use(script)
        while child := self._take(script):
            own(child)
            with suppress(OSError):
                child.tell(line)
                return child
            # It ended in this moment; the owner clears it away.
        child = await self._make(script)
        own(child)
        await child.connect()
        try:
            child.tell(line)
        except OSError as error:
            raise TransientFailure(f"The script {script.name} could not be told what to do: {error}.") from error
        return child

    async def _make(self, script: Path) -> Child:
        """Return a new child, whose owner is whoever called; a cancel leaves none. Raises TransientFailure."""
        forked = await self._nurseries.fork(script) if self._nurseries and not self._is_closed else None
        return forked or self._spawn(script)

    def _note_use(self, script: Path) -> None:
        shelf = self._shelves.setdefault(script, _Shelf())
        shelf.used_s, shelf.is_short = self._clock.monotonic(), True
        self._changed.set()

    def _take(self, script: Path) -> Child | None:
        shelf = self._shelves.get(script)
        return shelf.waiting.pop(0) if shelf and shelf.waiting else None

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s):
                    await self._changed.wait()
                    await asyncio.sleep(REST_S)
            self._changed.clear()
            for script, shelf in list(self._shelves.items()):
                if self._clock.monotonic() - shelf.used_s >= self._idle_s:
                    self._empty(shelf)
                    if self._nurseries:
                        self._nurseries.retire(script)
                elif shelf.is_short:
                    shelf.is_short = False
                    await self._fill(script, shelf)

    async def _fill(self, script: Path, shelf: _Shelf) -> None:
        # Counted before the first starts: one that ends at once is not replaced at once.
        for _ in range(self._most - len(shelf.waiting)):
            try:
                child = await self._make(script)
            except TransientFailure as error:
                # Whoever needs one is told the same; until then nobody misses it.
                _log.warning("a spare child could not be started", script=script.name, reason=error.message)
                return
            # Nobody may take one whose output is not connected: a cancel here would leave it so.
            self._unready.append(child)
            await child.connect()
            self._unready.remove(child)
            shelf.waiting.append(child)
            child.call_at_end(self._forget)

    def _forget(self, child: Child) -> None:
        """Take one off its shelf that ended unused."""
        for shelf in self._shelves.values():
            if child in shelf.waiting:
                shelf.waiting.remove(child)
                _log.info("a spare child ended by itself", pid=child.pid)
                self._dismiss(child)

    def _empty(self, shelf: _Shelf) -> None:
        while shelf.waiting:
            self._dismiss(shelf.waiting.pop())

    def _dismiss(self, child: Child) -> None:
        # A task of its own, so that no cancel of the keeper can leave it half ended.
        ending = asyncio.create_task(self._end(child), name=f"end spare {child.pid}")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _end(self, child: Child) -> None:
        await child.close()
        self._release(child.pid)
