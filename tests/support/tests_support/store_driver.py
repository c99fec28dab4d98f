"""Drives a store the way a scheduler does, in single steps that a test can read."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from mediafleet.domain.capability import Requirement
from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.ids import new_token, node_of
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.limits import USUAL, encode_limits
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskSpec
from mediafleet.domain.rules import FleetRules, InstanceDocument, Membership
from mediafleet.scheduler.matching import PoolMatcher
from mediafleet.scheduler.turns import in_order
from mediafleet.store import Store, health, records
from mediafleet.store.cell_records import Bounds
from mediafleet.store.scripts import as_text

RESERVE_MS = 5_000
LEASE_MS = 15_000
RETENTION_MS = 3_600_000
FADE_MS = 60_000
"""How long a pool without executors stays, as `includes/pools.lua` has it."""
POISON = '{"code":"poison","message":"{nodes}"}'
RULES = records.ReapRules(
    gap_ms=3_000,
    grace_ms=LEASE_MS,
    retention_ms=RETENTION_MS,
    timeout_error='{"code":"timeout","message":"m"}',
    delays=[100, 200, 400],
    poison_error=POISON,
    deadline_error='{"code":"deadline-exceeded","message":"m"}',
    queue_error='{"code":"queue-timeout","message":"m"}',
    stalled_error='{"code":"stalled","message":"m"}',
    task_deadline_error='{"code":"deadline-exceeded","message":"m"}',
    dependency_error='{"code":"dependency-failed","message":"{job} {how}"}',
)
PLACE_RULES = records.PlaceRules("i-1", RESERVE_MS)


def spec(
    *capabilities: str, slots: int = 1, priority: PriorityClass = PriorityClass.BATCH, policy: str = "least_loaded"
) -> records.QueueSpec:
    """Return a queue's description; without capabilities any node of these tests will do."""
    return records.QueueSpec(Requirement(capabilities or ("kind:noop",), slots), priority, policy)


DEFAULT_QUEUE = spec()


async def announce(store: Store, instance: str, *, ttl_ms: int = 60_000) -> Membership:
    """Say that an instance lives."""
    return await store.announce(instance, doc=as_text(InstanceDocument("0", "host", 1)), ttl_ms=ttl_ms)


class StoreDriver:
    """One instance's view of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.epochs: dict[str, int] = {}
        self.incarnations: dict[str, str] = {}
        self.queues: dict[str, str] = {}
        self.max_kills = FleetRules().max_kills
        self._count = itertools.count()

    async def join(
        self,
        node: str,
        *,
        slots: int = 1,
        announced: tuple[AttemptRef, ...] = (),
        **changes: Any,
    ) -> records.NodeAdmitted:
        """Register a node with one executor `cpu`, of which `changes` say more."""
        instance, lease_ms = changes.pop("instance", "i-1"), changes.pop("lease_ms", LEASE_MS)
        standing = {name: changes.pop(name) for name in ("warming", "pressed", "ailing") if name in changes}
        given: dict[str, Any] = {"capabilities": ("kind:noop",)} | changes
        executor = Executor("cpu", slots, **given)
        pool = executor.signature.pool
        record = records.NodeRecord(
            node=node,
            instance=instance,
            incarnation=self.incarnations.setdefault(node, new_token()),
            doc=as_text(records.NodeDocument(host="host", version="0")),
            draining=False,
            lease_ms=lease_ms,
            executors=[records.ExecutorRecord(f"{node}/cpu", slots, pool, executor.live_reserve, as_text(executor))],
            pools={pool: as_text(executor.signature)},
            announced=announced,
            max_kills=self.max_kills,
            poison_error=POISON,
            **standing,
        )
        admitted = await self.store.register(record)
        self.epochs[node] = admitted.epoch
        return admitted

    async def change(
        self, node: str, capabilities: tuple[str, ...] = (), *, slots: int = 1, state: str = "", **more: Any
    ) -> health.Reshaped:
        """Have a linked node say anew what its executor `cpu` can do, or how it is; what is left out is not said."""
        executors = [Executor("cpu", slots, capabilities)] if capabilities else []
        records_of = [
            records.ExecutorRecord(f"{node}/{e.name}", e.slots, e.signature.pool, e.live_reserve, as_text(e))
            for e in more.pop("executors", executors)
        ]
        pools = {e.signature.pool: as_text(e.signature) for e in executors}
        given: dict[str, Any] = {"epoch": self.epochs[node], "reason": "", "pools": pools} | more
        return await self.store.reshape(health.NodeChange(node=node, state=state, executors=records_of, **given))

    def job_record(self, names: dict[str, tuple[str, ...]], **changes: Any) -> records.JobRecord:
        """Return a job with these tasks (name → names it waits for); the last one's result is the job's."""
        number = next(self._count)
        job_id = f"j0-job{number:010}"
        job = Job(job_id, "0", "default", "local", "noop", 1, "", (), {}, PriorityClass.BATCH, 1000 + number)
        queue: records.QueueSpec = changes.get("spec", DEFAULT_QUEUE)
        self.queues[queue.id] = as_text(queue)
        tasks = [
            records.TaskRecord(
                id=f"{job_id}.{name}",
                name=name,
                job=job_id,
                queue=queue.id,
                tenant=changes.get("tenant", "default"),
                cost=queue.requirement.slots,
                score=number,
                doc=as_text(TaskSpec("noop", 1, "noop", name, "default")),
                after=[f"{job_id}.{parent}" for parent in after],
                waits=changes.get("inputs", []),
                max_tries=changes.get("max_tries", 3),
                total_ms=changes.get("total_ms", 0),
                weight=1.0,
                not_before=changes.get("not_before", 0),
                limits=encode_limits(changes.get("limits", USUAL)),
            )
            for name, after in names.items()
        ]
        return records.JobRecord(
            id=job_id,
            kind="noop",
            key=changes.get("key", ""),
            doc=as_text(job),
            tenant=changes.get("tenant", "default"),
            created=1000 + number,
            retention_ms=RETENTION_MS,
            outcome_of=changes.get("outcome_of", list(names)[-1] if names else ""),
            inputs=changes.get("inputs", []),
            weight=float(len(names)),
            tasks=tasks,
            deadline=changes.get("deadline", 0),
            after=changes.get("after", []),
            batch=changes.get("batch", ""),
        )

    async def submit(self, *jobs: records.JobRecord, bounds: Bounds | None = None) -> records.Submitted:
        """Accept jobs, without bounds where none are given."""
        return await self.store.submit(jobs, self.queues, bounds)

    async def submit_many(self, count: int, spec: records.QueueSpec = DEFAULT_QUEUE, tenant: str = "default") -> None:
        """Accept so many jobs of one task."""
        for start in range(0, count, 500):
            names = range(min(500, count - start))
            await self.submit(*(self.job_record({"run": ()}, spec=spec, tenant=tenant) for _ in names))

    async def submit_one(self, *names: str, **changes: Any) -> str:
        """Accept one job with independent tasks of these names; return its id."""
        submitted = await self.submit(self.job_record(dict.fromkeys(names, ()), **changes))
        return submitted.jobs[0].id

    async def place(
        self, *specs: records.QueueSpec, limit: int = 64, rules: records.PlaceRules = PLACE_RULES
    ) -> records.Placed:
        """Place what has room of these queues in one call."""
        matcher = PoolMatcher()
        matcher.update(*await self.store.read.pool_set())
        queues, pools = matcher.offer(specs)
        request = records.PlaceRequest(queues, pools, [new_token() for _ in range(limit)], draw=0.5)
        return await self.store.place(request, rules)

    async def place_waiting(self, limit: int = 64, **rules: Any) -> records.Placed:
        """Place what has room of all queues that wait, in one call; `rules` may differ from the usual ones."""
        known = await self.store.read.queues()
        _, waiting = await self.store.read.waiting_queues()
        changed = msgspec.structs.replace(PLACE_RULES, **rules)
        return await self.place(*in_order(known[queue] for queue in waiting), limit=limit, rules=changed)

    async def place_all(self, limit: int = 64) -> list[records.PlacedTask]:
        """Place what has room of the default queue."""
        return (await self.place(DEFAULT_QUEUE, limit=limit)).assignments

    async def ack(self, *placed: records.PlacedTask) -> list[records.Stop]:
        """Confirm assignments as their nodes would."""
        groups = [
            records.NodeAttempts(node_of(p.executor), self.epochs[node_of(p.executor)], (AttemptRef(p.task, p.grant),))
            for p in placed
        ]
        return await self.store.commit(groups)

    async def finish(self, placed: records.PlacedTask, result: str = "{}") -> list[str]:
        """Deliver a result; return the verdicts."""
        return list((await self.store.finish([records.ResultRecord(placed.task, placed.grant, result, [])])).verdicts)

    async def fail(self, placed: records.PlacedTask, **how: Any) -> str:
        """Deliver a failure (by default a retryable one of the task's own)."""
        fields: dict[str, Any] = {
            "how": "failed",
            "error": '{"code":"task-failed","message":"It failed."}',
            "retryable": True,
            "delays": [0],
        } | how
        return (await self.store.fail([records.FailureRecord(placed.task, placed.grant, **fields)])).verdicts[0]

    @property
    def redis(self) -> Any:
        """The client, whose own types serve two worlds at once."""
        return self.store.redis

    async def key_names(self) -> set[str]:
        """Names of all keys below the store's prefix."""
        return {key.decode() async for key in self.redis.scan_iter(f"{self.store.keys.prefix}:*")}

    async def reap(self) -> records.Reaped:
        """One tick of the reaper."""
        return await self.store.reap(RULES)

    async def used(self, executor: str) -> int:
        """Slots in use by the derived count, after checking it, batch's and the places in indexes against the grants."""
        client: Any = self.store.redis
        keys = self.store.keys
        fields = {
            name.decode(): value.decode() for name, value in (await client.hgetall(keys.executor(executor))).items()
        }
        held = [value.decode().split("|", 3) for value in await client.hvals(keys.executor_grants(executor))]
        used, batch = (int(fields.get(name) or 0) for name in ("used", "batch_used"))
        assert used == sum(int(cost) for cost, *_ in held), "the count differs from the grants"
        assert batch == sum(int(cost) for cost, letter, *_ in held if letter == "b"), "batch's count differs from them"
        if fields.get("listed") == "1" and not fields.get("held_for"):
            reserve = int(fields["reserve"])
            assert await client.zscore(keys.pool_members(fields["pool"]), executor) == used
            as_batch = max(used, batch + reserve) if reserve else None
            assert await client.zscore(keys.pool_batch(fields["pool"]), executor) == as_batch
        return used
