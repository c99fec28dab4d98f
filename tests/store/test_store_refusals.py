"""Attempts that end through no fault of their task: they may go on for ever, and must cost ever less."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.store_driver import LEASE_MS, RETENTION_MS, StoreDriver

from mediafleet.domain.lifecycle import TaskState
from mediafleet.scheduler.explainer import Explainer
from mediafleet.store import records

NODES = ("n0-a-1", "n0-b-2")
LONGEST_MS = 60_000
REFUSAL = '{"code":"rejected","message":"this node lacks kind:noop@2"}'


class Refused:
    """A job of one task that every node refuses."""

    def __init__(self, clockwork: Clockwork, job: str) -> None:
        self.driver, self.time, self.job = clockwork.driver, clockwork.time, job
        self.pass_ms = clockwork.pass_ms
        self.task = f"{job}.noop"
        self.waits: list[int] = []
        """How long the task waited after each of its attempts."""

    async def place(self) -> records.PlacedTask:
        (placed,) = await self.driver.place_all()
        return placed

    async def wait(self) -> None:
        """Go on to where the task may be placed again."""
        due = self.driver.store.keys.due
        held = await self.driver.redis.zscore(due, f"hold|{self.task}")
        self.waits.append(max(0, int(held) - self.time.ms) if held else 0)
        self.time.advance(self.waits[-1])
        while await self.driver.redis.zscore(due, f"hold|{self.task}"):
            await self.driver.reap()

    async def refuse(self, times: int) -> None:
        for _ in range(times):
            assert await self.driver.fail(await self.place(), how="lost", delay_ms=250, error=REFUSAL) == "lost"
            await self.wait()

    async def grants(self) -> dict[str, str]:
        """Return the standing of each grant that the task knows."""
        fields = await self.driver.redis.hgetall(self.driver.store.keys.task(self.task))
        return {
            name.decode().removeprefix("grant:"): value.decode().partition("|")[0]
            for name, value in fields.items()
            if name.startswith(b"grant:")
        }


@pytest.fixture
async def refused(clockwork: Clockwork) -> Refused:
    """Two nodes, and the task."""
    for node in NODES:
        await clockwork.driver.join(node)
    return Refused(clockwork, await clockwork.driver.submit_one("noop"))


async def test_a_task_does_not_grow_with_its_attempts_and_waits_longer_each_time(refused: Refused) -> None:
    redis, key = refused.driver.redis, refused.driver.store.keys.task(refused.task)
    await refused.refuse(20)
    # All fields are weighed: of a few that it picks, the server would guess.
    fields, size = await redis.hlen(key), await redis.memory_usage(key, samples=0)
    await refused.refuse(480)
    assert await redis.hlen(key) == fields <= 30
    assert await redis.memory_usage(key, samples=0) <= 1.2 * size
    assert refused.waits[:3] == [250, 250, 250], "now and then is no reason to wait"
    growing = refused.waits[3:12]
    assert all(earlier < later * 2 for earlier, later in pairwise(growing))
    assert sum(refused.waits[:20]) < 20 * LONGEST_MS
    steady = refused.waits[20:]
    assert min(steady) >= LONGEST_MS / 2
    assert max(steady) <= LONGEST_MS
    assert len(set(steady)) > len(steady) / 2, "tasks that were refused together do not come back together"
    view = await refused.driver.store.read.job(refused.job)
    assert view is not None
    assert (view.tasks[0].attempt, view.tasks[0].tries) == (500, 0)


async def test_after_a_while_without_a_refusal_it_is_a_new_beginning(refused: Refused) -> None:
    await refused.refuse(10)
    placed = await refused.place()
    await refused.driver.ack(placed)
    refused.time.advance(1_200_000)
    for node in NODES:
        await refused.driver.join(node, announced=())
    assert (await refused.driver.fail(placed)) == "stale", "its node came back without it"
    await refused.wait()
    assert refused.waits[-1] == 0


async def test_what_spends_a_try_waits_as_its_kind_says(refused: Refused) -> None:
    for _ in range(2):
        placed = await refused.place()
        await refused.driver.ack(placed)
        assert await refused.driver.fail(placed, delays=[0]) == "retried"
    placed = await refused.place()
    await refused.driver.store.unlink(
        placed.executor.partition("/")[0],
        refused.driver.epochs[placed.executor.partition("/")[0]],
        goodbye=True,
        retention_ms=RETENTION_MS,
    )
    await refused.wait()
    assert refused.waits == [0], "one lost reservation is no reason to wait"


async def test_a_grant_that_holds_slots_or_has_work_is_kept_however_many_follow(refused: Refused) -> None:
    late = await refused.place()
    await refused.driver.ack(late)
    node = late.executor.partition("/")[0]
    # The lease of its node ends; the node still works on it, and comes back with it in the end.
    await refused.pass_ms(LEASE_MS + TICK_MS)
    await refused.driver.join(next(other for other in NODES if other != node))
    await refused.refuse(40)
    grants = await refused.grants()
    assert grants[late.grant] == "lost"
    assert len(grants) <= 17
    assert await refused.driver.finish(late) == ["accepted"]
    assert await refused.driver.used(f"{node}/cpu") == 0


async def test_a_result_of_a_grant_that_was_forgotten_is_late_as_one_that_was_revoked(refused: Refused) -> None:
    first = await refused.place()
    await refused.driver.fail(first, how="lost", delay_ms=250, error=REFUSAL)
    assert await refused.driver.finish(first) == ["stale"]
    await refused.wait()
    await refused.refuse(20)
    assert first.grant not in await refused.grants()
    assert await refused.driver.finish(first) == ["stale"]
    assert await refused.driver.fail(first) == "stale"
    assert [stop.grant for stop in await refused.driver.ack(first)] == [first.grant]


async def test_why_says_what_is_wrong(refused: Refused, driver: StoreDriver) -> None:
    await refused.refuse(6)
    await refused.driver.fail(await refused.place(), how="lost", delay_ms=250, error=REFUSAL)
    view = await driver.store.read.job(refused.job)
    assert view is not None
    why = await Explainer(driver.store).why(view)
    assert why.tasks[0].state is TaskState.NEW
    reason = json.loads(REFUSAL)["message"]
    assert f"Nodes refused it 7 times in a row, and no try was spent: {reason}." in why.sentence


@pytest.fixture
def driver(refused: Refused) -> StoreDriver:
    """The driver of the fleet."""
    return refused.driver
