"""What nodes say of themselves beside their work: what they lack, what they can do now, how they are.

None of it is urgent for the tasks that run, so it is queued off the path of results: gathered for a moment, one call
for many, and no more calls a second than the store should spend on it. See docs/decisions/0010.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from mediafleet.domain.errors import CapabilityMissing, InvalidRequest, StoreUnavailable
from mediafleet.domain.frames import JobReject
from mediafleet.domain.health import capability_of
from mediafleet.domain.node import NodeState
from mediafleet.scheduler.admission import check_executors, check_gpu, declared_executors, declared_pools
from mediafleet.scheduler.reaper import breaker_rules
from mediafleet.scheduler.settler import SettleRules
from mediafleet.store.health import MissingReport, NodeChange
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mediafleet.domain.frames import Misc, Outcome
    from mediafleet.ops.settings import SchedulerSettings
    from mediafleet.scheduler.links import LinkTable
    from mediafleet.scheduler.placer import Placer
    from mediafleet.store import Store

DEBOUNCE_S = 0.05
"""How long reports are gathered: well below the wait of a task that was rejected, which must find the executor gone."""
PAUSE_S = 0.1
"""At least so long between two rounds: the limit of the rate."""
MOST_REPORTS = 64
"""Of one call; a larger round takes several."""
MOST_WAITING = 4_096
"""Reports that wait; a node that rejects without end must not fill the memory. Those that are dropped come again."""
LONGEST_REASON = 200

log = structlog.get_logger(__name__)


async def _wait_for_nothing() -> None: ...


class StandingDesk:
    """Writes down what nodes say of themselves, in rounds of its own; one for an instance."""

    def __init__(
        self,
        store: Store,
        links: LinkTable,
        placer: Placer,
        settings: SchedulerSettings,
        *,
        settle: Callable[[], Awaitable[None]] = _wait_for_nothing,
    ) -> None:
        """Take the parts; `settle` is waited for before nodes that have changed are given work."""
        self._settle = settle
        self._store = store
        self._links = links
        self._placer = placer
        self._settings = settings
        # By node and capability, and by node: what is said twice before the next round is written once.
        self._missing: dict[tuple[str, str], MissingReport] = {}
        self._changes: dict[str, NodeChange] = {}
        self._wake = asyncio.Event()

    # --- what is heard -------------------------------------------------------------------------

    def note_refusal(self, node: str, refusal: JobReject | Outcome) -> None:
        """Note that an attempt was refused or failed, if that was for want of something that its node claimed."""
        if isinstance(refusal, JobReject):
            self._note_missing(node, refusal, refusal.missing, refusal.reason)
        elif refusal.error and refusal.error.code == CapabilityMissing.code:
            self._note_missing(node, refusal, refusal.error.detail, refusal.error.message)

    def _note_missing(self, node: str, attempt: JobReject | Outcome, missing: str, reason: str) -> None:
        capability = capability_of(missing)
        if capability and len(self._missing) < MOST_WAITING:
            report = MissingReport(node, attempt.task, attempt.grant, capability, reason[:LONGEST_REASON])
            # By the attempt as well: two executors of one node may lack the same.
            self._missing[capability, attempt.grant] = report
            self._wake.set()

    def note_change(self, node: str, epoch: int, frame: Misc) -> None:
        """Note what a node says anew of its executors or its state; the newest word of each counts.

        Raises:
            InvalidRequest: It cannot be, or is not taken here; its link should be closed with the sentence.
        """
        state, reason = _state_of(frame) if frame.event == "state" else ("", "")
        if frame.executors:
            check_executors(frame.executors)
            check_gpu(frame.executors, is_required=self._settings.require_gpu)
        change = NodeChange(
            node,
            epoch,
            state,
            reason,
            declared_executors(node, frame.executors),
            declared_pools(frame.executors),
            as_text(frame.data["facts"]) if isinstance(frame.data.get("facts"), dict) else "",
        )
        before = self._changes.get(node)
        self._changes[node] = merge(before, change) if before and before.epoch == epoch else change
        self._wake.set()

    # --- what is written -----------------------------------------------------------------------

    async def step(self) -> None:
        """Wait for news, gather for a moment, write. Raises StoreUnavailable; what was not written comes again."""
        await self._wake.wait()
        await asyncio.sleep(DEBOUNCE_S)
        await self.write()
        await asyncio.sleep(PAUSE_S)

    async def write(self) -> None:
        """Write what is known by now. Raises StoreUnavailable."""
        self._wake.clear()
        try:
            await self._write_changes()
            await self._write_missing()
        except BaseException:
            self._wake.set()
            raise

    async def _write_changes(self) -> None:
        if not self._changes:
            return
        try:
            if await self._write_each_change():
                await self._settle()
        finally:
            # Those before one that failed were written.
            self._placer.note_executors()

    async def _write_each_change(self) -> bool:
        """Write what nodes say; tell whether any of it counted."""
        counted = False
        while self._changes:
            node, change = next(iter(self._changes.items()))
            try:
                reshaped = await self._store.reshape(change)
            except StoreUnavailable:
                raise
            except Exception:
                # What cannot be written must not keep the words of all other nodes waiting.
                del self._changes[node]
                raise
            # What came in during the call is newer, and stays.
            if self._changes.get(node) is change:
                del self._changes[node]
            if not reshaped.current:
                continue
            log.info("node changed", node=node, state=reshaped.state, executors=len(change.executors))
            counted = True
        return counted

    async def _write_missing(self) -> None:
        while self._missing:
            keys = list(self._missing)[:MOST_REPORTS]
            # Taken out first: the store away is the only cause to say it again, all else would come again for ever.
            reports = {key: self._missing.pop(key) for key in keys}
            try:
                reply = await self._store.withhold(
                    list(reports.values()),
                    span_ms=self._settings.missing_ms,
                    longest_ms=self._settings.withheld_longest_ms,
                )
            except StoreUnavailable:
                self._missing = reports | self._missing
                raise
            for one in reply.withheld:
                log.warning("executor lacks what it claimed", executor=one.executor, capability=one.capability)
            if reply.withheld:
                # The task may match another pool now, and the executor what others wait for.
                self._placer.note_executors()


def merge(before: NodeChange, change: NodeChange) -> NodeChange:
    """Return what two words of one node come to; pure."""
    keeps = before if not change.executors else change
    says = before if not change.state else change
    return msgspec.structs.replace(
        change,
        facts=change.facts or before.facts,
        state=says.state,
        reason=says.reason,
        executors=keeps.executors,
        pools=keeps.pools,
    )


def settle_rules(settings: SchedulerSettings, desk: StandingDesk) -> SettleRules:
    """Return what frames of nodes are settled by."""
    return SettleRules(
        settings.node_lease_ms, breaker_rules(settings), settings.headroom_percent, on_refusal=desk.note_refusal
    )


def _state_of(frame: Misc) -> tuple[str, str]:
    word = str(frame.data.get("state", ""))
    try:
        state = NodeState(word)
    except ValueError:
        state = None
    reason = str(frame.data.get("reason", ""))[:LONGEST_REASON]
    match state:
        case NodeState.READY:
            return "ready", ""
        case NodeState.DEGRADED:
            return "degraded", reason or "the node says so"
        case _:
            raise InvalidRequest(
                f"A node cannot say that its state is {word[:40]!r} here; it may say ready or degraded."
            )
