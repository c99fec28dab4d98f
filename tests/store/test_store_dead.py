"""Tasks that end for good: poison, and the list of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests_support.store_driver import LEASE_MS, RESERVE_MS, RETENTION_MS, StoreDriver

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.ids import node_of
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.store import Store, records

if TYPE_CHECKING:
    from tests_support.virtual_time import VirtualTime

NODES = ("n0-a-1", "n0-b-2", "n0-c-3")
TICK_MS = 500


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

    async def silence(self, *nodes: str, running: tuple[AttemptRef, ...] = ()) -> None:
        """Let a lease pass in which only the other nodes report."""
        for _ in range(4):
            others = [node for node in NODES if node not in nodes]
            reports = [records.NodeReport(node, self.driver.epochs[node], "{}", running) for node in others]
            await self.store.renew(reports, lease_ms=LEASE_MS)
            await self.pass_ms(LEASE_MS // 3)

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


async def test_a_node_that_comes_back_without_the_work_counts(clockwork: Clockwork) -> None:
    for expected in (TaskState.NEW, TaskState.FAILED):
        placed = await clockwork.start()
        await clockwork.driver.join(node_of(placed.executor))
        assert await clockwork.state() is expected


async def test_work_that_its_node_does_not_speak_of_counts(clockwork: Clockwork) -> None:
    for expected in (TaskState.NEW, TaskState.FAILED):
        await clockwork.start()
        await clockwork.silence()
        assert await clockwork.state() is expected


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
        await clockwork.driver.join(node_of(placed.executor))
    await clockwork.store.retry(clockwork.job, cursor=0)
    placed = await clockwork.start()
    await clockwork.driver.join(node_of(placed.executor))
    assert await clockwork.state() is TaskState.NEW


async def poison(clockwork: Clockwork) -> list[str]:
    """Lose the task's node twice; return the executors."""
    executors: list[str] = []
    for _ in range(2):
        placed = await clockwork.start()
        executors.append(placed.executor)
        await clockwork.driver.join(node_of(placed.executor))
    return executors


async def test_a_letter_says_what_is_known_of_its_attempts(clockwork: Clockwork) -> None:
    executors = await poison(clockwork)
    ((letter,), total) = await clockwork.store.read.dead_letters(offset=0, limit=10)
    assert (letter.job, letter.error.code, letter.attempts, total) == (clockwork.job, "poison", 2, 1)
    assert [(end.executor, end.how) for end in letter.ends] == [(name, "restarted") for name in executors]
    assert all(end.at_ms == clockwork.time.ms for end in letter.ends)
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
