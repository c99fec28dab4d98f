"""What placing costs, and whom it serves, as fleets, queues and tenants grow: the real scripts on a real store.

Costs are processor time of the store and of Python for place, commit and finish of one task. Cells that are compared
take turns in small rounds and their medians count, so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from mediafleet.bench.cell import PLAIN, BenchCell, Cost, queue_of
from mediafleet.bench.figure import Figure
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import Executor
from mediafleet.store.connection import connect
from mediafleet.store.embedded import EmbeddedRedis
from mediafleet.store.records import PlacedTask, QueueSpec

SMALL, MIDDLE, LARGE = 10, 1_000, 10_000
"""Executors of the fleets that are compared."""
SLOTS = 4
BATCH = 10
"""Tasks a call: as many as the smallest fleet has executors, so that all fleets write as many of them a call."""
ROUNDS, ROUND_TASKS = 9, 400
TENANTS, POOLS, COSTS = 1_000, 64, (1, 2, 4)
QUEUED = 100_000
MIXED_BATCH = 64
CROWD, FEW = 10_000, 3
MANY_QUEUES = 20
"""More than one placing call looks at."""
FLOOD = 2_000
STEP_MS, TASK_MS = 250, 1_000
"""Of the stream of small tasks beside a large one: how often is placed, and how long each takes."""
WARM_UP_STEPS, LONGEST_STEPS = 8, 400
"""Of the stream before the large task comes, and after which it counts as never placed."""

Work = Callable[[], Coroutine[Any, Any, Any]]


async def measure_placement() -> list[Figure]:
    """Measure all of it on private stores."""
    figures: list[Figure] = []
    for part in (_by_fleet, _by_tenants, _by_queue, _by_turn, _wide_task):
        async with _server() as redis:
            figures += await part(redis)
    return figures


@asynccontextmanager
async def _server() -> AsyncGenerator[Any]:
    with tempfile.TemporaryDirectory(prefix="mediafleet-bench-") as data:
        async with EmbeddedRedis(Path(data)) as server:
            redis: Any = connect(server.url, prefix="bench")
            try:
                yield redis
            finally:
                await redis.aclose()


async def _compare(cells: dict[str, tuple[BenchCell, Work, Work]]) -> dict[str, float]:
    """Return microseconds a task of each, by name; each is prepared, then measured, in turns."""
    rounds: dict[str, list[Cost]] = {name: [] for name in cells}
    # The first round warms caches on both sides and does not count.
    for number in range(ROUNDS + 1):
        for name, (cell, prepare, work) in cells.items():
            await prepare()
            cost = await cell.cost_of(work, tasks=ROUND_TASKS)
            if number:
                rounds[name].append(cost)
    return {name: median(cost.us for cost in costs) for name, costs in rounds.items()}


async def _by_fleet(redis: Any) -> list[Figure]:
    """From few executors to many, all alike or each with a label of its own."""
    cells: dict[str, BenchCell] = {}
    memory = 0.0
    for name, size in {"10": SMALL, "1000": MIDDLE, "10000": LARGE}.items():
        cell = cells[name] = BenchCell(redis, f"fleet{name}")
        before = await cell.used_memory()
        await cell.join(Executor("cpu", SLOTS, ("kind:noop",)) for _ in range(size))
        memory = (await cell.used_memory() - before) / size
    cells["labelled"] = BenchCell(redis, "labelled")
    await cells["labelled"].join(Executor("cpu", SLOTS, ("kind:noop", f"label:n{n}")) for n in range(LARGE))
    us = await _compare({name: (cell, _submit(cell), _work(cell, BATCH)) for name, cell in cells.items()})
    small = f"{SMALL} executors, {us['10']:.1f} us a task; {BATCH} tasks a call, place + commit + finish"
    return [
        *(Figure(f"placement_cost_us_{name}", us[name], "us", small) for name in ("10", "1000", "10000")),
        _ratio("placement_cost_ratio_10_to_1000", us["1000"], us["10"], small),
        _ratio("placement_cost_ratio_10_to_10000", us["10000"], us["10"], small),
        _ratio("placement_cost_ratio_10000_signatures", us["labelled"], us["10"], small),
        Figure("idle_node_memory_bytes", memory, "B", f"{LARGE} nodes of one executor, in the store"),
    ]


def _submit(cell: BenchCell) -> Work:
    return partial(cell.submit, ROUND_TASKS)


def _work(cell: BenchCell, limit: int) -> Work:
    return partial(cell.work, ROUND_TASKS, limit=limit)


def _ratio(name: str, value: float, base: float, compared_to: str) -> Figure:
    return Figure(name, value / base, "", compared_to, value / base)


async def _by_tenants(redis: Any) -> list[Figure]:
    """Many tenants, pools and costs against one of each, on as many executors."""
    plain, mixed = BenchCell(redis, "plain"), BenchCell(redis, "mixed")
    await plain.join(Executor("cpu", SLOTS, ("kind:noop",)) for _ in range(MIDDLE))
    await mixed.join(Executor("cpu", SLOTS, ("kind:noop", f"label:p{n % POOLS}")) for n in range(MIDDLE))
    queues = [queue_of(cost=cost) for cost in COSTS]
    tenants = [f"t{n}" for n in range(TENANTS)]

    async def submit_mixed() -> None:
        for queue in queues:
            await mixed.submit(ROUND_TASKS // len(queues) + 1, queue, tenants=tenants)

    us = await _compare(
        {
            "plain": (plain, _submit(plain), _work(plain, MIXED_BATCH)),
            "mixed": (mixed, submit_mixed, partial(mixed.work, ROUND_TASKS, queues, limit=MIXED_BATCH)),
        }
    )
    compared = f"one tenant, pool and cost, {us['plain']:.1f} us a task; {MIDDLE} executors, {MIXED_BATCH} tasks a call"
    return [_ratio("placement_cost_ratio_1000_tenants_64_pools", us["mixed"], us["plain"], compared)]


async def _by_queue(redis: Any) -> list[Figure]:
    """A long queue against an empty one."""
    empty, long = BenchCell(redis, "empty"), BenchCell(redis, "long")
    for cell in (empty, long):
        await cell.join(Executor("cpu", SLOTS, ("kind:noop",)) for _ in range(MIDDLE))
    before = await long.used_memory()
    await long.submit(QUEUED)
    memory = (await long.used_memory() - before) / QUEUED

    # What is measured has its other half beside it: as many come as go, so that the queues stay as long as they are.
    cells = {"empty": empty, "long": long}
    submit_us = await _compare({name: (cell, _work(cell, BATCH), _submit(cell)) for name, cell in cells.items()})
    await empty.work(10 * ROUND_TASKS, limit=BATCH)
    place_us = await _compare({name: (cell, _submit(cell), _work(cell, BATCH)) for name, cell in cells.items()})
    queue = "an empty queue, {:.1f} us a {}"
    return [
        _ratio("submit_cost_ratio_100000_queued", *_pair(submit_us), queue.format(submit_us["empty"], "job")),
        _ratio("placement_cost_ratio_100000_queued", *_pair(place_us), queue.format(place_us["empty"], "task")),
        Figure("queued_job_memory_bytes", memory, "B", f"{QUEUED} jobs of one task, in the store"),
    ]


def _pair(us: dict[str, float]) -> tuple[float, float]:
    return us["long"], us["empty"]


async def _by_turn(redis: Any) -> list[Figure]:
    """Who gets on: batch under a flood, and three tasks of one behind ten thousand of another."""
    flood = BenchCell(redis, "flood")
    await flood.join(Executor("cpu", SLOTS, ("kind:noop",)) for _ in range(SMALL))
    queues = {priority: queue_of(priority=priority) for priority in PriorityClass}
    for queue in queues.values():
        await flood.submit(FLOOD, queue)
    done = await flood.work(FLOOD, list(queues.values()), limit=BATCH)
    batch = sum([await _queue_name(flood, task.task) == queues[PriorityClass.BATCH].id for task in done])

    share, wanted = batch / len(done), 1 / flood.rules.batch_every
    behind = f"{FEW} tasks of a tenant behind {CROWD} of another"
    last, last_of_many = await _last_place(redis, [PLAIN]), await _last_place(redis, _many_queues())
    return [
        Figure(
            "batch_share_under_flood",
            share,
            "",
            f"its minimum share of {wanted:g}, live and interactive waiting",
            share / wanted,
        ),
        Figure("small_tenant_last_place", last, "", f"{behind}: the place of the third", last / 10),
        Figure(
            f"small_tenant_last_place_{MANY_QUEUES}_queues",
            last_of_many,
            "",
            f"the same, the {CROWD} in {MANY_QUEUES} queues and the {FEW} in the last of them",
            last_of_many / 10,
        ),
    ]


def _many_queues() -> list[QueueSpec]:
    """Return queues of different requirements in the order of their names: more than a call takes."""
    return sorted((queue_of(f"label:q{number}") for number in range(MANY_QUEUES)), key=lambda queue: queue.id)


async def _last_place(redis: Any, queues: list[QueueSpec]) -> int:
    """Return the place of the last of few tasks of a tenant, in the last queue, behind many of another in all of them."""
    cell = BenchCell(redis, f"crowd{len(queues)}")
    labels = tuple(f"label:q{number}" for number in range(MANY_QUEUES))
    await cell.join(Executor("cpu", SLOTS, ("kind:noop", *labels)) for _ in range(SMALL))
    for queue in queues:
        await cell.submit(CROWD // len(queues), queue, tenants=["crowd"])
    await cell.submit(FEW, queues[-1], tenants=["small"])
    order = [await _tenant(cell, task.task) for task in await cell.work(100, queues, limit=BATCH)]
    places = [place for place, tenant in enumerate(order, 1) if tenant == "small"]
    return max(places) if len(places) == FEW else CROWD


async def _rule(cell: BenchCell, task: str) -> list[str]:
    client: Any = cell.store.redis
    return (await client.hget(cell.store.keys.task(task), "rule")).decode().split("|")


async def _queue_name(cell: BenchCell, task: str) -> str:
    return (await _rule(cell, task))[0]


async def _tenant(cell: BenchCell, task: str) -> str:
    return (await _rule(cell, task))[1]


async def _wide_task(redis: Any) -> list[Figure]:
    """A task that needs all slots of an executor beside a stream of small ones that never ends; in virtual time."""
    now_ms = 0

    def read_clock() -> int:
        return now_ms

    cell = BenchCell(redis, "wide", now=read_clock)
    await cell.join(Executor("cpu", SLOTS, ("kind:noop",)) for _ in range(SMALL))
    wide = queue_of(cost=SLOTS)
    running: list[tuple[int, PlacedTask]] = []
    step = 0
    # Small tasks begin one after the other, so that without a hold no executor would ever be empty.
    for step in range(-WARM_UP_STEPS, LONGEST_STEPS):
        now_ms = (step + WARM_UP_STEPS) * STEP_MS
        await cell.finish([task for end_ms, task in running if end_ms <= now_ms])
        running = [(end_ms, task) for end_ms, task in running if end_ms > now_ms]
        await cell.submit(BATCH)
        if step == 0:
            await cell.submit(1, wide)
        placed = await cell.place([PLAIN, wide], limit=BATCH)
        if any(task.cost == SLOTS for task in placed):
            break
        await cell.commit(placed)
        running += [(now_ms + TASK_MS, task) for task in placed]
    waited_ms, bound_ms = step * STEP_MS, cell.rules.hold_after_ms + TASK_MS + 2 * STEP_MS
    what = f"the bound of {bound_ms / 1000:g} s: hold_after, one small task of {TASK_MS / 1000:g} s, two looks"
    return [Figure("wide_task_wait_s", waited_ms / 1000, "s", what, waited_ms / bound_ms)]
