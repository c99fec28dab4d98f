"""Asks kinds what comes next for the jobs whose tasks became final."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from mediafleet.domain.capability import kind_capability
from mediafleet.domain.errors import ErrorInfo, MediafleetError, StoreUnavailable
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES
from mediafleet.domain.plan import Expand, Fail, Step, Wait
from mediafleet.ops.metrics import Metrics
from mediafleet.scheduler.chains import by_module, end_chains, expand_chains, read_records
from mediafleet.scheduler.facts import FactSource
from mediafleet.scheduler.outcomes import WITHDRAWN
from mediafleet.scheduler.tasks import expand_pieces, outcome_piece
from mediafleet.scheduler.unoffered import ask_for_preferred, explain_unoffered
from mediafleet.store.scripts import as_text

if TYPE_CHECKING:
    from mediafleet.domain.room import Room
    from mediafleet.kinds import Kind, KindRegistry
    from mediafleet.scheduler.links import LinkTable
    from mediafleet.scheduler.placer import Placer
    from mediafleet.store import Store
    from mediafleet.store.records import CancelPiece, ExpandPiece
    from mediafleet.store.views import PlanState

BATCH = 64
ASIDE_S = 1.0
"""How often it looks for jobs that an instance without their kind has set aside; where there is none one small read."""
MOST_ASIDE = 10_000

log = structlog.get_logger(__name__)


class Planner:
    """Works off the store's `dirty` jobs, in one task of its own."""

    def __init__(
        self,
        store: Store,
        kinds: KindRegistry,
        placer: Placer,
        links: LinkTable,
        *,
        facts: FactSource | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._facts = facts or FactSource(store)
        self._kinds = kinds
        self._placer = placer
        self._links = links
        self._metrics = metrics or Metrics()
        self._wake = asyncio.Event()
        self._beyond: set[str] = set()
        """Jobs that were set aside and cannot be planned here either."""
        self._seen_aside: set[str] = set()
        self._aside_from = 0

    def ask(self) -> None:
        """Look at the dirty jobs soon."""
        self._wake.set()

    async def step(self) -> None:
        """Wait until asked, and work off all dirty jobs. Raises StoreUnavailable; the jobs stay dirty."""
        await self._wake.wait()
        # First, so that a question that comes during the last look is not lost.
        self._wake.clear()
        try:
            while await self.catch_up():
                pass
        except BaseException:
            self._wake.set()
            raise

    async def catch_up(self) -> bool:
        """Work off some dirty jobs, those that wait longest; tell whether there were any. Raises StoreUnavailable."""
        jobs = await self._store.read.dirty_jobs(BATCH)
        for job in jobs:
            with self._metrics.section("plan", job=job):
                await self._plan(job)
        return bool(jobs)

    async def _plan(self, job_id: str) -> None:
        state = await self._store.read.plan_state(job_id)
        # A job may close without its plan (docs/decisions/0003), and a cancellation may be interrupted: then tasks are
        # open that nobody wants.
        if state is None or state.status in FINAL_JOB_STATUSES:
            await self.sweep(job_id)
            return
        if not self._kinds.can_plan(state.job.kind, state.job.kind_version):
            await self._leave(state)
            return
        for piece in await self._pieces(state):
            expanded = await self._store.expand(msgspec.structs.replace(piece, people=state.people))
            self._placer.ask(expanded.queues)
            if not expanded.applied:
                return  # The job moved on meanwhile; it is still dirty and comes again.
            if piece.outcome and state.open:
                await self.sweep(job_id)

    async def aside_step(self) -> None:
        """Plan what other instances cannot, and wait. Raises StoreUnavailable."""
        await self.take_up()
        await asyncio.sleep(ASIDE_S)

    async def take_up(self) -> None:
        """Plan jobs that an instance without their kind has set aside. Raises StoreUnavailable."""
        # In pages, so that those behind many that nobody can plan are looked at as well; from the first again at the end.
        aside = await self._store.read.jobs_aside(MOST_ASIDE, offset=self._aside_from)
        self._seen_aside.update(aside)
        # What is installed here does not change: each is looked at once.
        for job in aside:
            if job not in self._beyond:
                await self._plan(job)
        self._aside_from += MOST_ASIDE
        if len(aside) < MOST_ASIDE:
            self._beyond &= self._seen_aside
            self._seen_aside, self._aside_from = set(), 0

    async def _leave(self, state: PlanState) -> None:
        job = state.job
        self._beyond.add(job.id)
        # Nothing may be lost for a package that is missing: the job waits for an instance that has it.
        if not await self._store.defer(job.id, state.version):
            return
        self._metrics.note_plan_left(job.kind)
        needs = await self._store.read.kind_aside(job.id)
        about = {"job": job.id, "kind": job.kind, "version": job.kind_version}
        if needs and not needs.having:
            log.warning("no living instance has the kind of a job, so it waits", **about)
        else:
            log.info("left a job to an instance that has its kind", **about)

    async def _pieces(self, state: PlanState) -> list[ExpandPiece]:
        try:
            kind = self._kinds.get(state.job.kind)
            room = await self._room(kind, state)
            step = self._ask_kind(state, room)
            if isinstance(step, Expand) and step.chains:
                return expand_chains(state, step, kind, await self._facts.now())
            if not isinstance(step, Expand):
                return [end_chains(outcome_piece(state.job, state.version, step), state)]
            step = await self._ask_for_preferred(kind, state, step)
            if sentence := await self._find_unoffered(kind, state, step):
                step = Fail(ErrorInfo("capability-missing", sentence))
                return [end_chains(outcome_piece(state.job, state.version, step), state)]
            known = state.names - set(step.drop)
            return expand_pieces(state.job, state.version, step, kind, known=known, weighed=room is not None)
        except StoreUnavailable:
            raise
        except Exception as fault:  # noqa: BLE001 - plug-in boundary: what a kind returned may be anything
            error = fault if isinstance(fault, MediafleetError) else _unfit(state.job.kind, fault)
            log.warning("plan failed", job=state.job.id, kind=state.job.kind, reason=error.message)
            # To raise would leave the job dirty: it would be planned in vain for ever, and hold up those behind it.
            # With the chains that were seen, since they may have been decided anew while the state was read.
            return [end_chains(outcome_piece(state.job, state.version, Fail(error.info())), state)]

    async def _ask_for_preferred(self, kind: Kind, state: PlanState, step: Expand) -> Expand:
        if not any(task.prefers for task in step.tasks if task.name not in state.names):
            return step
        _, pools = await self._store.read.pool_set()
        return ask_for_preferred(kind, state.job.kind_version, step, pools.values())

    async def _find_unoffered(self, kind: Kind, state: PlanState, step: Expand) -> str:
        """Return what to do where nobody could run a new task, of a kind that does not let it wait for somebody."""
        if kind.advise is None:
            return ""
        new = (task for task in step.tasks if task.name not in state.names)
        wanted = sorted({capability for task in new for capability in task.requirement.capabilities})
        _, pools = await self._store.read.pool_set() if wanted else (0, {})
        return explain_unoffered(kind, state.job.kind_version, wanted, pools.values())

    async def _room(self, kind: Kind, state: PlanState) -> Room | None:
        """Return what a plan weighs; None for one that goes by its job alone."""
        if kind.weigh is None or not state.finished:
            return None
        capability = kind_capability(kind.name, state.job.kind_version)
        room = await self._store.read.room(capability, state.job.priority)
        return msgspec.structs.replace(room, tasks=state.names, unplaced=frozenset(state.waiting))

    def _ask_kind(self, state: PlanState, room: Room | None) -> Step:
        kind = self._kinds.get(state.job.kind)
        try:
            finished = by_module(state.finished, read_records(state.chains)) if state.chains else state.finished
            # Of a third party's kind nobody knows what it returns.
            step: Any = kind.weigh(state.job, finished, room) if kind.weigh and room else kind.plan(state.job, finished)
        except MediafleetError:
            raise
        except Exception as error:
            # A fault of a kind, maybe a third party's, must cost that job and nothing else.
            log.exception("plan raised", job=state.job.id, kind=kind.name)
            raise MediafleetError(f"The plan of the job kind {kind.name!r} failed: {error!r}.") from error
        # Plans are asked when a task becomes final, so this one would never be asked again.
        if not isinstance(step, Step):
            raise _unfit(kind.name, TypeError(f"it returned {step!r}, which is no step"))
        if isinstance(step, Wait) and not state.runnable:
            return Fail(ErrorInfo("stuck", f"The plan of {kind.name!r} waits, but no task of the job is left to run."))
        return step

    async def cancel(self, job_id: str) -> None:
        """End a job and all its tasks. Cancelling this is safe: what is left is swept later."""
        await self._end_tasks(partial(self._store.cancel, job_id, sweep=False))

    async def withdraw(self, job_id: str) -> None:
        """Cancel a job of a call that is refused after all, so that the same call finds it no more. Safe to repeat."""
        await self._end_tasks(partial(self._store.withdraw, job_id, reason=as_text(WITHDRAWN)))

    async def sweep(self, job_id: str) -> None:
        """End the tasks that are still open in a job that has ended."""
        await self._end_tasks(partial(self._store.cancel, job_id, sweep=True))

    async def _end_tasks(self, end_piece: Callable[..., Awaitable[CancelPiece]]) -> None:
        cursor = 0
        while True:
            # In pieces, because a script holds up the whole server. Nodes on links of other instances learn of it at
            # their next heartbeat, which their own instance compares with the store.
            piece = await end_piece(cursor=cursor)
            self._metrics.note_dead(piece.dead)
            self._links.cancel(piece.stops, "the job has ended")
            cursor = piece.cursor
            if not cursor:
                return


def _unfit(kind: str, fault: Exception) -> MediafleetError:
    """Return the error for what a kind, maybe a third party's, returned and nobody can carry out."""
    return MediafleetError(f"The plan of the job kind {kind!r} cannot be carried out: {repr(fault)[:200]}.")
