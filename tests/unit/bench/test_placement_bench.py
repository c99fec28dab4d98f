"""What placing costs is measured on real scripts; here with small numbers, since only what is measured is judged."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from redis.asyncio import Redis

from mediafleet import bench
from mediafleet.bench import BENCHES, placement
from mediafleet.bench.cell import PLAIN, BenchCell, queue_of
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import Executor
from mediafleet.store.keys import Keys


@pytest.fixture
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little."""
    small = {"SMALL": 3, "MIDDLE": 6, "LARGE": 9, "ROUNDS": 1, "ROUND_TASKS": 12, "BATCH": 3, "TENANTS": 4, "POOLS": 2}
    for name, value in {**small, "QUEUED": 200, "CROWD": 50, "FLOOD": 60}.items():
        monkeypatch.setattr(placement, name, value)


@pytest.fixture
async def cell(redis: Redis, request: pytest.FixtureRequest) -> BenchCell:
    """An empty cell with three executors of two slots."""
    cell = BenchCell(redis, f"bench-{request.node.name[:40]}")
    await cell.join(Executor("cpu", 2, ("kind:noop",)) for _ in range(3))
    return cell


@pytest.mark.usefixtures("small_numbers")
def test_every_figure_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["placement"], json=True) == 0
    figures = {one.name: one for one in msgspec.json.decode(capsys.readouterr().out, type=list[bench.Figure])}
    assert set(figures) == set(BENCHES["placement"].figures)
    assert all(figure.value > 0 and figure.compared_to for figure in figures.values())
    assert figures["batch_share_under_flood"].ratio == pytest.approx(1, abs=0.4)
    for name in ("small_tenant_last_place", "small_tenant_last_place_20_queues"):
        assert figures[name].value <= 10
    assert figures["wide_task_wait_s"].value <= 6.5


async def test_a_round_takes_its_tasks_through_their_whole_life(cell: BenchCell) -> None:
    await cell.submit(10)
    done = await cell.work(8, limit=4)
    keys = cell.store.keys
    assert len(done) == 8
    assert [await cell.store.redis.zcard(keys.jobs(status)) for status in ("completed", "pending")] == [8, 2]


async def test_a_round_ends_when_nothing_is_left(cell: BenchCell) -> None:
    await cell.submit(3)
    assert len(await cell.work(100, limit=4)) == 3


async def test_each_executor_is_touched_once_a_call_where_there_are_as_many_as_tasks(cell: BenchCell) -> None:
    """What makes fleets of different sizes comparable."""
    await cell.submit(3)
    assert set(Counter(task.executor for task in await cell.place(limit=3)).values()) == {1}


async def test_tenants_come_in_turn_and_queues_apart(cell: BenchCell) -> None:
    live = queue_of(priority=PriorityClass.LIVE, cost=2)
    await cell.submit(4, tenants=["ann", "bob"])
    await cell.submit(1, live)
    placed = await cell.place([PLAIN, live], limit=1)
    assert [task.cost for task in placed] == [2]
    keys: Keys = cell.store.keys
    waiting = [await cell.store.redis.zcard(keys.queue_tenant(PLAIN.id, name)) for name in ("ann", "bob")]
    assert waiting == [2, 2]


async def test_the_cost_of_work_is_that_of_the_store_and_of_python(cell: BenchCell) -> None:
    async def work() -> None:
        await cell.submit(300)
        await cell.work(300, limit=6)

    cost = await cell.cost_of(work, tasks=300)
    assert cost.store_s > 0
    assert cost.python_s > 0
    assert cost.us == pytest.approx((cost.store_s + cost.python_s) / 300 * 1e6)
