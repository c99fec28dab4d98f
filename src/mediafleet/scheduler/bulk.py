"""Many jobs in one call: handed to the store in pieces, because a script holds up the whole server (docs/decisions/0019).

Everything that can be checked is checked before the first piece; the first one also answers for the bounds of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog

from mediafleet.domain.errors import MediafleetError, NotFound, StoreUnavailable
from mediafleet.scheduler.bounds import queue_full
from mediafleet.scheduler.dependencies import unknown_job

if TYPE_CHECKING:
    from mediafleet.store import Store
    from mediafleet.store.cell_records import Bounds
    from mediafleet.store.records import JobRecord, SubmittedJob

PIECE_JOBS = 200
PIECE_TASKS = 400
PIECE_BYTES = 1024 * 1024
PIECE_NAMES = 2000
"""Most of one script call, of whichever there is too much first: some milliseconds of the server's time.

Names are those of what jobs and tasks wait for or use: each is looked at."""

log = structlog.get_logger(__name__)


class _Size(NamedTuple):
    """What a piece may have only so much of."""

    jobs: int = 0
    tasks: int = 0
    bytes: int = 0
    names: int = 0

    def with_job(self, job: JobRecord) -> _Size:
        return _Size(
            self.jobs + 1,
            self.tasks + len(job.tasks),
            self.bytes + len(job.doc) + sum(len(task.doc) for task in job.tasks),
            self.names + len(job.after) + len(job.inputs) + sum(len(t.after) + len(t.waits) for t in job.tasks),
        )

    def fits(self) -> bool:
        most = (PIECE_JOBS, PIECE_TASKS, PIECE_BYTES, PIECE_NAMES)
        return all(size <= bound for size, bound in zip(self, most, strict=True))


def cut(jobs: Sequence[JobRecord]) -> list[list[JobRecord]]:
    """Return the jobs, in order, as pieces that one script call takes; one job is never divided."""
    pieces: list[list[JobRecord]] = []
    size = _Size()
    for job in jobs:
        size = size.with_job(job)
        if not pieces or not size.fits():
            pieces.append([])
            size = _Size().with_job(job)
        pieces[-1].append(job)
    return pieces


def count_coming(jobs: Iterable[JobRecord]) -> dict[str, int]:
    """Return how many tasks jobs bring, by class and tenant as `includes/bounds.lua` marks them."""
    counts: Counter[str] = Counter()
    for job in jobs:
        priority = job.tasks[0].queue[0] if job.tasks else "-"
        counts[priority + job.tenant] += max(1, len(job.tasks))
    return dict(counts)


def outside_names(jobs: Sequence[JobRecord], fresh: Iterable[JobRecord]) -> list[str]:
    """Return the jobs that fresh ones wait for and that are not of the same call."""
    own = {job.id for job in jobs}
    return sorted({name for job in fresh for name in job.after} - own)


class BulkWriter:
    """Hands jobs to the store of one cell."""

    def __init__(self, store: Store, *, on_queues: Callable[[Sequence[str]], None]) -> None:
        """Take the store.

        Args:
            on_queues: Told after each piece of the queues that got tasks.
        """
        self._store = store
        self._on_queues = on_queues
        self.withdraw: Callable[[str], Awaitable[None]] | None = None
        """Cancels a job of a call that is refused after all, and frees its key."""

    async def write(self, jobs: Sequence[JobRecord], queues: dict[str, str], bounds: Bounds) -> list[SubmittedJob]:
        """Accept all, or none; return the answers in order.

        With idempotency keys it is safe to repeat.

        Raises:
            QueueFull: They are too many.
            NotFound: An artifact has gone since it was resolved.
            InputError: A job to wait for is not there.
            StoreUnavailable: How far it came is not known, or said in the sentence.
        """
        pieces = cut(jobs)
        coming = await self._look_ahead(jobs, pieces[0]) if len(pieces) > 1 else {}
        answers: list[SubmittedJob] = []
        stands_for: dict[str, str] = {}
        try:
            for number, piece in enumerate(pieces):
                # Asked once, for all: a bound that is met half-way would leave half of a call.
                renamed = _renamed(piece, stands_for)
                found = await self._write_piece(renamed, queues, None if number else bounds, coming)
                answers += found
                stands_for |= {job.id: one.id for job, one in zip(piece, found, strict=True) if not one.created}
        except StoreUnavailable as error:
            raise _broken_off(error, len(answers), len(jobs)) from error
        except MediafleetError:
            await self.take_back([one.id for one in answers if one.created])
            raise
        return answers

    async def _look_ahead(self, jobs: Sequence[JobRecord], first: Sequence[JobRecord]) -> dict[str, int]:
        """Check what only scripts of later pieces would look at, and return what those pieces bring."""
        keyed = [job for job in jobs if job.key]
        there = await self._store.read.keyed_jobs([(job.tenant, job.key) for job in keyed])
        known = {job.id for job, is_there in zip(keyed, there, strict=True) if is_there}
        fresh = [job for job in jobs if job.id not in known]
        if unknown := await self._store.read.unknown_jobs(outside_names(jobs, fresh)):
            raise unknown_job(unknown[0])
        # The first piece counts its own.
        asked = {job.id for job in first}
        return count_coming(job for job in fresh if job.id not in asked)

    async def _write_piece(
        self, piece: Sequence[JobRecord], queues: dict[str, str], bounds: Bounds | None, coming: dict[str, int]
    ) -> list[SubmittedJob]:
        used = {task.queue for job in piece for task in job.tasks}
        mine = {name: doc for name, doc in queues.items() if name in used}
        submitted = await self._store.submit(piece, mine, bounds, coming if bounds else None)
        if submitted.full:
            raise queue_full(submitted.full)
        # Retention may have taken what a job names since it was resolved; the script looks in the step that binds it.
        if submitted.missing:
            raise NotFound(f"There is no artifact {submitted.missing!r} any more; upload the file again.")
        if submitted.unknown:
            raise unknown_job(submitted.unknown)
        self._on_queues(submitted.queues)
        return submitted.jobs

    async def take_back(self, jobs: Sequence[str]) -> None:
        """Withdraw the jobs of a call, given in its order, that is refused after all; what has ended stays."""
        if self.withdraw is None:
            return
        # The last first: those that wait for others would fail with them, and then keep their keys.
        for job in reversed(jobs):
            try:
                await self.withdraw(job)
            except MediafleetError as error:
                # The caller is told of the first fault.
                log.warning("a job of a call that failed could not be withdrawn", job=job, reason=error.message)


def _renamed(piece: Sequence[JobRecord], stands_for: dict[str, str]) -> Sequence[JobRecord]:
    """Return a piece whose jobs wait for the first jobs of idempotency keys, where earlier pieces found such."""
    if not stands_for:
        return piece
    return [
        msgspec.structs.replace(job, after=[stands_for.get(name, name) for name in job.after]) if job.after else job
        for job in piece
    ]


def _broken_off(error: StoreUnavailable, accepted: int, asked: int) -> StoreUnavailable:
    if not accepted:
        return error
    return StoreUnavailable(
        f"{error.message} At least {accepted} of the {asked} jobs of the call were accepted before; send the whole call "
        "again: those with idempotency keys are found again, and only the rest is new."
    )
