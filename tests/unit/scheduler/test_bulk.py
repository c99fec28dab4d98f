"""Thousands of jobs in one call: in pieces, yet all or none, and safe to repeat when it breaks off."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_parts import Parts

from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import InputError, NotFound, QueueFull, StoreUnavailable
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.rules import FleetRules
from mediafleet.ops.settings import ArtifactSettings
from mediafleet.scheduler.accept import Acceptor
from mediafleet.scheduler.bulk import PIECE_BYTES, PIECE_JOBS, PIECE_NAMES, PIECE_TASKS, count_coming, cut
from mediafleet.scheduler.uploads import Uploads
from mediafleet.store import Store
from mediafleet.store.records import JobRecord, TaskRecord

MANY = 2 * PIECE_JOBS + 10
"""Of three pieces."""


def task(size: int) -> TaskRecord:
    return TaskRecord("j0-a.t", "t", "j0-a", "b-q", "default", 1, 0, "x" * size, [], [], 1, 0, 1.0)


def record(tasks: int, size: int = 0, tenant: str = "default", names: int = 0) -> JobRecord:
    after = ["j0-b"] * names
    return JobRecord("j0-a", "noop", "", "", tenant, 1, 1, "", [], 1.0, [task(size)] * tasks, after=after)


@given(
    st.lists(
        st.tuples(st.integers(0, 256), st.sampled_from([0, 300, 600_000]), st.sampled_from([0, 3, 100])), max_size=600
    )
)
def test_pieces_are_all_jobs_in_order_and_none_is_too_large(shapes: list[tuple[int, int, int]]) -> None:
    jobs = [record(tasks, size // max(1, tasks), names=names) for tasks, size, names in shapes]
    pieces = cut(jobs)
    assert [job for piece in pieces for job in piece] == jobs
    for piece in pieces:
        assert 1 <= len(piece) <= PIECE_JOBS
        # One job is never divided, whatever it brings.
        if len(piece) > 1:
            assert sum(len(job.tasks) for job in piece) <= PIECE_TASKS
            assert sum(len(one.doc) for job in piece for one in job.tasks) <= PIECE_BYTES
            assert sum(len(job.after) for job in piece) <= PIECE_NAMES


def test_what_tasks_wait_for_counts_in_the_size_of_a_piece() -> None:
    waiting = msgspec.structs.replace(task(0), waits=["a0-a"] * 100, after=["one"] * 100)
    job = msgspec.structs.replace(record(0), tasks=[waiting] * 10, inputs=["a0-a"] * 100)
    assert [len(piece) for piece in cut([job] * 3)] == [1, 1, 1]


def test_what_is_still_to_come_is_counted_by_class_and_tenant() -> None:
    jobs = [record(2), record(3, tenant="a"), record(0), record(1)]
    assert count_coming(jobs) == {"bdefault": 3, "ba": 3, "-default": 1}


class Desk:
    """An acceptor whose store may be away from some piece on."""

    def __init__(self, parts: Parts, folder: Path) -> None:
        settings, clock = ArtifactSettings(file_roots=(str(folder),)), SystemClock()
        uploads = Uploads(parts.store, parts.blobs, clock, settings, retention=parts.retention, keep_ms=60_000)
        self.parts = parts
        self.acceptor = Acceptor(parts.store, parts.kinds, uploads, parts.placer, clock, retention_ms=60_000)
        self.acceptor.bulk.withdraw = parts.planner.withdraw
        self.pieces: list[int] = []

    async def accept(self, wishes: Sequence[Submission]) -> list[tuple[str, bool]]:
        accepted = await self.acceptor.accept(wishes, principal="ann")
        return [(one.job.id, one.created) for one in accepted]

    async def count(self, status: JobStatus | None = None) -> int:
        return (await self.parts.store.read.jobs(status=status, offset=0, limit=1))[1]

    def watch(self, monkeypatch: pytest.MonkeyPatch, *, breaks_at: int = 0, error: Exception | None = None) -> None:
        """Note how large the pieces are; fail instead of sending one of them."""
        submit: Any = self.parts.store.submit
        self.pieces = []

        async def noted(jobs: Sequence[JobRecord], *arguments: Any) -> Any:
            self.pieces.append(len(jobs))
            if len(self.pieces) == breaks_at and error:
                raise error
            return await submit(jobs, *arguments)

        monkeypatch.setattr(self.parts.store, "submit", noted)


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(Parts(store, tmp_path / "blobs"), tmp_path)


def keyed(count: int) -> list[Submission]:
    return [Submission("noop", idempotency_key=f"k{number}") for number in range(count)]


async def test_a_call_of_many_is_accepted_in_bounded_steps(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.watch(monkeypatch)
    accepted = await desk.accept([Submission("noop")] * MANY)
    assert desk.pieces == [PIECE_JOBS, PIECE_JOBS, 10]
    assert len({job for job, _ in accepted}) == await desk.count() == MANY


async def test_a_call_that_broke_off_is_not_kept_out_by_the_room_that_was_kept_for_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.acceptor.follow(FleetRules(max_open=MANY))
    wishes = keyed(MANY)
    with monkeypatch.context() as away:
        desk.watch(away, breaks_at=2, error=StoreUnavailable("The store is away."))
        with pytest.raises(StoreUnavailable):
            await desk.accept(wishes)
    await desk.accept(wishes)
    assert await desk.count() == MANY


async def test_a_call_that_broke_off_goes_on_where_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where jobs of the rest wait for jobs that are found again."""
    wishes = keyed(MANY)
    wishes[-1] = msgspec.structs.replace(wishes[-1], after=[0, MANY - 2])
    with monkeypatch.context() as away:
        desk.watch(away, breaks_at=3, error=StoreUnavailable("The store is away."))
        with pytest.raises(
            StoreUnavailable, match=rf"^The store is away\. At least {2 * PIECE_JOBS} of the {MANY} jobs"
        ):
            await desk.accept(wishes)
    assert await desk.count() == 2 * PIECE_JOBS
    accepted = await desk.accept(wishes)
    assert [created for _, created in accepted] == [False] * 2 * PIECE_JOBS + [True] * 10
    assert await desk.count() == MANY
    last = await desk.parts.job(accepted[-1][0])
    assert last.waits_for == (accepted[0][0], accepted[-2][0])
    assert await desk.accept(wishes) == [(job, False) for job, _ in accepted]


async def test_nothing_is_said_of_what_was_accepted_where_nothing_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.watch(monkeypatch, breaks_at=1, error=StoreUnavailable("The store is away."))
    with pytest.raises(StoreUnavailable, match=r"^The store is away\.$"):
        await desk.accept(keyed(MANY))


@pytest.mark.parametrize("breaks_at", [1, 2, 3])
async def test_of_a_call_that_broke_off_it_is_told_which_jobs_may_not_be_sent_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, breaks_at: int
) -> None:
    """Jobs without keys; also where the piece was stored and only its answer was lost."""
    wishes = [*keyed(3), *[Submission("noop")] * (MANY - 3)]
    submit: Any = desk.parts.store.submit
    for is_stored in (False, True):
        with monkeypatch.context() as away:
            desk.watch(away, breaks_at=breaks_at, error=StoreUnavailable("The store is away."))
            noted: Any = desk.parts.store.submit

            async def lost(*arguments: Any, is_stored: bool = is_stored, noted: Any = noted) -> Any:
                if is_stored and len(desk.pieces) == breaks_at - 1:
                    await submit(*arguments)
                return await noted(*arguments)

            away.setattr(desk.parts.store, "submit", lost)
            with pytest.raises(StoreUnavailable) as caught:
                await desk.accept(wishes)
        told = caught.value.message
        reached = min(breaks_at * PIECE_JOBS, MANY)
        assert f"{reached - 3} of these have no idempotency key" in told
        assert "would be accepted twice" in told
        probe = re.search(r"(\d+)\D* were accepted if there is a job (\S+),", told)
        assert probe is not None, told
        assert (await desk.parts.store.read.job(probe[2]) is not None) is is_stored
        if breaks_at > 1:
            assert f"At least {(breaks_at - 1) * PIECE_JOBS} of the {MANY} jobs of the call were accepted, " in told
            assert f"; the next {reached - (breaks_at - 1) * PIECE_JOBS} were accepted if" in told
        else:
            assert f" The first {PIECE_JOBS} of the {MANY} jobs of the call were accepted if" in told


async def test_bounds_hold_for_the_whole_call_before_its_first_job(desk: Desk) -> None:
    desk.acceptor.follow(FleetRules(max_open=MANY - 1))
    with pytest.raises(QueueFull, match=f"{MANY} in one submission are more than that"):
        await desk.accept([Submission("noop")] * MANY)
    assert await desk.count() == 0
    desk.acceptor.follow(FleetRules(max_open=MANY))
    accepted = await desk.accept(keyed(MANY))
    # A repeat is answered however full it is.
    assert await desk.accept(keyed(MANY)) == [(job, False) for job, _ in accepted]


async def test_calls_at_the_same_time_never_pass_a_bound_together(desk: Desk) -> None:
    """Of those that fit by themselves, as many are taken as fit together, and each as a whole."""
    desk.acceptor.follow(FleetRules(max_open=2 * MANY, max_open_per_tenant=3 * MANY))

    async def try_it() -> int:
        try:
            return len(await desk.accept([Submission("noop")] * MANY))
        except QueueFull:
            return 0

    assert sorted(await asyncio.gather(*(try_it() for _ in range(5)))) == [0, 0, 0, MANY, MANY]
    assert await desk.count() == 2 * MANY
    assert not await desk.parts.store.redis.exists(desk.parts.store.keys.coming)


async def test_a_key_that_stands_twice_in_a_large_call_counts_once(desk: Desk) -> None:
    desk.acceptor.follow(FleetRules(max_open=MANY))
    accepted = await desk.accept([*keyed(MANY), *keyed(MANY)])
    assert accepted[:MANY] == [(job, True) for job, _ in accepted[MANY:]]


async def test_room_of_a_call_that_is_refused_half_way_is_free_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.acceptor.follow(FleetRules(max_open=MANY))
    with monkeypatch.context() as broken:
        desk.watch(broken, breaks_at=2, error=InputError("It has gone."))
        with pytest.raises(InputError, match="It has gone"):
            await desk.accept(keyed(MANY))
    assert len(await desk.accept(keyed(MANY))) == MANY


async def test_an_input_that_has_gone_keeps_thousands_out(desk: Desk) -> None:
    prepared = await desk.acceptor.prepare([Submission("noop")] * MANY, principal="ann")
    prepared.records[-1] = msgspec.structs.replace(prepared.records[-1], inputs=["a0-gone"])
    with pytest.raises(NotFound, match="no artifact 'a0-gone' any more"):
        await desk.acceptor.store(prepared)
    assert await desk.count() == 0


async def test_a_wrong_job_at_the_end_keeps_thousands_out(desk: Desk) -> None:
    with pytest.raises(InputError, match="no job 'j0-none' to wait for"):
        await desk.accept([*[Submission("noop")] * MANY, Submission("noop", after=["j0-none"])])
    assert await desk.count() == 0


async def test_jobs_of_a_call_that_is_refused_half_way_are_cancelled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a job names may go in the middle of a call; nobody should have to find out which half was taken."""
    desk.watch(monkeypatch, breaks_at=2, error=InputError("It has gone."))
    with pytest.raises(InputError, match="It has gone"):
        await desk.accept([Submission("noop")] * MANY)
    assert await desk.count(JobStatus.CANCELLED) == await desk.count() == PIECE_JOBS


async def test_a_call_that_was_refused_half_way_may_come_again_with_its_keys(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its jobs wait for each other, and a tick comes while they are withdrawn."""
    wishes = keyed(MANY)
    wishes[1:9] = [msgspec.structs.replace(one, after=[number]) for number, one in enumerate(wishes[1:9])]
    withdraw = desk.parts.planner.withdraw

    async def slowly(job: str) -> None:
        await withdraw(job)
        await desk.parts.driver.reap()

    desk.acceptor.bulk.withdraw = slowly
    known = [job for job, _ in await desk.accept(wishes[20:22])]
    with monkeypatch.context() as broken:
        desk.watch(broken, breaks_at=2, error=InputError("It has gone."))
        with pytest.raises(InputError, match="It has gone"):
            await desk.accept(wishes)
    withdrawn, total = await desk.parts.store.read.jobs(status=JobStatus.CANCELLED, offset=0, limit=MANY)
    assert total == PIECE_JOBS - len(known)
    assert {job.error.code for job in withdrawn if job.error} == {"withdrawn"}
    accepted = await desk.accept(wishes)
    assert [job for job, created in accepted if not created] == known
    # What had the keys before takes none along when it goes.
    for job in withdrawn:
        await desk.parts.store.forget(job.id, inputs=[])
    assert await desk.accept(wishes) == [(job, False) for job, _ in accepted]


async def test_what_has_ended_before_it_is_withdrawn_keeps_its_key(desk: Desk) -> None:
    await desk.parts.link()
    ((job, _),) = await desk.accept(keyed(1))
    (placed,) = (await desk.parts.driver.place_waiting()).assignments
    await desk.parts.driver.finish(placed)
    await desk.acceptor.bulk.take_back([job])
    assert (await desk.parts.job(job)).status is JobStatus.COMPLETED
    assert await desk.accept(keyed(1)) == [(job, False)]


async def test_the_key_of_a_withdrawn_job_that_another_has_by_now_stays(desk: Desk) -> None:
    """A user cancels or retries as ever; only withdrawing frees keys, and only of the job itself."""
    store = desk.parts.store
    ((job, _),) = await desk.accept(keyed(1))
    await desk.parts.planner.cancel(job)
    assert await desk.accept(keyed(1)) == [(job, False)]
    await store.retry(job, cursor=0)
    await desk.acceptor.bulk.take_back([job])
    ((other, created),) = await desk.accept(keyed(1))
    assert created
    await store.retry(job, cursor=0)
    await desk.acceptor.bulk.take_back([job])
    assert await desk.accept(keyed(1)) == [(other, False)]
