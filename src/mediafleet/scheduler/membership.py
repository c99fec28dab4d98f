"""Membership of the cluster: an instance says that it lives, leads if nobody does, and follows the fleet's rules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mediafleet.domain.rules import FleetRules, InstanceDocument, Lead, Membership
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from mediafleet.store import Store

PRESENCE_TICKS = 6
"""An instance that misses this many ticks counts as gone."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Duties:
    """What a member does for others when it learns something."""

    follow: Callable[[FleetRules], None]
    """Go by these rules from now on."""
    bury: Callable[[str, Lead], Awaitable[None]]
    """Take over what an instance that is gone has left, as its leader. Safe to repeat."""


class Member:
    """One instance's membership. Safe without one leader, or with two that both think so: scripts check the epoch."""

    def __init__(
        self,
        instance: str,
        store: Store,
        duties: Duties,
        *,
        document: InstanceDocument,
        rules: FleetRules,
        every_ms: int,
    ) -> None:
        """Take the parts.

        Args:
            rules: What this instance's settings say; they are in force while it leads.
            every_ms: How often it says that it lives; after `PRESENCE_TICKS` of them without a word it counts as gone.
        """
        self.instance = instance
        self._store = store
        self._duties = duties
        self._document = as_text(document)
        self._rules = rules
        self._every_ms = every_ms
        self._seen = Membership("", 0, -1)

    @property
    def leads(self) -> bool:
        """Whether it was the leader when it last asked; another may have been elected since."""
        return self._seen.leader == self.instance

    async def join(self) -> None:
        """Become a member, and go by the rules that are in force. Raises StoreUnavailable."""
        await self._announce()

    async def step(self) -> None:
        """Say once that the instance lives, do what follows from the answer, and wait. Raises StoreUnavailable."""
        await self._announce()
        if self.leads:
            for dead in await self._store.read.dead_instances():
                await self._duties.bury(dead, Lead(self.instance, self._seen.epoch))
        await asyncio.sleep(self._every_ms / 1000)

    async def leave(self) -> None:
        """End the membership: leadership and presence are free at once. Raises StoreUnavailable."""
        await self._store.retire(self.instance)

    async def _announce(self) -> None:
        found = await self._store.announce(self.instance, doc=self._document, ttl_ms=self._every_ms * PRESENCE_TICKS)
        # By the version as well: a store that went back in time may give the epoch that this instance had, and holds
        # rules of an earlier leader.
        if found.leader == self.instance and found != self._seen:
            found = await self._lead(found)
            log.info("this instance leads", epoch=found.epoch, rules=found.config_version)
        if found.config_version != self._seen.config_version:
            version, rules = await self._store.read.config()
            found = Membership(found.leader, found.epoch, version)
            self._duties.follow(rules)
        self._seen = found

    async def _lead(self, found: Membership) -> Membership:
        # Refused if another was elected since the answer; that one writes its own.
        written = await self._store.configure(Lead(self.instance, found.epoch), self._rules)
        return Membership(found.leader, found.epoch, written.version)
