"""A cell of simulated executors and jobs on a real store, driven in the batches of a scheduler instance."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mediafleet.domain.capability import Requirement
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.ids import new_token, node_of
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskSpec
from mediafleet.scheduler.matching import PoolMatcher
from mediafleet.scheduler.placer import MAX_QUEUES
from mediafleet.scheduler.turns import choose_group
from mediafleet.store import Store, records
from mediafleet.store.keys import Keys
from mediafleet.store.scripts import as_text

INSTANCE = "bench"
LEASE_MS = 3_600_000
"""Nothing may end in the middle of a measurement, and no reaper runs."""
SUBMIT_BATCH = 100
AT_ONCE = 32
"""Calls under way while a cell is filled."""
DOC = as_text(TaskSpec("noop", 1, "noop", "noop", "default", params={"echo": "", "slots": 1}))
RESULT = '{"result":{"echo":""}}'


@dataclass
class Cost:
    """Processor time that some work took."""

    tasks: int = 0
    store_s: float = 0.0
    python_s: float = 0.0

    @property
    def us(self) -> float:
        """Microseconds a task, of the store and of Python together."""
        return (self.store_s + self.python_s) / max(1, self.tasks) * 1e6


def queue_of(*capabilities: str, cost: int = 1, priority: PriorityClass = PriorityClass.BATCH) -> records.QueueSpec:
    """Return the queue of tasks that any executor with these capabilities can do."""
    return records.QueueSpec(Requirement(("kind:noop", *capabilities), cost), priority)


PLAIN = queue_of()


class BenchCell:
    """One cell; what it says of times is the processor's, so that other work on the machine disturbs it least."""

    def __init__(self, redis: Any, name: str, *, now: Callable[[], int] | None = None) -> None:
        self.store = Store(redis, Keys(name, "0"), now=now)
        self.rules = records.PlaceRules(INSTANCE, LEASE_MS)
        self._redis = redis
        self._matcher = PoolMatcher()
        self._epochs: dict[str, int] = {}
        self._count = itertools.count()
        self._draw = random.Random(1)  # noqa: S311 - a policy, no secret

    # --- filling ----------------------------------------------------------------------------------

    async def join(self, executors: Iterable[Executor]) -> None:
        """Register a node for each executor."""
        for some in _in_parts(executors, AT_ONCE):
            await asyncio.gather(*(self._register(executor) for executor in some))
        self._matcher.update(*await self.store.read.pool_set())

    async def _register(self, executor: Executor) -> None:
        node = f"n0-bench-{next(self._count)}"
        pool = executor.signature.pool
        record = records.ExecutorRecord(f"{node}/cpu", executor.slots, pool, executor.live_reserve, as_text(executor))
        admitted = await self.store.register(
            records.NodeRecord(
                node=node,
                instance=INSTANCE,
                incarnation=new_token(),
                doc=as_text(records.NodeDocument(host=node, version="0")),
                draining=False,
                lease_ms=LEASE_MS,
                executors=[record],
                pools={pool: as_text(executor.signature)},
                announced=(),
                max_kills=0,
                poison_error="{}",
            )
        )
        self._epochs[node] = admitted.epoch

    async def submit(
        self, count: int, queue: records.QueueSpec = PLAIN, *, tenants: Sequence[str] = ("default",)
    ) -> None:
        """Accept so many jobs of one task, the tenants in turn."""
        for start in range(0, count, SUBMIT_BATCH):
            names = itertools.islice(itertools.cycle(tenants), start, min(count, start + SUBMIT_BATCH))
            jobs = [self._job(queue, tenant) for tenant in names]
            await self.store.submit(jobs, {queue.id: as_text(queue)})

    def _job(self, queue: records.QueueSpec, tenant: str) -> records.JobRecord:
        number = next(self._count)
        job_id = f"j0-bench{number:010}"
        job = Job(job_id, "0", tenant, "local", "noop", 1, "noop", (), {"echo": "", "slots": 1}, queue.priority, number)
        task = records.TaskRecord(
            id=f"{job_id}.noop",
            name="noop",
            job=job_id,
            queue=queue.id,
            tenant=tenant,
            cost=queue.requirement.slots,
            score=number,
            doc=DOC,
            after=[],
            waits=[],
            max_tries=3,
            total_ms=0,
            weight=1.0,
        )
        return records.JobRecord(job_id, "noop", "", as_text(job), tenant, number, LEASE_MS, "noop", [], 1.0, [task])

    async def look(self) -> None:
        """Learn which pools there are and which nodes have them, where another process filled the cell."""
        self._matcher.update(*await self.store.read.pool_set())
        # Nobody registers twice here.
        self._epochs = {node.id: 1 for node in await self.store.read.nodes()}

    async def waits(self, queue: records.QueueSpec) -> bool:
        """Tell whether the queue has tasks that wait."""
        _, waiting = await self.store.read.waiting_queues()
        return queue.id in waiting

    async def count_grants(self) -> int:
        """Return how many attempts hold slots."""
        grants = [self.store.keys.executor_grants(f"{node}/cpu") for node in self._epochs]
        return sum([await self._redis.hlen(name) for name in grants])

    # --- working ----------------------------------------------------------------------------------

    async def place(self, queues: Sequence[records.QueueSpec] = (PLAIN,), *, limit: int) -> list[records.PlacedTask]:
        """Give at most so many tasks executors, in one call; of more queues than it takes, those whose turn it is."""
        if len(queues) > MAX_QUEUES:
            heads = await self.store.read.queue_heads([queue.id for queue in queues])
            queues = choose_group([queue for queue in queues if queue.id in heads], heads, most=MAX_QUEUES)
        turns, pools = self._matcher.offer(queues)
        request = records.PlaceRequest(turns, pools, [new_token() for _ in range(limit)], self._draw.random())
        return (await self.store.place(request, self.rules)).assignments

    async def commit(self, placed: Sequence[records.PlacedTask]) -> None:
        """Confirm assignments, one group a node."""
        by_node: dict[str, list[AttemptRef]] = defaultdict(list)
        for task in placed:
            by_node[node_of(task.executor)].append(AttemptRef(task.task, task.grant))
        groups = [records.NodeAttempts(node, self._epochs[node], tuple(refs)) for node, refs in by_node.items()]
        await self.store.commit(groups)

    async def finish(self, placed: Sequence[records.PlacedTask]) -> None:
        """Deliver results."""
        await self.store.finish([records.ResultRecord(task.task, task.grant, RESULT, []) for task in placed])

    async def work(
        self, count: int, queues: Sequence[records.QueueSpec] = (PLAIN,), *, limit: int
    ) -> list[records.PlacedTask]:
        """Take tasks through place, commit and finish in batches, until so many are done or none is left."""
        done: list[records.PlacedTask] = []
        while len(done) < count and (placed := await self.place(queues, limit=limit)):
            await self.commit(placed)
            await self.finish(placed)
            done += placed
        return done

    async def cost_of(self, work: Callable[[], Any], *, tasks: int) -> Cost:
        """Return what some work with so many tasks costs."""
        store_s, python_s = await self._store_seconds(), time.process_time()
        await work()
        python_s = time.process_time() - python_s
        return Cost(tasks, await self._store_seconds() - store_s, python_s)

    async def _store_seconds(self) -> float:
        info = await self._redis.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    async def used_memory(self) -> int:
        """Return the bytes that the store's data take, of all its cells."""
        return int((await self._redis.info("memory"))["used_memory"])


def _in_parts(items: Iterable[Executor], size: int) -> Iterable[list[Executor]]:
    iterator = iter(items)
    while part := list(itertools.islice(iterator, size)):
        yield part
