"""Each fault does to the fleet what its name says; else fifty quiet seeds would prove nothing."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from fleet_simulator import checks, ledger, run
from fleet_simulator.faults import FAULTS
from fleet_simulator.instance import KEYS
from fleet_simulator.ledger import EventLog
from fleet_simulator.run import draw_faults, run_seed, simulate
from fleet_simulator.world import Size, World

from mediafleet.store import scripts

SMALL = Size(instances=2, nodes=2, jobs=8, seconds=15)


def live(work: Callable[[World], Awaitable[Any]], *, size: Size = SMALL) -> Any:
    """Let something happen to a small world."""

    async def begin(world: World) -> Any:
        world.begin()
        await asyncio.sleep(3)
        return await work(world)

    return simulate(1, begin, log=EventLog(keep=False), size=size)


def script_calls(lines: tuple[str, ...], who: str) -> list[float]:
    """Return when somebody called the store."""
    return [float(line.split()[0]) for line in lines if line.split()[1] == who]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fleet_outlives_each_fault_alone(name: str) -> None:
    report = run_seed(101, size=SMALL, faults=[name])
    assert report.broken == ()
    assert report.faults == (name,)


def test_fifty_seeds_meet_every_fault() -> None:
    met = {draw_faults(seed, random.Random(seed))[0] for seed in range(50)}  # noqa: S311 - repeated, and no secret
    assert met == set(FAULTS)


def test_a_stopped_instance_does_nothing_until_it_goes_on() -> None:
    log = EventLog(keep=True)

    async def work(world: World) -> None:
        world.begin()
        await asyncio.sleep(3)
        world.loop.stop_process(world.instances[0].process)
        await asyncio.sleep(10)
        world.loop.resume_process(world.instances[0].process)
        await asyncio.sleep(3)

    simulate(1, work, log=log, size=SMALL)
    calls = script_calls(tuple(log.lines), "i-1")
    assert any(at < 3 for at in calls)
    assert not [at for at in calls if 3.1 < at < 13]
    assert any(at > 13 for at in calls)


def test_another_leads_while_the_leader_is_stopped_and_the_late_one_takes_nothing_back() -> None:
    async def work(world: World) -> tuple[str, str, str]:
        first = world.leader()
        assert first
        world.loop.stop_process(first.process)
        await asyncio.sleep(6)
        second = world.leader()
        assert second
        world.loop.resume_process(first.process)
        await asyncio.sleep(3)
        third = world.leader()
        assert third
        assert world.ledger.faults == []
        return first.name, second.name, third.name

    first, second, third = live(work)
    assert first != second == third


def test_a_killed_instance_never_speaks_again() -> None:
    log = EventLog(keep=True)

    async def work(world: World) -> None:
        world.begin()
        await asyncio.sleep(3)
        world.kill_instance(world.instances[0])
        await asyncio.sleep(10)

    simulate(1, work, log=log, size=SMALL)
    assert not [at for at in script_calls(tuple(log.lines), "i-1") if at > 3.01]


def test_a_rewound_store_has_forgotten_what_came_after() -> None:
    async def work(world: World) -> tuple[int, int, int]:
        def count() -> int:
            return int(world.engine.run("ZCARD", KEYS.jobs()))

        await world.submit("before")
        checkpoint = world.checkpoint()
        await world.submit("after")
        both = count()
        world.rewind_store(checkpoint)
        return both, count(), len(world.ledger.promises)

    assert live(work) == (2, 1, 1)


def test_a_node_that_starts_again_delivers_what_its_disk_kept() -> None:
    """The result was ready and unsaid when the node died: it counts, and the work is not done twice."""

    async def work(world: World) -> tuple[int, str]:
        await asyncio.sleep(1)
        job = await world.submit("once", params={"seconds": 4.0})
        await asyncio.sleep(2)
        (node,) = world.nodes
        for wire in world.wires.wires:
            wire.up.is_cut = True
        world.unreachable.add(node.id)
        await asyncio.sleep(5)
        assert len(node.disk.outbox) == 1
        world.kill_node(node)
        world.unreachable.clear()
        world.start_node(node)
        await asyncio.sleep(5)
        task = checks.Stored(world).hash(f"task:{job}.z")
        return int(task["attempt"]), task["state"]

    assert live(work, size=Size(instances=1, nodes=1)) == (1, "DONE")


def test_a_repeated_result_is_refused_and_counted() -> None:
    async def work(world: World) -> float:
        world.wires.faults.repeated_results = 1.0
        for number in range(5):
            await world.submit(f"job{number}", params={"seconds": 0.5})
        await asyncio.sleep(40)
        assert world.ledger.faults == []
        counters: list[Any] = [i.fleet.metrics.duplicate_results for i in world.instances]
        return sum(float(counter._value.get()) for counter in counters)

    assert live(work) >= 5


# --- the judge itself ---------------------------------------------------------------------------


def test_the_judge_finds_a_job_that_was_lost() -> None:
    async def work(world: World) -> list[str]:
        job = await world.submit("lost")
        await asyncio.sleep(10)
        world.engine.run("DEL", KEYS.job(job))
        return list(checks.find_faults(world))

    assert any("is lost" in fault for fault in live(work))


def test_the_judge_finds_slots_that_leaked() -> None:
    async def work(world: World) -> list[str]:
        world.engine.run("HSET", KEYS.executor_grants(f"{world.nodes[0].id}/cpu"), "ghost", "1|b|ann|j0-x.z")
        return list(checks.find_faults(world))

    assert any("slots in use" in fault for fault in live(work))


def test_the_judge_finds_two_leaders_of_one_epoch_and_versions_that_fall() -> None:
    async def work(world: World) -> list[str]:
        process = world.instances[0].process
        for leader, version in (("i-1", 7), ("i-9", 3)):
            reply = {"leader": leader, "epoch": 99, "config_version": version}
            world.ledger.look(process, "announce", {}, msgspec.to_builtins(reply))
        return world.ledger.faults

    first, second = live(work)
    assert "led at epoch 99" in first
    assert "fell from 7 to 3" in second


def test_the_judge_finds_a_second_result_of_a_task() -> None:
    async def work(world: World) -> list[str]:
        call = ({"results": [{"task": "j0-x.z"}]}, {"verdicts": ["accepted"]})
        for _ in range(2):
            world.ledger.look(world.instances[0].process, "finish", *call)
        return world.ledger.faults

    assert live(work) == ["two results of j0-x.z were accepted"]


def test_the_judge_finds_a_key_without_an_owner() -> None:
    async def work(world: World) -> list[str]:
        world.engine.run("SET", f"{KEYS.tag}stray", "1")
        return list(checks.find_leftovers(world))

    assert live(work) == ["the key stray has no owner"]


def test_a_store_that_takes_a_result_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that accepts results, broken on purpose."""
    real = scripts.load_script
    broken = real("finish")
    for line, instead in (
        ("if t.standing == 'won' then return 'duplicate' end", ""),
        (
            "if t.standing == 'revoked' or not state or not may_answer(t) then return 'stale' end",
            "state = state or 'DONE'",
        ),
    ):
        assert line in broken
        broken = broken.replace(line, instead)

    def load(name: str) -> str:
        return broken if name == "finish" else real(name)

    monkeypatch.setattr(scripts, "load_script", load)
    monkeypatch.setitem(run.__dict__, "LONGEST_REST_S", 30.0)
    monkeypatch.setitem(ledger.SCRIPTS, hashlib.sha1(broken.encode(), usedforsecurity=False).hexdigest(), "finish")
    report = run_seed(1, size=SMALL, faults=["repeat-results"])
    assert any("two results of" in rule for rule in report.broken)
