"""Several instances and processes are measured on real ones; here with small numbers, since only what is measured is judged."""

from __future__ import annotations

import msgspec
import pytest
from redis.asyncio import Redis

from mediafleet import bench
from mediafleet.bench import BENCHES, instances, noop
from mediafleet.bench.cell import BenchCell
from mediafleet.bench.reserver import BATCH, Reserver
from mediafleet.domain.errors import SchedulerUnavailable
from mediafleet.domain.node import Executor

EXECUTOR = Executor("cpu", 1, ("kind:noop",))


@pytest.fixture
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little."""
    for name, value in {
        "ROUNDS": 1,
        "JOBS": 60,
        "WARM_UP": 20,
        "RESERVATIONS": 400,
        "EXECUTORS": 6,
        "NODES": 4,
        "RESERVERS": 2,
    }.items():
        monkeypatch.setattr(instances, name, value)
    monkeypatch.setattr(noop, "BULK", 10)


@pytest.fixture
async def reserver(redis: Redis, request: pytest.FixtureRequest) -> Reserver:
    """One of several on a cell of three executors and nine tasks."""
    name = f"bench-{request.node.name[:40]}"
    cell = BenchCell(redis, name)
    await cell.join([EXECUTOR] * 3)
    await cell.submit(9)
    found = Reserver(redis, name, seed=1)
    await found.cell.look()
    return found


@pytest.mark.usefixtures("small_numbers")
@pytest.mark.timeout(120)
def test_two_instances_and_four_processes_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["instances"], json=True) == 0
    figures = {one.name: one for one in msgspec.json.decode(capsys.readouterr().out, type=list[bench.Figure])}
    assert set(figures) == set(BENCHES["instances"].figures)
    assert figures["two_instances_cpu_ratio"].value > 0
    assert figures["reservations_doubled"].value == figures["reservations_leaked"].value == 0
    reserved = int(figures["reservations_doubled"].compared_to.partition(" ")[0].replace(",", ""))
    assert reserved >= 400


async def test_who_reserves_goes_on_until_nothing_is_left_and_leaves_nothing(reserver: Reserver) -> None:
    tally = await reserver.run(1_000)
    # Those that are lost are given out again.
    assert tally.reserved > 9
    assert tally.doubled == 0
    assert await reserver.cell.count_grants() == 0
    assert await instances.count_leaks(reserver.cell, 3) == 0


async def test_an_executor_that_is_given_twice_is_seen(reserver: Reserver, monkeypatch: pytest.MonkeyPatch) -> None:
    placed = await reserver.cell.place(limit=BATCH)
    assert len({task.executor for task in placed}) == 3
    both = [placed[0], msgspec.structs.replace(placed[1], executor=placed[0].executor)]
    await reserver.hold(both)
    assert reserver.tally.doubled == 1


async def test_slots_that_nobody_let_go_are_counted(reserver: Reserver) -> None:
    await reserver.cell.place(limit=2)
    # Each as a slot and as a grant.
    assert await instances.count_leaks(reserver.cell, 3) == 4


async def test_a_process_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SchedulerUnavailable, match="failed; its error stands above"):
        await instances.reserve_in_process("redis://127.0.0.1:1/0", 1, 1)
