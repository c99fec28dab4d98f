"""Places waiting tasks: level one matches queues to pools here, level two picks executors in the store."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection, Iterable, Sequence
from time import perf_counter, time_ns
from typing import TYPE_CHECKING

import msgspec
import structlog

from mediafleet.domain.cells import grant_prefix
from mediafleet.domain.ids import new_token, node_of
from mediafleet.ops import traces
from mediafleet.scheduler.matching import PoolMatcher
from mediafleet.scheduler.turns import choose_group, in_order
from mediafleet.store.records import FailureRecord, PlaceRequest

if TYPE_CHECKING:
    from mediafleet.domain.rules import FleetRules
    from mediafleet.ops.metrics import Metrics
    from mediafleet.scheduler.links import LinkTable
    from mediafleet.store import Store
    from mediafleet.store.records import Freed, PlacedTask, PlaceRules, QueueSpec, QueueTurn

MAX_QUEUES = 16
"""Most queues that one script call looks at, so that its time stays bounded."""

MOST_GATHERED = 160
"""Most assignments that wait for the next call of the same turn, some milliseconds: then one frame stands for several."""

log = structlog.get_logger(__name__)
_logger = logging.getLogger(__name__)


class Placer:
    """Places the queues that it is told of, in one task of its own; a jittered backstop finds forgotten ones."""

    def __init__(self, store: Store, links: LinkTable, metrics: Metrics, *, batch: int, rules: PlaceRules) -> None:
        self._store = store
        self._links = links
        self._metrics = metrics
        self._batch = batch
        self._rules = rules
        # Two sets: what must be placed now, and what was left over and is tried again when slots become free.
        self._asked: set[str] = set()
        self._waiting: set[str] = set()
        self._freed: set[str] = set()
        self._waiting_version = -1
        self._is_behind = False
        self._wake = asyncio.Event()
        self._queues: dict[str, QueueSpec] = {}
        self._matcher = PoolMatcher()
        # Made and not given yet: most calls place fewer tasks than they might.
        self._grants: list[str] = []
        self._grant_prefix = grant_prefix(store.keys.cell)
        # Placed by the calls of this turn and not sent yet.
        self._outgoing: list[PlacedTask] = []
        # When it was first asked: of the turn that comes, and of the one under way.
        self._asked_s = self._turn_s = 0.0
        self._is_only_swept = False

    def ask(self, queues: Iterable[str]) -> None:
        """Place these queues soon: tasks came in."""
        self._asked.update(queues)
        if self._asked:
            self._wake_up()

    def _wake_up(self) -> None:
        self._is_only_swept = False
        if not self._wake.is_set():
            self._asked_s = perf_counter()
            self._wake.set()

    def note_freed(self, freed: Freed) -> None:
        """Place the queues that wait for slots in these pools."""
        self._freed.update(freed.pools)
        if freed.pools:
            self.ask(self._helped(freed.pools))
        if freed.waiting_version != self._waiting_version:
            self._is_behind = True
            self._wake_up()

    def note_executors(self) -> None:
        """Place all queues that wait: executors came or came back."""
        self._is_behind = True
        self.ask(self._waiting)
        self._wake_up()

    def _helped(self, freed: Collection[str]) -> list[str]:
        # A queue that this instance has not seen is not left out: its spec is read when it is placed.
        return [
            queue
            for queue in self._waiting
            if queue not in self._queues or self._matcher.is_helped(self._queues[queue], freed)
        ]

    async def sweep(self) -> None:
        """Ask for every queue that has waiting tasks, told of or not."""
        self._queues = await self._store.read.queues()
        self._matcher.forget(set(self._queues.values()))
        await self._catch_up(is_sweep=True)

    async def _catch_up(self, *, is_sweep: bool = False) -> None:
        """Learn which queues wait by now; tasks may have come in through other instances."""
        self._waiting_version, waiting = await self._store.read.waiting_queues()
        self._is_behind = False
        self._waiting = set(waiting)
        was_asked = self._wake.is_set()
        self.ask(waiting)
        self._is_only_swept = is_sweep and not was_asked

    async def step(self) -> None:
        """Wait until asked, and place. Raises StoreUnavailable; what was asked for is then asked for again."""
        await self._wake.wait()
        # Cleared before the set is taken: what is asked for from here on wakes the next step.
        self._wake.clear()
        self._turn_s, is_only_swept = self._asked_s, self._is_only_swept
        self._metrics.note_wait("place", perf_counter() - self._turn_s)
        if self._is_behind:
            await self._catch_up()
        queues, self._asked = self._asked, set()
        try:
            placed = await self._place_all(queues)
        # A cancellation as well. To place a queue twice is harmless: what was placed does not wait any more.
        except BaseException:
            self.ask(queues)
            raise
        # Nobody had told of them: a wake-up was lost, with an instance or by a fault of ours.
        self._metrics.backstop_placements.inc(placed if is_only_swept else 0)

    async def _place_all(self, queues: set[str]) -> int:
        # Another instance may have made a queue since the last look; once there, a queue never changes.
        if not queues <= self._queues.keys():
            self._queues = await self._store.read.queues()
        left = {queue: self._queues[queue] for queue in queues if queue in self._queues}
        placed = 0
        try:
            while left and (group := await self._next_group(left)):
                for spec in group:
                    del left[spec.id]
                count, again = await self._place(group)
                placed += count
                left |= {spec.id: spec for spec in again}
                if len(self._outgoing) >= MOST_GATHERED or not again:
                    await self._dispatch()
        finally:
            # What was placed is given, whatever becomes of the calls after it.
            await self._dispatch()
        return placed

    async def _next_group(self, left: dict[str, QueueSpec]) -> list[QueueSpec]:
        """Return the queues of the next call; takes those that nothing waits in off the others."""
        if len(left) <= MAX_QUEUES:
            return in_order(left.values())
        heads = await self._store.read.queue_heads(list(left))
        for queue in left.keys() - heads.keys():
            self._waiting.discard(queue)
            del left[queue]
        return choose_group(list(left.values()), heads, most=MAX_QUEUES)

    async def _place(self, specs: list[QueueSpec]) -> tuple[int, list[QueueSpec]]:
        """Make one call; return how many tasks it placed, and the queues that another call is to look at again."""
        turns, pools = self._matcher.offer(specs, freed=self._freed)
        self._freed.difference_update(pool.id for pool in pools)
        request = PlaceRequest(turns, pools, self._take_grants(), random.random())  # noqa: S311 - a policy, no secret
        with self._metrics.section("place", queues=len(turns), pools=len(pools)):
            placed = await self._store.place(request, self._rules)
            taken = len(placed.assignments) + placed.sent
            # Taken from the front. Those of a call that failed may have been given, and are not used again.
            self._grants = request.grants[taken:]
            waiting = set(placed.waiting)
            self._waiting.difference_update(spec.id for spec in specs)
            self._waiting.update(waiting)
            self._outgoing += placed.assignments
            self._metrics.tasks_placed.inc(taken)
        # The call went by pools that have changed meanwhile, so it is repeated. Otherwise a full batch says that
        # there may be more, a smaller one that the executors are full: tasks then wait until slots are freed.
        if placed.version != self._matcher.version:
            # The first call of an instance knows no pools yet, which is no conflict.
            self._metrics.reserve_conflicts.labels("pools-changed").inc(self._matcher.version >= 0)
            self._matcher.update(*await self._store.read.pool_set())
        elif taken < self._batch:
            self._note_blocked(turns, waiting)
            return taken, []
        return taken, [spec for spec in specs if spec.id in waiting]

    def _note_blocked(self, turns: Sequence[QueueTurn], waiting: Collection[str]) -> None:
        for turn in turns:
            if turn.id in waiting:
                self._metrics.placing_blocked.labels("no-room" if turn.pools else "pool-empty").inc()

    def _take_grants(self) -> list[str]:
        left, self._grants = self._grants, []
        return left + [self._grant_prefix + new_token() for _ in range(self._batch - len(left))]

    async def _dispatch(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing:
            await self.deliver(outgoing)
            self._metrics.dispatch_latency_seconds.observe(perf_counter() - self._turn_s)

    def follow(self, rules: FleetRules) -> None:
        """Place by these rules from now on."""
        self._rules = msgspec.structs.replace(
            self._rules,
            batch_every=rules.batch_every,
            hold_after_ms=rules.hold_after_ms,
            hold_ms=rules.hold_ms,
            tenants=rules.tenants,
        )

    async def deliver(self, assignments: Sequence[PlacedTask]) -> None:
        """Send assignments to nodes of this instance; what finds no link is placed again. Raises StoreUnavailable."""
        began_ns = time_ns() if traces.is_on() else 0
        undelivered = self._links.assign(assignments)
        if began_ns:
            _trace(assignments, undelivered, began_ns)
        # Asked once a batch: a line that is thrown away costs as much as placing its task.
        if _logger.isEnabledFor(logging.DEBUG):
            for task in assignments:
                _tell("task placed", task)
        if undelivered:
            for task in undelivered:
                _tell("assignment not delivered", task, level=logging.INFO, reason="no link")
            self._metrics.attempts_lost.labels("not-delivered").inc(len(undelivered))
            # A node without a link here leaves its pool within a moment; the wait keeps this from spinning.
            failed = await self._store.fail(
                [FailureRecord(task.task, task.grant, "lost", delay_ms=200) for task in undelivered]
            )
            self.ask(failed.queues)
            self.note_freed(failed.freed)


def _tell(event: str, task: PlacedTask, *, level: int = logging.DEBUG, **more: str) -> None:
    about = {"job": task.job, "task": task.task, "attempt": task.attempt, "executor": task.executor}
    log.log(level, event, **about, node=node_of(task.executor), **more)


def _trace(assignments: Iterable[PlacedTask], undelivered: Iterable[PlacedTask], began_ns: int) -> None:
    tasks = [traces.TracedTask(one.task, one.job, one.attempt, one.executor, one.doc) for one in assignments]
    traces.note_placed(tasks, began_ns=began_ns, undelivered=[one.task for one in undelivered])
