"""Tasks that end for good: poison, and the list of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests_support.store_driver import LEASE_MS, RESERVE_MS, RETENTION_MS, StoreDriver, spec

from mediafleet.domain.event import EventType
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.ids import new_token, node_of
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.store import Store, records

if TYPE_CHECKING:
    from tests_support.virtual_time import VirtualTime

    from mediafleet.domain.job import JobView

NODES = ("n0-a-1", "n0-b-2", "n0-c-3")
TICK_MS = 500
NARROW = spec(priority=PriorityClass.INTERACTIVE)
"""A queue of its own, apart from that of the fleet's first job."""


class Clockwork:
    """A fleet of three nodes whose reaper ticks while time passes, and one job of one task."""

    def __init__(self, store: Store, time: VirtualTime) -> None:
        self.driver, self.store, self.time = StoreDriver(store), store, time
        self.job = ""

    async def begin(self) -> None:
        await self.driver.reap()
        await self.pass_ms(LEASE_MS + TICK_MS)
        for node in NODES:
            await self.driver.join(node)
        self.job = await self.driver.submit_one("noop")

    async def pass_ms(self, ms: int) -> None:
        for _ in range(0, ms, TICK_MS):
            self.time.advance(TICK_MS)
            await self.driver.reap()

    async def start(self) -> records.PlacedTask:
        """Place the task and let its node confirm it."""
        (placed,) = await self.driver.place_all()
        await self.driver.ack(placed)
        return placed

    async def restart(self, node: str) -> None:
        """Let another process of the node register, which knows nothing of the work."""
        self.driver.incarnations[node] = new_token()
        await self.driver.join(node)

    async def silence(self, *nodes: str, running: tuple[AttemptRef, ...] = ()) -> None:
        """Let a lease pass in which only the other nodes report."""
        for _ in range(4):
            others = [node for node in NODES if node not in nodes]
            reports = [records.NodeReport(node, self.driver.epochs[node], "{}", running) for node in others]
            await self.store.renew(reports, lease_ms=LEASE_MS)
            await self.pass_ms(LEASE_MS // 3)

    async def view(self, job: str) -> JobView:
        view = await self.store.read.job(job)
        assert view is not None
        return view

    async def state(self) -> TaskState:
        view = await self.store.read.job(self.job)
        assert view is not None
        return view.tasks[0].state


@pytest.fixture
async def clockwork(store: Store, virtual_time: VirtualTime) -> Clockwork:
    clockwork = Clockwork(store, virtual_time)
    await clockwork.begin()
    return clockwork


async def test_a_task_that_lost_two_nodes_is_not_given_to_a_third(clockwork: Clockwork) -> None:
    first = node_of((await clockwork.start()).executor)
    await clockwork.silence(first)
    assert await clockwork.state() is TaskState.NEW
    second = node_of((await clockwork.start()).executor)
    assert second != first, "the node that was lost is left out"
    await clockwork.silence(first, second)
    assert await clockwork.state() is TaskState.FAILED
    assert await clockwork.driver.place_all() == []
    view = await clockwork.store.read.job(clockwork.job)
    assert view is not None
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert view.error.code == "poison"
    assert view.tasks[0].tries == 0


async def test_a_node_whose_process_died_counts(clockwork: Clockwork) -> None:
    for expected in (TaskState.NEW, TaskState.FAILED):
        placed = await clockwork.start()
        await clockwork.restart(node_of(placed.executor))
        assert await clockwork.state() is expected


async def test_a_process_that_goes_on_without_the_work_has_not_died(clockwork: Clockwork) -> None:
    for _ in range(2):
        placed = await clockwork.start()
        await clockwork.driver.join(node_of(placed.executor))
        assert await clockwork.state() is TaskState.NEW
        await clockwork.start()
        await clockwork.silence()
        assert await clockwork.state() is TaskState.NEW, "its node says nothing of it, and lives"


async def alone(clockwork: Clockwork, node: str) -> None:
    """Leave one node to place tasks on."""
    for other in NODES:
        await clockwork.store.drain(other, draining=other != node)


async def test_a_node_that_dies_again_and_again_is_one_node(clockwork: Clockwork) -> None:
    await alone(clockwork, NODES[0])
    for _ in range(3):
        await clockwork.start()
        await clockwork.restart(NODES[0])
        assert await clockwork.state() is TaskState.NEW
    await alone(clockwork, NODES[1])
    await clockwork.start()
    await clockwork.restart(NODES[1])
    assert await clockwork.state() is TaskState.FAILED
    error = (await clockwork.view(clockwork.job)).error
    assert error is not None
    assert error.message == f"{NODES[0]} (3 times), {NODES[1]}"


async def test_a_fleet_of_one_node_does_not_die_of_a_task_for_ever(clockwork: Clockwork) -> None:
    await alone(clockwork, NODES[0])
    for deaths in range(1, 7):
        await clockwork.start()
        await clockwork.restart(NODES[0])
        await clockwork.pass_ms(TICK_MS)
        assert await clockwork.state() is (TaskState.FAILED if deaths == 6 else TaskState.NEW)


async def test_a_node_that_comes_back_with_the_work_was_not_lost(clockwork: Clockwork) -> None:
    placed = await clockwork.start()
    node = node_of(placed.executor)
    for _ in range(3):
        await clockwork.silence(node)
        assert await clockwork.state() is TaskState.NEW
        await clockwork.driver.join(node, announced=(AttemptRef(placed.task, placed.grant),))
        assert await clockwork.state() is TaskState.ACKED
    assert await clockwork.driver.finish(placed) == ["accepted"]


async def test_a_reservation_that_nobody_confirms_does_not_count(clockwork: Clockwork) -> None:
    for _ in range(4):
        assert len(await clockwork.driver.place_all()) == 1
        await clockwork.pass_ms(RESERVE_MS + TICK_MS)
        for node in NODES:
            await clockwork.driver.join(node)
    assert await clockwork.state() is TaskState.NEW


async def test_a_node_that_says_goodbye_does_not_count(clockwork: Clockwork) -> None:
    for _ in range(3):
        node = node_of((await clockwork.start()).executor)
        await clockwork.store.unlink(node, clockwork.driver.epochs[node], goodbye=True, retention_ms=RETENTION_MS)
        assert await clockwork.state() is TaskState.NEW


async def test_a_retry_begins_the_count_anew(clockwork: Clockwork) -> None:
    for _ in range(2):
        placed = await clockwork.start()
        await clockwork.restart(node_of(placed.executor))
    await clockwork.store.retry(clockwork.job, cursor=0)
    placed = await clockwork.start()
    await clockwork.restart(node_of(placed.executor))
    assert await clockwork.state() is TaskState.NEW


async def poison(clockwork: Clockwork, *, progress: float = 0) -> list[str]:
    """Let two nodes die with the task; return the executors."""
    executors: list[str] = []
    for _ in range(2):
        placed = await clockwork.start()
        executors.append(placed.executor)
        await clockwork.store.report([records.ProgressRecord(placed.task, placed.grant, progress, "", "{}")])
        await clockwork.restart(node_of(placed.executor))
    return executors


async def test_a_letter_says_what_is_known_of_its_attempts(clockwork: Clockwork) -> None:
    executors = await poison(clockwork, progress=0.25)
    assert executors[0] != executors[1], "though its node came back, another one goes first"
    ((letter,), total) = await clockwork.store.read.dead_letters(offset=0, limit=10)
    assert (letter.job, letter.error.code, letter.attempts, total) == (clockwork.job, "poison", 2, 1)
    assert [(end.executor, end.how) for end in letter.ends] == [(name, "restarted") for name in executors]
    assert all(end.at_ms == clockwork.time.ms for end in letter.ends)
    assert [end.progress for end in letter.ends] == [0.25, 0.25]
    assert letter.error.message == ", ".join(map(node_of, executors))
    assert await clockwork.store.read.dead_letter(letter.task) == letter


async def test_a_task_without_tries_left_is_a_letter_until_its_retry(clockwork: Clockwork) -> None:
    for _ in range(3):
        await clockwork.driver.fail(await clockwork.start())
    letter = await clockwork.store.read.dead_letter(f"{clockwork.job}.noop")
    assert letter is not None
    assert (letter.tries, {end.how for end in letter.ends}) == (3, {"failed"})
    await clockwork.store.retry(clockwork.job, cursor=0)
    assert await clockwork.store.read.dead_letters(offset=0, limit=10) == ([], 0)


async def test_a_letter_leaves_with_its_job(clockwork: Clockwork) -> None:
    await poison(clockwork)
    assert await clockwork.store.forget(clockwork.job, inputs=[])
    assert not await clockwork.driver.redis.exists(clockwork.store.keys.dead)


async def test_a_dropped_letter_is_gone_and_its_job_is_not(clockwork: Clockwork) -> None:
    await poison(clockwork)
    task = f"{clockwork.job}.noop"
    assert await clockwork.store.drop_dead_letter(task)
    assert not await clockwork.store.drop_dead_letter(task)
    assert await clockwork.store.read.dead_letter(task) is None
    assert await clockwork.state() is TaskState.FAILED


async def test_the_list_is_bounded_and_the_oldest_go_first(clockwork: Clockwork) -> None:
    old = {f"j0-old{number}.noop": number for number in range(10_000)}
    await clockwork.driver.redis.zadd(clockwork.store.keys.dead, old)
    await poison(clockwork)
    assert await clockwork.driver.redis.zcard(clockwork.store.keys.dead) == 10_000
    assert await clockwork.driver.redis.zscore(clockwork.store.keys.dead, "j0-old0.noop") is None
    assert await clockwork.store.read.dead_letter(f"{clockwork.job}.noop") is not None


async def sweep(clockwork: Clockwork) -> list[records.Stop]:
    """What a planner does with jobs that ended with open tasks."""
    stops: list[records.Stop] = []
    for job in await clockwork.store.read.dirty_jobs(10):
        stops += (await clockwork.store.cancel(job, cursor=0, sweep=True)).stops
    return stops


async def test_a_job_past_its_deadline_fails_and_its_tasks_end(clockwork: Clockwork) -> None:
    await clockwork.store.cancel(clockwork.job, cursor=0, sweep=False)
    deadline = clockwork.time.ms + 5_000
    job = await clockwork.driver.submit_one("runs", "waits", deadline=deadline, spec=NARROW)
    (placed, *_) = (await clockwork.driver.place(NARROW, limit=1)).assignments
    await clockwork.driver.ack(placed)
    await clockwork.pass_ms(4_500)
    assert (await clockwork.view(job)).status is JobStatus.PROCESSING
    await clockwork.pass_ms(TICK_MS)
    view = await clockwork.view(job)
    assert view.error is not None
    assert (view.status, view.error.code) == (JobStatus.FAILED, "deadline-exceeded")
    assert [stop.grant for stop in await sweep(clockwork)] == [placed.grant]
    assert {task.state for task in (await clockwork.view(job)).tasks} == {TaskState.CANCELLED}
    letters, _ = await clockwork.store.read.dead_letters(offset=0, limit=10)
    assert {letter.task for letter in letters} == {f"{job}.runs", f"{job}.waits"}
    assert {letter.error.code for letter in letters} == {"deadline-exceeded"}


async def test_a_retry_after_the_deadline_goes_on_without_one(clockwork: Clockwork) -> None:
    job = await clockwork.driver.submit_one("noop", deadline=clockwork.time.ms + 1_000)
    await clockwork.pass_ms(1_000)
    await sweep(clockwork)
    await clockwork.store.retry(job, cursor=0)
    await clockwork.pass_ms(10_000)
    view = await clockwork.view(job)
    assert (view.status, view.deadline_ms) == (JobStatus.PENDING, None)
    assert (await clockwork.store.read.dead_letters(offset=0, limit=10))[1] == 0


async def test_a_retry_before_the_deadline_keeps_it(clockwork: Clockwork) -> None:
    job = await clockwork.driver.submit_one("noop", deadline=clockwork.time.ms + 3_000)
    await clockwork.store.cancel(job, cursor=0, sweep=False)
    await clockwork.store.retry(job, cursor=0)
    await clockwork.pass_ms(3_000)
    assert (await clockwork.view(job)).status is JobStatus.FAILED


async def test_a_job_that_has_ended_leaves_no_deadline_behind(clockwork: Clockwork) -> None:
    await clockwork.store.cancel(clockwork.job, cursor=0, sweep=False)
    job = await clockwork.driver.submit_one("noop", deadline=clockwork.time.ms + 60_000)
    await clockwork.driver.finish(await clockwork.start())
    due = [name.decode() for name in await clockwork.driver.redis.zrange(clockwork.store.keys.due, 0, -1)]
    assert f"job-deadline|{job}" not in due
    assert (await clockwork.view(job)).status is JobStatus.COMPLETED


async def test_a_task_begins_no_sooner_than_it_may(clockwork: Clockwork) -> None:
    await clockwork.driver.submit_one("noop", spec=NARROW, not_before=clockwork.time.ms + 5_000)
    await clockwork.pass_ms(4_500)
    assert (await clockwork.driver.place(NARROW)).assignments == []
    await clockwork.pass_ms(TICK_MS)
    assert len((await clockwork.driver.place(NARROW)).assignments) == 1


async def test_an_upload_or_a_retry_does_not_begin_a_task_sooner(clockwork: Clockwork) -> None:
    await clockwork.store.open_artifact("a0-up", doc="{}", state="open", retention_ms=RETENTION_MS)
    job = await clockwork.driver.submit_one("noop", spec=NARROW, not_before=clockwork.time.ms + 5_000, inputs=["a0-up"])
    await clockwork.store.complete_artifact("a0-up", doc="{}")
    assert (await clockwork.driver.place(NARROW)).assignments == []
    await clockwork.store.cancel(job, cursor=0, sweep=False)
    await clockwork.store.retry(job, cursor=0)
    assert (await clockwork.driver.place(NARROW)).assignments == []
    await clockwork.pass_ms(5_000)
    assert len((await clockwork.driver.place(NARROW)).assignments) == 1


async def test_a_cancelled_job_does_not_begin_at_its_time(clockwork: Clockwork) -> None:
    job = await clockwork.driver.submit_one("noop", spec=NARROW, not_before=clockwork.time.ms + 5_000)
    await clockwork.store.cancel(job, cursor=0, sweep=False)
    await clockwork.pass_ms(5_000)
    assert (await clockwork.driver.place(NARROW)).assignments == []


async def test_the_limit_is_a_rule_and_may_be_none(clockwork: Clockwork) -> None:
    for max_kills, expected in ((0, TaskState.NEW), (0, TaskState.NEW), (1, TaskState.FAILED)):
        placed = await clockwork.start()
        node = node_of(placed.executor)
        clockwork.driver.max_kills = max_kills
        await clockwork.restart(node)
        assert await clockwork.state() is expected


async def told(store: Store) -> list[tuple[str, str, str]]:
    """Return task, code and job of the dead letters that were told of."""
    return [
        (event.data["task"], event.data["error"].get("code", ""), event.job)
        for event in await store.read.past_events("0-0")
        if event.type is EventType.TASK_DEAD
    ]


async def test_a_task_that_fails_for_good_is_told_of_with_its_error(clockwork: Clockwork, store: Store) -> None:
    placed = await clockwork.start()
    error = '{"code":"no-disk","message":"It is \\"full\\"."}'
    failed = await store.fail([records.FailureRecord(placed.task, placed.grant, "failed", error=error)])
    assert failed.dead == {"no-disk": 1}
    assert await told(store) == [(placed.task, "no-disk", clockwork.job)]


async def test_an_error_without_a_code_is_counted_all_the_same(clockwork: Clockwork, store: Store) -> None:
    placed = await clockwork.start()
    assert (await store.fail([records.FailureRecord(placed.task, placed.grant, "failed")])).dead == {"": 1}


async def test_a_try_that_is_followed_by_another_is_no_dead_letter(clockwork: Clockwork, store: Store) -> None:
    placed = await clockwork.start()
    record = records.FailureRecord(placed.task, placed.grant, "failed", retryable=True, delays=[0])
    assert (await store.fail([record])).dead in ({}, [])
    assert await told(store) == []
