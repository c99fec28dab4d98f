"""Tells nodes which of their results were recorded, those of a moment in one frame.

A node needs the word only to empty its outbox, so it may come late: at full load one frame then stands for many results.
A word that is lost costs nothing either, since a node names what it holds when it registers again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mediafleet.domain.frames import AttemptRef, JobResultAck

if TYPE_CHECKING:
    from mediafleet.scheduler.links import LinkTable

GATHER_S = 0.1


class ResultAcks:
    """Results that were recorded, or will never be wanted, and whose nodes do not know it yet."""

    def __init__(self, links: LinkTable) -> None:
        self._links = links
        self._settled: defaultdict[str, list[AttemptRef]] = defaultdict(list)
        self._wake = asyncio.Event()

    def add(self, node: str, attempts: Iterable[AttemptRef]) -> None:
        """Tell the node soon. Only what is written may be given: at this word the node forgets it."""
        self._settled[node].extend(attempts)
        self._wake.set()

    async def step(self) -> None:
        """Wait for results, gather those of a moment, and tell their nodes. Safe to cancel: they are told later."""
        await self._wake.wait()
        await asyncio.sleep(GATHER_S)
        self._wake.clear()
        settled, self._settled = self._settled, defaultdict(list)
        for node, attempts in settled.items():
            self._links.send(node, JobResultAck(tuple(attempts)))
