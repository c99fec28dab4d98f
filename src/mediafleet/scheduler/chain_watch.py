"""Looks again at chains that wait whenever the fleet has changed: what was decided may not be the best any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.errors import InvalidRequest, StoreUnavailable
from mediafleet.domain.layout import ChainRecord, FleetFacts, SegmentState, lay_out
from mediafleet.scheduler.chains import read_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediafleet.scheduler.facts import FactSource
    from mediafleet.scheduler.planner import Planner
    from mediafleet.store import Store

BACKSTOP_S = 1.0
"""How often it looks where nobody asks; where no chain waits that is one small read."""
APART_S = 0.2
"""Least time between two looks: a whole fleet may register in a moment."""
SETTLE_S = 1.0
"""How long a node that registers waits at most for chains to be decided anew."""
PRUNE_EVERY = 60
"""After so many of these looks, jobs that were cancelled while their chain waited are taken off the list."""

log = structlog.get_logger(__name__)


class ChainWatch:
    """One loop of an instance. Any number of instances may look at once: plans are applied at their job's version."""

    def __init__(
        self, store: Store, planner: Planner, facts: FactSource, *, may_look: Callable[[], bool] = lambda: True
    ) -> None:
        """Take the parts.

        Args:
            may_look: Whether this instance looks without being asked: one in the fleet is enough.
        """
        self._store = store
        self._planner = planner
        self._facts = facts
        self._may_look = may_look
        self._seen: FleetFacts | None = None
        self._wake = asyncio.Event()
        self._looks = 0
        self._one_look = asyncio.Lock()

    def ask(self) -> None:
        """Look soon: executors came or went."""
        self._wake.set()

    async def step(self) -> None:
        """Wait until asked, or for the backstop, and look. Raises StoreUnavailable."""
        try:
            await asyncio.wait_for(self._wake.wait(), BACKSTOP_S)
        except TimeoutError:
            if not self._may_look():
                return
        self._wake.clear()
        await self.look()
        await asyncio.sleep(APART_S)

    async def settle(self) -> None:
        """Decide about some waiting chains before executors that have just come are given work; raises nothing.

        What is left is decided soon after: a node that registers is not kept waiting for thousands of jobs.
        """
        self.ask()
        try:
            if await self._store.read.count_waiting_chains():
                async with asyncio.timeout(SETTLE_S):
                    await self.look()
                    # Whatever has been found, and by whom: the loop may have looked already and not have planned yet.
                    await self._planner.catch_up()
        except TimeoutError:
            log.info("chains are looked at later; there are many of them")
        except StoreUnavailable:
            log.warning("chains are looked at later; the store is away")

    async def look(self) -> None:
        """Have the chains planned again that would be laid out another way by now. Cancelling this is safe.

        Raises:
            StoreUnavailable: Safe to repeat.
        """
        # Most fleets have no chain that waits, and their pools may be very many: those are then not read.
        if not await self._store.read.count_waiting_chains():
            return
        # Who comes while another looks goes by facts that may be newer; where they are not, there is nothing to walk.
        async with self._one_look:
            facts = await self._facts.now()
            self._looks += 1
            is_new, prunes = facts is not self._seen, self._looks % PRUNE_EVERY == 0
            if is_new or prunes:
                await self._walk(facts, prunes=prunes)
            # Only now: a walk that broke off is done again.
            self._seen = facts

    async def _walk(self, facts: FleetFacts, *, prunes: bool) -> None:
        # Very many jobs ask for the same; what is decided for one is known for all.
        known: dict[str, bool] = {}
        cursor = -1
        while cursor:
            cursor, waiting = await self._store.read.waiting_chains(cursor=max(cursor, 0))
            for text in set(waiting.values()) - known.keys():
                known[text] = would_change(text, facts)
            moved = [job for job, text in waiting.items() if known[text]]
            if moved and await self._store.recheck(moved, plan=True):
                self._planner.ask()
            if prunes and waiting:
                await self._store.recheck(list(waiting), plan=False)
            # Other loops have their turn: decisions among very many pools take their time.
            await asyncio.sleep(0)


def would_change(text: str, facts: FleetFacts) -> bool:
    """Tell whether any of the recorded chains would be laid out another way now."""
    try:
        return any(_is_other(record, facts) for record in read_records(text).values())
    except InvalidRequest:
        # An instance of the newer version that wrote it will look.
        return False


def _is_other(record: ChainRecord, facts: FleetFacts) -> bool:
    # When it was recorded is long past: what had begun may have been lost since, and what waited may have begun.
    lost = {one.task: SegmentState.WAITING for one in record.segments if one.state is SegmentState.BEGUN}
    waiting = record.with_states(lost)
    return bool(waiting.waiting) and lay_out(waiting, facts).segments != waiting.segments
