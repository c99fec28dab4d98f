"""From submissions to accepted jobs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.batch import check_batch
from mediafleet.domain.clock import parse_moment
from mediafleet.domain.errors import (
    InputError,
    InvalidParams,
    InvalidRequest,
    MediafleetError,
    NotFound,
    Unavailable,
    UnknownKind,
)
from mediafleet.domain.ids import new_job_id
from mediafleet.domain.job import MOST_SUBMISSIONS, Job, Submission
from mediafleet.domain.limits import check_wish
from mediafleet.domain.plan import Step
from mediafleet.domain.review import is_review_queue
from mediafleet.domain.rules import FleetRules
from mediafleet.ops import traces
from mediafleet.scheduler.bounds import bounds_of
from mediafleet.scheduler.bulk import Ahead, BulkWriter
from mediafleet.scheduler.dependencies import named_jobs
from mediafleet.scheduler.facade import Accepted
from mediafleet.scheduler.tasks import fresh_view, job_record
from mediafleet.scheduler.unoffered import explain_unoffered
from mediafleet.store.records import JobRecord

if TYPE_CHECKING:
    from mediafleet.domain.clock import Clock
    from mediafleet.domain.job import JobView
    from mediafleet.kinds import Kind, KindRegistry
    from mediafleet.scheduler.placer import Placer
    from mediafleet.scheduler.uploads import Uploads
    from mediafleet.store import Store

BREATH = 100
"""Submissions that are checked in one go; then others of this process have their turn."""
# A tenant stands inside key names, before other words: a colon in it could make the key of another tenant.
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KEY = re.compile(r"[\x21-\x7e]{0,200}")
# Names are shown in terminals and in log lines, where an escape sequence could move the cursor or forge a line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_submission(submission: Submission, kind: Kind) -> None:
    """Check what can be checked without I/O.

    Raises:
        InvalidRequest: A field is malformed.
        InvalidParams: The kind does not take so many inputs, or takes it otherwise only.
    """
    if not _TENANT.fullmatch(submission.tenant):
        raise InvalidRequest(
            f"{submission.tenant[:80]!r} is no tenant: use 1 to 64 of A-Z, a-z, 0-9, '_', '.' and '-'."
        )
    if not _KEY.fullmatch(submission.idempotency_key):
        raise InvalidRequest("An idempotency key has at most 200 printable ASCII characters without spaces.")
    if submission.webhook:
        raise InvalidRequest("Webhooks are not available yet; follow GET /api/v1/jobs/{id}/events instead.")
    check_batch(submission.batch)
    check_wish(submission.limits, kind.limits)
    fewest, most = kind.inputs
    count = len(submission.input_uris)
    if count < fewest or (most is not None and count > most):
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}" if most is not None else f"{fewest} or more"
        raise InvalidParams(f"The kind {kind.name!r} takes {wanted} input(s); {count} were given.")
    kind.check(submission)


def check_times(submission: Submission, *, now_ms: int) -> tuple[int, int]:
    """Return when the job may begin and when it must have ended, milliseconds, 0 for any time. Raises InvalidRequest."""
    not_before = parse_moment(submission.not_before, "not_before")
    deadline = parse_moment(submission.deadline, "deadline")
    if deadline and deadline <= max(now_ms, not_before):
        reason = "past already" if deadline <= now_ms else "not after not_before"
        raise InvalidRequest(f"The deadline is {reason}; a job needs time to run.")
    return not_before, deadline


def check_count(submissions: Sequence[Submission]) -> None:
    """Raise InvalidRequest unless one call takes so many."""
    if not 1 <= len(submissions) <= MOST_SUBMISSIONS:
        raise InvalidRequest(f"One call takes 1 to {MOST_SUBMISSIONS} jobs; {len(submissions)} were given.")


def first_step(kind: Kind, job: Job) -> Step:
    """Ask the plan for its first step; its faults become the submitter's answer. Raises MediafleetError."""
    try:
        return kind.plan(job, ())
    except MediafleetError:
        raise
    except Exception as error:
        # A fault of a kind, maybe a third party's, must not look like one of ours.
        raise InputError(f"The job kind {kind.name!r} cannot plan this job: {error!r}.") from error


class Prepared(NamedTuple):
    """Submissions that were checked and planned."""

    jobs: list[Job]
    records: list[JobRecord]
    queues: dict[str, str]
    """What they wait in, by id."""
    ahead: Ahead | None = None
    """What is settled already, of a part of a larger call."""


class Acceptor:
    """Checks submissions, resolves their inputs, plans them and stores them in one step."""

    def __init__(
        self,
        store: Store,
        kinds: KindRegistry,
        uploads: Uploads,
        placer: Placer,
        clock: Clock,
        *,
        retention_ms: int,
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._uploads = uploads
        self._clock = clock
        self._retention_ms = retention_ms
        self._bounds = bounds_of(FleetRules())
        self.bulk = BulkWriter(store, on_queues=placer.ask)
        self.on_dirty: Callable[[], None] = lambda: None
        """Called when a job begins without tasks, or with a review: its plan is to be asked at once."""

    def follow(self, rules: FleetRules) -> None:
        """Accept by these rules from now on."""
        self._bounds = bounds_of(rules)

    async def accept(self, submissions: Sequence[Submission], *, principal: str) -> list[Accepted]:
        """Accept all or none, in order. Raises InputError and its children, NotFound, QueueFull, StoreUnavailable."""
        return await self.store(await self.prepare(submissions, principal=principal))

    async def prepare(self, submissions: Sequence[Submission], *, principal: str) -> Prepared:
        """Check and plan submissions; none is accepted before `store`. Raises as `accept`."""
        check_count(submissions)
        # All are checked and planned before any is stored: a wrong job among a thousand keeps all of them out. Records
        # of files that were looked at for nothing stay behind; nobody uses them, so they end by themselves.
        jobs: list[Job] = []
        ids: list[str] = []
        job_records: list[JobRecord] = []
        queues: dict[str, str] = {}
        wanted: dict[str, Job] = {}
        # In order, since jobs of the same millisecond are taken by their ids: those of a list begin as they stand in it.
        fresh_ids = sorted(new_job_id(self._store.keys.cell) for _ in submissions)
        with traces.submitting() as begin_trace:
            for job_id, submission in zip(fresh_ids, submissions, strict=True):
                job = await self._job(job_id, submission, principal=principal, begin_trace=begin_trace)
                record, needed = self._record(job, submission)
                if submission.after:
                    record = msgspec.structs.replace(record, after=named_jobs(submission, ids))
                if len(jobs) % BREATH == BREATH - 1:
                    await asyncio.sleep(0)
                wanted |= dict.fromkeys(self._kinds.get(job.kind).needs(job), job)
                jobs.append(job)
                ids.append(job.id)
                job_records.append(record)
                queues |= needed
        if wanted:
            await self._check_offered(wanted)
        return Prepared(jobs, job_records, queues)

    async def _check_offered(self, wanted: Mapping[str, Job]) -> None:
        """Raise InvalidParams for capabilities, each with a job that needs it, of which no node has one."""
        _, pools = await self._store.read.pool_set()
        for capability, job in wanted.items():
            kind = self._kinds.get(job.kind)
            if sentence := explain_unoffered(kind, job.kind_version, [capability], pools.values()):
                raise InvalidParams(sentence)

    async def look_ahead(self, prepared: Prepared) -> Prepared:
        """Refuse what `store` would refuse, and keep room for it; whoever does not store it then gives that up.

        Raises:
            QueueFull: It does not fit.
            NotFound: An artifact has gone since it was resolved.
            InputError: A job to wait for is not there.
            StoreUnavailable: The store does not answer.
        """
        return prepared._replace(ahead=await self.bulk.look_ahead(prepared.records, self._bounds))

    async def store(self, prepared: Prepared) -> list[Accepted]:
        """Accept what was prepared: all or none. Raises NotFound, InputError, QueueFull, StoreUnavailable."""
        answers = await self.bulk.write(prepared.records, prepared.queues, bounds=self._bounds, ahead=prepared.ahead)
        # Of one that begins with a review the plan says whether anything else can go on.
        if not all(record.tasks for record in prepared.records) or any(map(is_review_queue, prepared.queues)):
            self.on_dirty()
        firsts = await self._firsts([answer.id for answer in answers if not answer.created])
        return [
            # A new job is not read back: how it looks is known, and reading would cost each job a round trip.
            Accepted(fresh_view(job, answer, uploading=_is_open(job.inputs)), created=True)
            if answer.created
            else Accepted(firsts[answer.id], created=False)
            for job, answer in zip(prepared.jobs, answers, strict=True)
        ]

    async def _firsts(self, job_ids: Sequence[str]) -> dict[str, JobView]:
        """Return the first jobs of idempotency keys; a single one with its tasks, as if it was asked for."""
        if len(job_ids) == 1:
            view = await self._store.read.job(job_ids[0])
            views = {view.id: view} if view else {}
        else:
            views = await self._store.read.job_views(job_ids)
        for job_id in job_ids:
            if job_id not in views:
                raise NotFound(f"The job {job_id} of this idempotency key has just passed its retention; submit again.")
        return views

    async def _kind(self, name: str) -> Kind:
        try:
            return self._kinds.get(name)
        except UnknownKind:
            # While a package is installed on one instance after the other, its jobs are no mistake of the caller's.
            living, known = await self._store.read.live_instances(), await self._store.read.instances()
            having = [instance for instance in living if instance in known and name in known[instance].kinds]
            if not having:
                raise
            raise Unavailable(
                f"This instance does not have the job kind {name!r}; {having[0]} has it: submit there, or install it here."
            ) from None

    async def _job(self, job_id: str, submission: Submission, *, principal: str, begin_trace: traces.BeginTrace) -> Job:
        kind = await self._kind(submission.kind)
        check_submission(submission, kind)
        params = self._kinds.check_params(kind.name, submission.params)
        inputs = [await self._uploads.resolve_input(uri, principal=principal) for uri in submission.input_uris]
        not_before_ms, deadline_ms = check_times(submission, now_ms=self._clock.now_ms())
        return Job(
            id=job_id,
            cell=self._store.keys.cell,
            tenant=submission.tenant,
            principal=principal,
            kind=kind.name,
            kind_version=kind.version,
            name=_CONTROL.sub(" ", submission.name or (inputs[0].name if inputs else kind.name))[:255],
            inputs=tuple(inputs),
            params=params,
            priority=submission.priority,
            created_ms=self._clock.now_ms(),
            not_before_ms=not_before_ms,
            deadline_ms=deadline_ms,
            limits=submission.limits,
            policy=submission.policy or kind.policy,
            urgency=submission.urgency,
            batch=submission.batch,
            traceparent=begin_trace(job_id, kind.name, submission.tenant),
        )

    def _record(self, job: Job, submission: Submission) -> tuple[JobRecord, dict[str, str]]:
        # A job may name an upload that is still on its way; its tasks are held until the bytes are there.
        kind = self._kinds.get(job.kind)
        waits = [ref.id for ref in job.inputs if _is_open((ref,))]
        return job_record(
            job,
            first_step(kind, job),
            kind,
            key=submission.idempotency_key,
            waits=waits,
            retention_ms=self._retention_ms,
        )


def _is_open(inputs: Sequence[ArtifactRef]) -> bool:
    """An upload has neither hash nor place before it is complete."""
    return any(not ref.uri for ref in inputs)
