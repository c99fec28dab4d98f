"""Carries messages between instances: to the one that has a node's link, through its inbox in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import structlog

from mediafleet.domain.frames import SchedulerFrame, decode_scheduler_frame, encode_frame
from mediafleet.scheduler.batch import Batcher
from mediafleet.store.cell_records import Message
from mediafleet.store.records import PlacedTask

if TYPE_CHECKING:
    from mediafleet.domain.rules import Lead
    from mediafleet.ops.metrics import Metrics
    from mediafleet.scheduler.links import LinkTable
    from mediafleet.scheduler.placer import Placer
    from mediafleet.store import Store
    from mediafleet.store.inbox import Inbox

BATCH = 256
BLOCK_MS = 1_000
"""How long one read of the inbox waits: the longest delay of a shutdown."""

log = structlog.get_logger(__name__)


class Courier:
    """Sends what this instance cannot deliver, and delivers what others sent it; one loop each way."""

    def __init__(self, store: Store, inbox: Inbox, links: LinkTable, placer: Placer, metrics: Metrics) -> None:
        self._store = store
        self._inbox = inbox
        self._links = links
        self._placer = placer
        self._metrics = metrics
        self._batcher = Batcher[Message](self._forward, limit=BATCH)
        self.send_step = self._batcher.step

    def send(self, node: str, frame: SchedulerFrame) -> None:
        """Send a frame to a node that another instance may have a link to."""
        self._batcher.add(Message(node, "frame", encode_frame(frame).decode()))

    async def _forward(self, messages: Sequence[Message]) -> None:
        forwarded = await self._store.forward(messages, instance=self._inbox.instance)
        # A link that closed a moment ago, or a node that came here meanwhile: it is told again when it reports.
        await self._deliver([messages[position - 1] for position in forwarded.mine])
        self._metrics.messages_undelivered.inc(forwarded.dead)

    async def receive_step(self) -> None:
        """Wait for messages and deliver them. Raises StoreUnavailable; what was not acknowledged comes again."""
        received = await self._inbox.read(count=BATCH, block_ms=BLOCK_MS)
        await self._deliver([message for _, message in received])
        await self._inbox.acknowledge([position for position, _ in received])

    async def _deliver(self, messages: Sequence[Message]) -> None:
        assigned: list[PlacedTask] = []
        for message in messages:
            try:
                if message.kind == "assign":
                    assigned.append(msgspec.json.decode(message.body, type=PlacedTask))
                elif not self._links.send(message.node, decode_scheduler_frame(message.body)):
                    log.debug("message not delivered", node=message.node, reason="no link")
            except msgspec.DecodeError as error:
                # An instance of another version wrote it; those behind it must not wait for what nobody here can read.
                self._metrics.messages_undelivered.inc()
                log.warning("message not delivered", node=message.node, reason=str(error))
        if assigned:
            await self._placer.deliver(assigned)

    async def take_over(self, dead: str, lead: Lead) -> None:
        """Carry on with the inbox of an instance that is gone. Raises StoreUnavailable; safe to repeat."""
        done = False
        while not done:
            buried = await self._store.bury(dead, lead)
            self._metrics.messages_undelivered.inc(buried.undelivered)
            if not buried.accepted:
                return
            done = buried.done
        # Not as `instance`: that is who writes the line.
        log.info("took over the inbox of an instance that is gone", gone=dead)
