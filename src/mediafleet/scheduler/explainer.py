"""Answers why a job waits, and what would become of a task that nobody has submitted; changes nothing."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.capability import Requirement, check_capabilities
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.explanation import Ask, Explanation, JobWhy, ModuleWhy, TaskWhy
from mediafleet.domain.ids import name_of
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, JobStatus, TaskState
from mediafleet.domain.node import MAX_SLOTS
from mediafleet.scheduler.chain_words import chain_sentence, explain_chain, task_state
from mediafleet.scheduler.chains import read_records
from mediafleet.scheduler.facts import FactSource
from mediafleet.scheduler.review_words import asked_sentence, is_asked, review_sentence
from mediafleet.scheduler.why import explain
from mediafleet.scheduler.why_words import aside_sentence, job_sentence, task_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.explanation import FleetSnapshot, Simulation, TaskSnapshot
    from mediafleet.domain.job import JobView
    from mediafleet.ops.metrics import Metrics
    from mediafleet.store import Store

SHOWN_TASKS = 20


class Explainer:
    """Reads snapshots of the store and explains them."""

    def __init__(self, store: Store, facts: FactSource | None = None, *, metrics: Metrics | None = None) -> None:
        self._store = store
        self._metrics = metrics
        self._facts = facts or FactSource(store)

    async def why(self, job: JobView) -> JobWhy:
        """Return why the job's tasks wait, those that do first."""
        # The first tasks of a plan are placed first, so the order stays that of the plan.
        order = sorted(job.tasks, key=lambda task: task.state is not TaskState.NEW)
        tasks = await self._store.read.task_snapshots([task.id for task in order[:SHOWN_TASKS]])
        is_over = job.status in FINAL_JOB_STATUSES
        if job.status is JobStatus.PAUSED:
            tasks = [msgspec.structs.replace(task, is_paused=True) for task in tasks]
        if job.waits_for:
            tasks = [msgspec.structs.replace(task, jobs=job.waits_for) for task in tasks]
        waiting = [
            task.ask.requirement for task in tasks if task.state is TaskState.NEW and not is_over and not is_asked(task)
        ]
        # A fleet need not be read to say what has begun or ended.
        fleet = await self.fleet(waiting) if waiting else None
        whys = tuple(_explain_task(fleet, task) for task in tasks)
        modules = () if is_over else await self._modules(job)
        sentence = review_sentence(job) or chain_sentence(modules) or await self._aside(job, waiting)
        sentence = sentence or job_sentence(job, whys)
        return JobWhy(job.id, job.status, sentence, whys, len(job.tasks) - len(whys), modules)

    async def _aside(self, job: JobView, waiting: Sequence[Requirement]) -> str:
        # While tasks wait, those are why it does not go on.
        if waiting or job.waits_for or job.status in FINAL_JOB_STATUSES:
            return ""
        needs = await self._store.read.kind_aside(job.id)
        return aside_sentence(needs) if needs else ""

    async def _modules(self, job: JobView) -> tuple[ModuleWhy, ...]:
        records = read_records(await self._store.read.chains(job.id))
        if not records:
            return ()
        facts = await self._facts.now()
        states = {name_of(task.id): task_state(task) for task in job.tasks}
        chains = (record.with_states(states) for record in records.values())
        return tuple(one for record in chains for one in explain_chain(record, facts))

    async def fleet(self, requirements: Sequence[Requirement]) -> FleetSnapshot:
        """Return what placing goes by, with how long tasks took lately."""
        fleet = await self._store.read.fleet_snapshot(requirements)
        # What this instance heard from its own nodes is of tasks; what all can read is of jobs that had one task only.
        heard = self._metrics.by_kind.read(now_s=monotonic()) if self._metrics else {}
        means = await self._store.read.task_times() | {kind: tally.mean_ms for kind, tally in heard.items()}
        return msgspec.structs.replace(fleet, means_ms=means)

    async def simulate(self, wish: Simulation) -> Explanation:
        """Return what would become of a task now. Raises InvalidRequest."""
        if not 1 <= wish.slots <= MAX_SLOTS:
            raise InvalidRequest(f"slots is {wish.slots}; it must be 1 to {MAX_SLOTS}.")
        requirement = Requirement(check_capabilities(wish.capabilities), wish.slots)
        fleet = await self.fleet([requirement])
        return explain(fleet, Ask(requirement, wish.priority, wish.tenant, wish.policy))


def _explain_task(fleet: FleetSnapshot | None, task: TaskSnapshot) -> TaskWhy:
    if task.state is TaskState.NEW and is_asked(task):
        return TaskWhy(task.id, task.state, asked_sentence(task))
    if task.state is not TaskState.NEW or fleet is None:
        return TaskWhy(task.id, task.state, task_sentence(task))
    found = explain(fleet, task.ask, task)
    return TaskWhy(task.id, task.state, found.words[0], found)
