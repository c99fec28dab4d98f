"""Many jobs in one call: handed to the store in pieces, because a script holds up the whole server (docs/decisions/0019).

Everything that can be checked is checked before the first piece, and room under the bounds is kept for all of them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog

from mediafleet.domain.errors import MediafleetError, NotFound, StoreUnavailable
from mediafleet.domain.ids import new_token
from mediafleet.domain.review import is_review_queue
from mediafleet.scheduler.bounds import queue_full
from mediafleet.scheduler.dependencies import unknown_job
from mediafleet.store.cell_records import Coming

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

KEEP_ROOM_MS = 30_000
"""How long a call keeps room for what it has still to bring: longer than any pause between two of its pieces.

An instance that dies keeps it for as long."""

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
        counts[priority + job.tenant] += max(1, sum(not is_review_queue(task.queue) for task in job.tasks))
    return dict(counts)


class Ahead(NamedTuple):
    """What is settled about a call before any of it is stored."""

    call: str
    """The name under which room is kept for it."""
    fresh: frozenset[str]
    """Ids of jobs whose idempotency keys were not known."""


class BulkWriter:
    """Hands jobs to the store of one cell."""

    def __init__(self, store: Store, *, on_queues: Callable[[Sequence[str]], None]) -> None:
        """Take the store.

        Args:
            on_queues: Told after each piece of the queues that got tasks.
        """
        self._store = store
        self._on_queues = on_queues
        self._broken: list[Ahead] = []
        """Calls that broke off because the store was away, and whose room is still kept."""
        self.withdraw: Callable[[str], Awaitable[None]] | None = None
        """Cancels a job of a call that is refused after all, and frees its key."""

    async def write(
        self, jobs: Sequence[JobRecord], queues: dict[str, str], *, bounds: Bounds, ahead: Ahead | None = None
    ) -> list[SubmittedJob]:
        """Accept all, or none; return the answers in order.

        With idempotency keys it is safe to repeat.

        Args:
            jobs: All of the call.
            queues: Those that they need, by id.
            bounds: What must hold.
            ahead: What `look_ahead` found, for a part of a larger call.

        Raises:
            QueueFull: They are too many.
            NotFound: An artifact has gone since it was resolved.
            InputError: A job to wait for is not there.
            StoreUnavailable: How far it came is not known, or said in the sentence.
        """
        await self._give_up_broken()
        pieces = cut(jobs)
        where = f"call that went to the cell {self._store.keys.cell}" if ahead else "call"
        if ahead is None and len(pieces) > 1:
            ahead = await self.look_ahead(jobs, bounds)
        left = Counter(_count_fresh(jobs, ahead))
        answers: list[SubmittedJob] = []
        stands_for: dict[str, str] = {}
        try:
            for piece in pieces:
                left -= Counter(_count_fresh(piece, ahead))
                coming = Coming(ahead.call, dict(left), KEEP_ROOM_MS) if ahead else None
                found = await self._write_piece(_renamed(piece, stands_for), queues, bounds, coming)
                answers += found
                stands_for |= {job.id: one.id for job, one in zip(piece, found, strict=True) if not one.created}
        except StoreUnavailable as error:
            # Its room cannot be given up now; the repeat of the call must not find it taken.
            self._broken += [ahead] if ahead else []
            raise _broken_off(error, pieces, accepted=len(answers), where=where) from error
        except MediafleetError:
            await self.give_up(ahead)
            await self.take_back([one.id for one in answers if one.created])
            raise
        return answers

    async def look_ahead(self, jobs: Sequence[JobRecord], bounds: Bounds) -> Ahead:
        """Refuse what the scripts would refuse, and keep room for the rest. Raises as `write`."""
        await self._give_up_broken()
        keyed = [job for job in jobs if job.key]
        there = await self._store.read.keyed_jobs([(job.tenant, job.key) for job in keyed])
        known = {(job.tenant, job.key) for job, is_there in zip(keyed, there, strict=True) if is_there}
        # Of a key that stands twice the first one is the job.
        firsts = {(job.tenant, job.key or job.id): job for job in reversed(jobs)}
        fresh = [job for name, job in firsts.items() if name not in known]
        await self._check_names(jobs, fresh)
        ahead = Ahead(new_token(), frozenset(job.id for job in fresh))
        if full := await self._store.keep_room(bounds, Coming(ahead.call, count_coming(fresh), KEEP_ROOM_MS)):
            raise queue_full(full)
        return ahead

    async def _check_names(self, jobs: Sequence[JobRecord], fresh: Sequence[JobRecord]) -> None:
        """Check that what fresh jobs name is there, unless it is of the same call. Raises InputError, NotFound."""
        own = {job.id for job in jobs}
        for piece in cut(fresh):
            named = {name for job in piece for name in job.after} - own
            if unknown := await self._store.read.unknown_jobs(sorted(named)):
                raise unknown_job(unknown[0])
            used = sorted({name for job in piece for name in job.inputs})
            there = await self._store.read.artifacts(used) if used else {}
            if missing := [name for name in used if name not in there]:
                raise _gone(missing[0])

    async def _write_piece(
        self, piece: Sequence[JobRecord], queues: dict[str, str], bounds: Bounds, coming: Coming | None
    ) -> list[SubmittedJob]:
        used = {task.queue for job in piece for task in job.tasks}
        mine = {name: doc for name, doc in queues.items() if name in used}
        submitted = await self._store.submit(piece, mine, bounds, coming)
        if submitted.full:
            raise queue_full(submitted.full)
        # Retention may have taken what a job names since it was resolved; the script looks in the step that binds it.
        if submitted.missing:
            raise _gone(submitted.missing)
        if submitted.unknown:
            raise unknown_job(submitted.unknown)
        self._on_queues(submitted.queues)
        return submitted.jobs

    async def _give_up_broken(self) -> None:
        while self._broken:
            await self.give_up(self._broken.pop())

    async def give_up(self, ahead: Ahead | None) -> None:
        """Let go of the room that was kept for what is not stored after all."""
        if ahead is None:
            return
        try:
            await self._store.give_up_room(ahead.call)
        except StoreUnavailable as error:
            log.warning("room that a call had kept is free only when its time is over", reason=error.message)

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


def _count_fresh(jobs: Sequence[JobRecord], ahead: Ahead | None) -> dict[str, int]:
    return count_coming(job for job in jobs if job.id in ahead.fresh) if ahead else {}


def _gone(artifact: str) -> NotFound:
    return NotFound(f"There is no artifact {artifact!r} any more; upload the file again.")


def _renamed(piece: Sequence[JobRecord], stands_for: dict[str, str]) -> Sequence[JobRecord]:
    """Return a piece whose jobs wait for the first jobs of idempotency keys, where earlier pieces found such."""
    if not stands_for:
        return piece
    return [
        msgspec.structs.replace(job, after=[stands_for.get(name, name) for name in job.after]) if job.after else job
        for job in piece
    ]


def _broken_off(
    error: StoreUnavailable, pieces: Sequence[Sequence[JobRecord]], *, accepted: int, where: str
) -> StoreUnavailable:
    """Return what is to be said of a call that broke off after so many of its jobs."""
    jobs = [job for piece in pieces for job in piece]
    sizes = itertools.accumulate(map(len, pieces))
    reached = next(size for size in sizes if size > accepted)
    unknown = jobs[accepted:reached]
    known = f"At least {accepted} of the {len(jobs)} jobs of the {where} were accepted" if accepted else ""
    unkeyed = [job for job in jobs[:reached] if not job.key]
    if not unkeyed or len(pieces) == 1:
        again = "; send the whole call again: they are found by their idempotency keys, and only the rest is new."
        return StoreUnavailable(f"{error.message} {known}{again}") if known else error
    # A piece is stored as a whole: one new job of it tells of all.
    probe = next((job.id for job in unknown if not job.key), "")
    which = f"the next {len(unknown)}" if known else f"the first {len(unknown)} of the {len(jobs)} jobs of the {where}"
    begin = f"{known}, the first ones of it; " if known else ""
    told = (
        f"were accepted if there is a job {probe}" if probe else "may have been accepted, and are found by their keys"
    )
    sentence = (
        f"{begin}{which} {told}, and those after them were not. {len(unkeyed)} of these have no idempotency key: what was "
        "accepted of them would be accepted twice if it was sent again. See the list of jobs (`mediafleet jobs`, GET "
        "/api/v1/jobs), and send only the rest."
    )
    return StoreUnavailable(f"{error.message} {sentence[0].upper()}{sentence[1:]}")
