"""What can go wrong. Each fault happens to a world, takes its time, and is over when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fleet_simulator.world import World

Fault = Callable[[World], Awaitable[None]]


async def kill_instance(world: World) -> None:
    """Die by kill -9; another starts some seconds later."""
    if world.living():
        world.kill_instance(world.rng.choice(world.living()))
    await asyncio.sleep(world.rng.uniform(0.2, 8))
    world.start_instance()


async def stop_instance(world: World) -> None:
    """SIGSTOP for longer than its presence and its leadership last, then SIGCONT."""
    if world.living():
        process = world.rng.choice(world.living()).process
        world.loop.stop_process(process)
        await asyncio.sleep(world.rng.uniform(3.5, 25))
        world.loop.resume_process(process)


async def end_instance(world: World) -> None:
    """SIGTERM, and another in its place."""
    if world.living():
        world.rng.choice(world.living()).end()
    await asyncio.sleep(world.rng.uniform(0, 3))
    world.start_instance()


async def kill_leader_that_writes(world: World) -> None:
    """The leader dies, and the next one as it writes the rules of the fleet."""
    leader = world.leader()
    world.kill_at_configure = world.rng.choice(["before", "after"])
    if leader:
        world.kill_instance(leader)
    await asyncio.sleep(world.rng.uniform(4, 9))
    world.kill_at_configure = ""
    for _ in range(world.size.instances - len(world.living())):
        world.start_instance()


async def kill_node(world: World) -> None:
    """Die by kill -9, and start again with the outbox, before or after the lease has ended."""
    node = world.rng.choice(world.nodes)
    world.kill_node(node)
    await asyncio.sleep(world.rng.uniform(0.2, 22))
    if node.process.killed:
        world.start_node(node)


async def stop_node(world: World) -> None:
    """SIGSTOP, shorter or longer than its lease."""
    process = world.rng.choice(world.nodes).process
    world.loop.stop_process(process)
    await asyncio.sleep(world.rng.uniform(1, 25))
    world.loop.resume_process(process)


async def cut_for_a_moment(world: World) -> None:
    """No frame gets through, for less time than the lease."""
    await _cut(world, world.rng.uniform(0.5, 13), up=True, down=True)


async def cut_for_long(world: World) -> None:
    """No frame gets through, for longer than the lease."""
    await _cut(world, world.rng.uniform(16, 30), up=True, down=True)


async def cut_one_way(world: World) -> None:
    """Only what goes one way gets through."""
    up = world.rng.random() < 0.5
    await _cut(world, world.rng.uniform(1, 20), up=up, down=not up)


async def _cut(world: World, seconds: float, *, up: bool, down: bool) -> None:
    node = world.rng.choice(world.nodes)
    world.unreachable.add(node.id)
    cut = [wire for wire in world.wires.wires if wire.node == node.id]
    for wire in cut:
        wire.up.is_cut, wire.down.is_cut = up, down
    await asyncio.sleep(seconds)
    world.unreachable.discard(node.id)
    for wire in cut:
        wire.up.heal()
        wire.down.heal()


async def lose_dispatches(world: World) -> None:
    """One assignment in ten does not arrive."""
    world.wires.faults.lost_dispatches = 0.1
    await asyncio.sleep(world.size.seconds)


async def repeat_results(world: World) -> None:
    """One frame of results in three comes twice, the second time late and out of order."""
    world.wires.faults.repeated_results = 0.3
    await asyncio.sleep(world.size.seconds)


async def lose_store(world: World) -> None:
    """The store is away: for a moment, for longer than the outage gap, or for longer than every lease."""
    world.store.is_away = True
    await asyncio.sleep(world.rng.choice([0.3, 2.0, 6.0, 20.0]) * world.rng.uniform(0.8, 1.2))
    world.store.is_away = False


async def rewind_store(world: World) -> None:
    """The store is away and comes back without its last second: a fail-over, or a file that was cut."""
    checkpoint = world.checkpoint()
    await asyncio.sleep(world.rng.uniform(0.1, 1.0))
    world.store.is_away = True
    await asyncio.sleep(world.rng.uniform(0.1, 4))
    world.rewind_store(checkpoint)
    world.store.is_away = False


async def flush_scripts(world: World) -> None:
    """SCRIPT FLUSH."""
    world.engine.forget_scripts()


async def drain_node(world: World) -> None:
    """An operator drains a node and takes it back."""
    node = world.rng.choice(world.nodes).id
    await world.order_drain(node, draining=True)
    await asyncio.sleep(world.rng.uniform(2, 15))
    await world.order_drain(node, draining=False)


async def pause_jobs(world: World) -> None:
    """Somebody pauses some jobs, softly or at once, and lets them go on."""
    jobs = [promise.job for promise in world.ledger.promises.values()]
    now = world.rng.random() < 0.5
    chosen = world.rng.sample(jobs, k=min(len(jobs), 4))
    for job in chosen:
        await world.insist(lambda fleet, name=job: fleet.pauses.pause_job(name, now=now))
    await asyncio.sleep(world.rng.uniform(0.5, 15))
    for job in chosen:
        await world.insist(lambda fleet, name=job: fleet.pauses.resume_job(name))


async def pause_node(world: World) -> None:
    """An operator pauses a node, softly or at once, and lets it work again."""
    node, now = world.rng.choice(world.nodes).id, world.rng.random() < 0.5
    await world.insist(lambda fleet: fleet.pauses.pause_node(node, now=now))
    await asyncio.sleep(world.rng.uniform(1, 12))
    await world.insist(lambda fleet: fleet.pauses.resume_node(node))


async def pause_fleet(world: World) -> None:
    """An operator pauses everything, softly or at once, and lets it go on."""
    now = world.rng.random() < 0.5
    await world.insist(lambda fleet: fleet.pauses.pause_fleet(now=now))
    await asyncio.sleep(world.rng.uniform(0.5, 10))
    await world.insist(lambda fleet: fleet.pauses.resume_fleet())


FAULTS: dict[str, Fault] = {
    fault.__name__.replace("_", "-"): fault
    for fault in (
        *(kill_instance, stop_instance, end_instance, kill_leader_that_writes),
        *(kill_node, stop_node, drain_node),
        *(pause_jobs, pause_node, pause_fleet),
        *(cut_for_a_moment, cut_for_long, cut_one_way, lose_dispatches, repeat_results),
        *(lose_store, rewind_store, flush_scripts),
    )
}
