"""One run: a world of a seed, its work and its faults, and the judgement."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fleet_simulator import checks
from fleet_simulator.engine import Engine
from fleet_simulator.faults import FAULTS
from fleet_simulator.ledger import EventLog
from fleet_simulator.loop import VirtualLoop
from fleet_simulator.workload import Wish, draw_wish
from fleet_simulator.world import Size, World, seeded
from mediafleet.domain.errors import InvalidRequest, MediafleetError

LONGEST_REST_S = 1_300.0
"""Twice the longest time that a breaker stays open, and some more: work may need the one executor that keeps failing it."""
LOOK_EVERY_S = 2.0


@dataclass(frozen=True)
class Report:
    """How a run ended."""

    seed: int
    faults: tuple[str, ...]
    """Those that happened to it, by name."""
    broken: tuple[str, ...]
    """Rules that did not hold; none where all is well."""
    events: int
    digest: str
    """The hash of all events: the same in every run of the seed."""
    jobs: int
    seconds: float
    """Of virtual time."""
    lines: tuple[str, ...] = ()


def run_seed(seed: int, *, size: Size | None = None, faults: Sequence[str] = (), keep_events: bool = False) -> Report:
    """Run one seed. Process-wide: only one at a time. `faults` happen in place of those that the seed draws."""
    log = EventLog(keep=keep_events)

    async def work(world: World) -> Report:
        chosen = tuple(faults) or draw_faults(seed, world.rng)
        await _live(world, chosen)
        broken = await _rest(world)
        now_s = world.loop.time()
        return Report(
            seed, chosen, tuple(broken), log.count, log.digest, len(world.ledger.promises), now_s, tuple(log.lines)
        )

    return simulate(seed, work, log=log, size=size or Size())


def simulate(seed: int, work: Callable[[World], Awaitable[Any]], *, log: EventLog, size: Size) -> Any:
    """Make the world of a seed and do something with it."""
    loop = VirtualLoop()
    try:
        with seeded(seed) as rng, Engine(loop.wall_s) as engine:

            async def main() -> Any:
                world = World(rng, size, engine, log, loop)
                try:
                    return await work(world)
                finally:
                    world.end()

            return loop.run_until_complete(main())
    finally:
        loop.end()


def draw_faults(seed: int, rng: random.Random) -> tuple[str, ...]:
    """Return the faults of a seed: each comes first in its turn, so that a few seeds meet them all."""
    names = list(FAULTS)
    return (names[seed % len(names)], *rng.choices(names, k=rng.randint(1, 3)))


async def _live(world: World, faults: Sequence[str]) -> None:
    world.begin()
    async with asyncio.TaskGroup() as group:
        for number in range(world.size.jobs):
            group.create_task(_submit(world, number, draw_wish(world.rng, world.size.seconds * 0.8)))
        for name in faults:
            group.create_task(_happen(world, name))


async def _happen(world: World, name: str) -> None:
    await asyncio.sleep(world.rng.uniform(1, world.size.seconds / 2))
    world.note(f"begin {name}")
    await FAULTS[name](world)
    world.note(f"end {name}")


async def _submit(world: World, number: int, wish: Wish) -> None:
    await asyncio.sleep(wish.at_s)
    now_ms = int(world.loop.wall_s() * 1000)
    times = {name: now_ms + later_ms for name, later_ms in wish.times.items()}
    try:
        job = await world.submit(f"job{number}", expected=wish.expected, **wish.fields, **times)
    except InvalidRequest:
        # Its deadline passed before any instance answered.
        return
    if wish.trouble == "cancel":
        await asyncio.sleep(wish.cancel_after_s)
        with suppress(MediafleetError, TimeoutError):
            await world.ask(lambda fleet: fleet.cancel(job))


async def _rest(world: World) -> list[str]:
    """Mend everything, wait until all has come to its end, and judge."""
    world.heal()
    # A store that was rewound may have forgotten that somebody went on.
    await world.resume_all()
    deadline_s = world.loop.time() + LONGEST_REST_S
    while world.loop.time() < deadline_s and not checks.is_quiet(world):  # noqa: ASYNC110 - the store tells no event
        await asyncio.sleep(LOOK_EVERY_S)
    # The last outcomes are written, swept and read by all instances.
    await asyncio.sleep(2 * LOOK_EVERY_S)
    broken = list(checks.find_faults(world))
    checks.Stored(world).let_retention_pass()
    await asyncio.sleep(2 * LOOK_EVERY_S)
    return [*broken, *checks.find_leftovers(world)]
