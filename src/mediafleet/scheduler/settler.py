"""Takes what nodes say and writes it to the store, in batches and in order."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING, TypeVar

import structlog

from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.frames import (
    AttemptRef,
    Heartbeat,
    JobAck,
    JobProgress,
    JobReject,
    JobResults,
    NodeFrame,
    Outcome,
    Progress,
)
from mediafleet.domain.health import BreakerRules, judge_load
from mediafleet.domain.ids import is_id, job_of
from mediafleet.domain.insight import KindTally
from mediafleet.domain.retry import back_off_table
from mediafleet.ops import traces
from mediafleet.scheduler.acks import ResultAcks
from mediafleet.scheduler.batch import Batcher
from mediafleet.scheduler.outcomes import Belongings, are_of_attempt, check_outputs, tidy_error
from mediafleet.scheduler.tasks import decode_outputs
from mediafleet.store.records import FailureRecord, NodeAttempts, NodeReport, ProgressRecord, ResultRecord
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from mediafleet.domain.plan import TaskResult
    from mediafleet.ops.metrics import Metrics
    from mediafleet.scheduler.links import LinkTable
    from mediafleet.scheduler.placer import Placer
    from mediafleet.store import Store

log = structlog.get_logger(__name__)
_logger = logging.getLogger(__name__)

# Waits reach their cap after eight tries; the script takes the last entry for all tries beyond the table.
LONGEST_BACK_OFF_TABLE = 16
REJECT_DELAY_MS = 250
"""Least wait before a rejected task is placed again; where it is rejected again and again the store waits longer."""
BATCH_FRAMES = 256
PIECE_RESULTS = 64
PIECE_FAILURES = 64
PIECE_ATTEMPTS = 128
"""Most of one script call, some milliseconds of the server's time. One node may send thousands in one frame."""
MOST_WAITING_FRAMES = 64
"""Frames of one node that wait for the store. The store may be away for hours."""


@dataclass
class _Tick:
    """What one batch of frames adds up to."""

    acks: list[NodeAttempts] = field(default_factory=list[NodeAttempts])
    results: list[ResultRecord] = field(default_factory=list[ResultRecord])
    made: list[Outcome] = field(default_factory=list[Outcome])
    """Results with outputs, which are not checked yet."""
    failures: list[FailureRecord] = field(default_factory=list[FailureRecord])
    refusals: list[tuple[str, JobReject | Outcome]] = field(default_factory=list[tuple[str, JobReject | Outcome]])
    """Attempts that their nodes refused, or ended without a result."""
    reports: dict[str, NodeReport] = field(default_factory=dict[str, NodeReport])
    progress: dict[str, ProgressRecord] = field(default_factory=dict[str, ProgressRecord])
    settled: dict[str, list[AttemptRef]] = field(default_factory=dict[str, list[AttemptRef]])
    ended: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    """Nodes, with how many of their attempts gave a result, and how many an error."""
    causes: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Of attempts without a result, by grant: their node, and why."""
    began_ns: int = field(default_factory=time_ns, compare=False)
    traced: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    """Outcomes that carry a trace, by grant."""
    verdicts: dict[str, str] = field(default_factory=dict[str, str])
    """What became of those."""
    ran: list[dict[str, KindTally]] = field(default_factory=list[dict[str, KindTally]])


def failure_of(outcome: Outcome, *, draws: tuple[float, ...]) -> FailureRecord:
    """Return what an outcome without a result means to the store; pure."""
    if outcome.cancelled or outcome.error is None:
        # No try is spent: if the store has revoked the attempt this frees its slots, else the task goes elsewhere.
        return FailureRecord(outcome.task, outcome.grant, "stopped")
    if outcome.error.code == "capability-missing":
        return _refused(outcome.task, outcome.grant, outcome.error)
    return FailureRecord(
        task=outcome.task,
        grant=outcome.grant,
        how="failed",
        error=as_text(tidy_error(outcome.error)),
        retryable=outcome.error.retryable,
        delays=back_off_table(draws),
    )


def _refused(task: str, grant: str, why: ErrorInfo) -> FailureRecord:
    return FailureRecord(task, grant, "lost", error=as_text(tidy_error(why)), delay_ms=REJECT_DELAY_MS)


def progress_record(update: Progress) -> ProgressRecord:
    """Return progress as the store takes it; pure."""
    fraction = min(1.0, max(0.0, update.fraction))
    about = {"stage": update.stage, "speed": update.speed}
    return ProgressRecord(
        update.task, update.grant, fraction, update.stage, as_text(about), speed=update.speed, eta_ms=update.eta_ms
    )


def draw_delays() -> tuple[float, ...]:
    """Return random numbers for a table of back-offs."""
    return tuple(random.random() for _ in range(LONGEST_BACK_OFF_TABLE))  # noqa: S311 - jitter, no secret


def unfinished(acks: Iterable[NodeAttempts], done: AbstractSet[str]) -> Iterator[NodeAttempts]:
    """Yield what nodes confirmed, without the attempts of these grants; pure."""
    for ack in acks:
        attempts = tuple(ref for ref in ack.attempts if ref.grant not in done)
        for start in range(0, len(attempts), PIECE_ATTEMPTS):
            yield NodeAttempts(ack.node, ack.epoch, attempts[start : start + PIECE_ATTEMPTS])


Item = TypeVar("Item")


def in_pieces(
    items: Sequence[Item], most: int, *, size: Callable[[Item], int] = lambda _: 1
) -> Iterator[Sequence[Item]]:
    """Yield the items in order, in parts that are no larger than `most` together, or a single item; pure."""
    piece: list[Item] = []
    total = 0
    for item in items:
        if piece and total + size(item) > most:
            yield piece
            piece, total = [], 0
        piece.append(item)
        total += size(item)
    if piece:
        yield piece


Refusals = Callable[[str, JobReject | Outcome], None]


def _ignore(node: str, refusal: JobReject | Outcome) -> None:
    """Do nothing about it."""


@dataclass(frozen=True)
class SettleRules:
    """What a settler goes by."""

    lease_ms: int
    breaker: BreakerRules | None = None
    headroom: int = 0
    """Per cent of a machine that must be free for new work; 0 to look away."""
    on_refusal: Refusals = _ignore
    """Told of each attempt that a node refused, or that ended without a result."""


class Settler:
    """Writes the frames of all nodes, oldest first: acks before results before progress of one tick."""

    def __init__(
        self,
        store: Store,
        links: LinkTable,
        placer: Placer,
        metrics: Metrics,
        *,
        rules: SettleRules,
        on_final: Callable[[], None],
    ) -> None:
        self._store = store
        self._links = links
        self._acks = ResultAcks(links)
        self.ack_step = self._acks.step
        self._placer = placer
        self._metrics = metrics
        self._rules = rules
        self._on_final = on_final
        self._batcher = Batcher[tuple[str, int, NodeFrame | None]](
            self._flush, limit=BATCH_FRAMES, let_go=self._let_go, on_wait=partial(metrics.note_wait, "settle")
        )
        self._waiting = Counter[str]()
        self._progressed = asyncio.Event()
        self.step = self._batcher.step

    def take(self, node: str, epoch: int, frame: NodeFrame) -> None:
        """Note a frame of a node for the next batch."""
        self._waiting[node] += 1
        self._batcher.add((node, epoch, frame))

    def keep(self, node: str, epoch: int) -> None:
        """Note for the next batch that a node is there, though a frame of it has not come as a whole."""
        self._waiting[node] += 1
        self._batcher.add((node, epoch, None))

    async def room(self, node: str) -> None:
        """Wait until the node has few frames waiting; who reads its link stops reading meanwhile. Safe to cancel."""
        while self._waiting[node] >= MOST_WAITING_FRAMES:
            await self._progressed.wait()

    def _let_go(self, frames: Sequence[tuple[str, int, NodeFrame | None]]) -> None:
        self._waiting -= Counter(node for node, _, _ in frames)
        # Those who wait now are woken; those who come later wait for the next batch.
        self._progressed.set()
        self._progressed = asyncio.Event()

    async def _flush(self, frames: Sequence[tuple[str, int, NodeFrame | None]]) -> None:
        with self._metrics.section("settle", frames=len(frames)):
            await self._settle(frames)

    async def _settle(self, frames: Sequence[tuple[str, int, NodeFrame | None]]) -> None:
        tick = _Tick()
        for node, epoch, frame in frames:
            if frame is None:
                tick.reports.setdefault(node, NodeReport(node, epoch))
            elif isinstance(frame, Heartbeat):
                tick.reports[node] = self._node_report(node, epoch, frame)
                if frame.ran:
                    tick.ran.append(frame.ran)
            else:
                _sort(tick, node, epoch, frame)
        # Acks before outcomes, so that a task that took less than a tick has a start. Progress comes last: what has
        # ended in the same tick is not shown as running once more.
        await self._check_outputs(tick)
        await self._commit(tick)
        await self._finish(tick)
        await self._fail(tick)
        await self._report(tick)
        # Only now, when all is written: at this word a node empties its outbox. Outcomes that were stale are confirmed
        # too, or the node would send them for ever.
        for node, attempts in tick.settled.items():
            self._acks.add(node, attempts)
        if tick.results or tick.failures:
            self._on_final()
        # Last, since a batch whose store call failed is flushed again.
        self._count(tick)

    def _count(self, tick: _Tick) -> None:
        for node, done, failed in tick.ended:
            self._metrics.note_outcomes(node, done=done, failed=failed)
        for ran in tick.ran:
            self._metrics.note_runs(ran)
        for grant, outcome in tick.traced.items():
            about = {"job": job_of(outcome.task), "task": outcome.task, "verdict": tick.verdicts.get(grant, "")}
            traces.note_accepted(outcome.traceparent, about, began_ns=tick.began_ns)

    def _node_report(self, node: str, epoch: int, frame: Heartbeat) -> NodeReport:
        linked = self._links.get(node)
        own = linked.headroom if linked else {}
        pressure = judge_load(frame.load, own, headroom=self._rules.headroom)
        return NodeReport(node, epoch, as_text(frame.load), frame.running, pressure.reason, pressure.is_eased)

    async def _commit(self, tick: _Tick) -> None:
        # A result that is taken starts its job by itself; a failure does not, and is rare enough for a write more.
        acks = unfinished(tick.acks, {record.grant for record in tick.results})
        for piece in in_pieces(list(acks), PIECE_ATTEMPTS, size=lambda ack: len(ack.attempts)):
            stops = await self._store.commit(piece)
            self._metrics.reserve_conflicts.labels("refused").inc(len(stops))
            self._links.cancel(stops, "the attempt was given to another node")

    async def _check_outputs(self, tick: _Tick) -> None:
        results = [(outcome, outcome.result) for outcome in tick.made if outcome.result]
        named = {output.id for _, result in results for output in result.outputs if is_id(output.id, "a")}
        known = await self._store.read.artifacts(sorted(named)) if named else {}
        for outcome, result in results:
            belongings = Belongings(frozenset({outcome.grant}))
            if not are_of_attempt(result, known, outcome.grant):
                belongings = Belongings(*await self._store.read.task_belongings(outcome.task))
            checked = check_outputs(result, known, belongings)
            if isinstance(checked, ErrorInfo):
                refused = Outcome(outcome.task, outcome.grant, error=checked)
                tick.causes[outcome.grant] = ("", checked.code)
                tick.failures.append(failure_of(refused, draws=draw_delays()))
            else:
                tick.results.append(_result_record(outcome, checked))

    async def _finish(self, tick: _Tick) -> None:
        # In pieces: what the first one frees is placed while the next one is written.
        for piece in in_pieces(tick.results, PIECE_RESULTS):
            await self._finish_piece(tick, piece)

    async def _finish_piece(self, tick: _Tick, results: Sequence[ResultRecord]) -> None:
        finished = await self._store.finish(results)
        _note_verdicts(tick, [record.grant for record in results], finished.verdicts)
        accepted = finished.verdicts.count("accepted")
        self._metrics.tasks_finished.labels("done").inc(accepted)
        self._metrics.duplicate_results.inc(finished.verdicts.count("duplicate"))
        self._metrics.stale_messages.labels("result").inc(finished.verdicts.count("stale"))
        # Asked once a batch, as in the placer.
        if _logger.isEnabledFor(logging.DEBUG):
            for record, verdict in zip(results, finished.verdicts, strict=True):
                log.debug("result", job=job_of(record.task), task=record.task, grant=record.grant, verdict=verdict)
        self._links.cancel(finished.stops, "another attempt finished first")
        self._placer.ask(finished.queues)
        self._placer.note_freed(finished.freed)

    async def _fail(self, tick: _Tick) -> None:
        for piece in in_pieces(tick.failures, PIECE_FAILURES):
            await self._fail_piece(tick, piece)
        for node, refusal in tick.refusals:
            self._rules.on_refusal(node, refusal)

    async def _fail_piece(self, tick: _Tick, failures: Sequence[FailureRecord]) -> None:
        failed = await self._store.fail(failures, breaker=self._rules.breaker)
        _note_verdicts(tick, [record.grant for record in failures], failed.verdicts)
        self._metrics.note_dead(failed.dead)
        self._metrics.note_breakers(failed.opened)
        for record, verdict in zip(failures, failed.verdicts, strict=True):
            if verdict == "stale":
                self._metrics.stale_messages.labels("outcome").inc()
            else:
                self._metrics.tasks_finished.labels(verdict).inc()
            self._metrics.retries.inc(verdict == "retried")
            self._tell(record, verdict, tick.causes.get(record.grant, ("", record.how)))
        self._placer.ask(failed.queues)
        self._placer.note_freed(failed.freed)

    def _tell(self, record: FailureRecord, verdict: str, cause: tuple[str, str]) -> None:
        node, reason = cause
        log.info(
            "attempt ended without a result",
            job=job_of(record.task),
            task=record.task,
            grant=record.grant,
            node=node,
            reason=reason,
            verdict=verdict,
        )

    async def _report(self, tick: _Tick) -> None:
        for updates in in_pieces(list(tick.progress.values()), PIECE_ATTEMPTS):
            stale = await self._store.report(updates)
            self._metrics.stale_messages.labels("progress").inc(stale)
        # A node that runs nothing costs a read as well.
        for reports in in_pieces(
            list(tick.reports.values()), PIECE_ATTEMPTS, size=lambda report: 1 + len(report.running or ())
        ):
            renewed = await self._store.renew(reports, lease_ms=self._rules.lease_ms)
            # A node is well again; its pool may have faded meanwhile, so that nobody knows it.
            if renewed.freed.pools:
                self._placer.note_executors()
            self._links.cancel(renewed.stops, "the attempt was given to another node")
            for node in renewed.unknown:
                linked = self._links.get(node)
                # The node may have registered on a newer link since; that one is in order and must stay open.
                if linked and linked.epoch == tick.reports[node].epoch:
                    linked.link.close(4409, "the node's lease has ended; register again")


def _sort(tick: _Tick, node: str, epoch: int, frame: NodeFrame) -> None:
    if isinstance(frame, JobAck):
        tick.acks.append(NodeAttempts(node, epoch, frame.attempts))
    elif isinstance(frame, JobResults):
        _sort_outcomes(tick, node, frame.outcomes)
    elif isinstance(frame, JobProgress):
        # By grant: nobody can see more than the latest of a tick, and each write is an event for every watcher.
        tick.progress.update({update.grant: progress_record(update) for update in frame.updates})
    elif isinstance(frame, JobReject):
        tick.causes[frame.grant] = (node, frame.missing or frame.reason)
        tick.failures.append(_refused(frame.task, frame.grant, ErrorInfo("rejected", frame.reason)))
        tick.refusals.append((node, frame))


def _sort_outcomes(tick: _Tick, node: str, outcomes: Sequence[Outcome]) -> None:
    failed = cancelled = 0
    for outcome in outcomes:
        tick.settled.setdefault(node, []).append(AttemptRef(outcome.task, outcome.grant))
        if outcome.traceparent:
            tick.traced[outcome.grant] = outcome
        if outcome.result is None:
            failed += not outcome.cancelled
            cancelled += outcome.cancelled
            tick.causes[outcome.grant] = (node, outcome.error.code if outcome.error else "stopped")
            tick.failures.append(failure_of(outcome, draws=draw_delays()))
            tick.refusals.append((node, outcome))
        elif outcome.result.outputs:
            tick.made.append(outcome)
        else:
            tick.results.append(_result_record(outcome, outcome.result))
    tick.ended.append((node, len(outcomes) - failed - cancelled, failed))


def _note_verdicts(tick: _Tick, grants: Sequence[str], verdicts: Sequence[str]) -> None:
    if tick.traced and traces.is_on():
        tick.verdicts.update(zip(grants, verdicts, strict=True))


def _result_record(outcome: Outcome, result: TaskResult) -> ResultRecord:
    text, outputs = decode_outputs(result)
    return ResultRecord(outcome.task, outcome.grant, text, outputs, outcome.did)


TIMED_OUT = ErrorInfo("timed-out", "The task took longer than its kind allows; it was stopped.", retryable=True)
