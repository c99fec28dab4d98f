"""Reads from the store; never writes. A reader may see a state that is one step old."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.artifact import Artifact, ArtifactState
from mediafleet.domain.capability import Signature
from mediafleet.domain.dead import DeadLetter
from mediafleet.domain.event import Event, event_position
from mediafleet.domain.ids import job_of
from mediafleet.domain.job import Job, JobView
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.node import LINKED_STATES, NodeView, PoolView
from mediafleet.domain.rules import ClusterView, FleetRules, InstanceDocument, InstanceView, KindAside
from mediafleet.store import snapshots, views
from mediafleet.store.batches import BatchEntry, read_batch, read_names
from mediafleet.store.connection import translate_errors
from mediafleet.store.event_entries import RawEntry, entry_of, read_events
from mediafleet.store.gauges import read_gauges
from mediafleet.store.job_lists import read_page
from mediafleet.store.keys import ASIDE_MS
from mediafleet.store.records import QueueSpec
from mediafleet.store.room import read_room
from mediafleet.store.scripts import from_fields
from mediafleet.store.workload import read_task_times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from mediafleet.domain.capability import Requirement
    from mediafleet.domain.explanation import FleetSnapshot, TaskSnapshot
    from mediafleet.domain.insight import FleetGauges
    from mediafleet.domain.room import Room
    from mediafleet.store.keys import Keys

CHAINS_AT_ONCE = 256
HEADS_OF_QUEUE = 4
"""Tenants of a queue that are looked at: scores may be old, and the first of them may have had its turn elsewhere."""
NODES_AT_ONCE = 200
VIEWS_AT_ONCE = 500
NAMES_AT_ONCE = 1000
SHOWN_TASKS = 500
"""Most tasks that a job is shown with: each one is a hash to read, and nobody reads more of them on a page."""


class Reader:
    """Reads of one cell."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        # redis-py types each answer for its sync and its async half at once.
        self._redis: Any = redis
        self._keys = keys

    async def ping(self) -> None:
        """Return if the server answers. Raises StoreUnavailable."""
        with translate_errors():
            await self._redis.ping()

    async def schema_field(self, field: str) -> int:
        """Return a number of the schema record; 0 where it is missing."""
        with translate_errors():
            return int(await self._redis.hget(self._keys.schema, field) or 0)

    async def _hashes(self, names: Sequence[str]) -> list[dict[str, str]]:
        with translate_errors():
            # One round trip without MULTI: records that are one step apart are what readers are promised, and a
            # transaction would make all other clients wait.
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(name)
            return [from_fields(fields) for fields in await pipeline.execute()]

    async def job(self, job_id: str) -> JobView | None:
        """Return a job with its tasks, of very many only the first ones."""
        with translate_errors():
            listed = await self._redis.lrange(self._keys.job_tasks(job_id), 0, SHOWN_TASKS - 1)
        task_ids = [name.decode() for name in listed]
        fields, *tasks = await self._hashes([self._keys.job(job_id), *map(self._keys.task, task_ids)])
        return views.job_view(fields, dict(zip(task_ids, tasks, strict=True))) if fields else None

    async def job_document(self, job_id: str) -> Job | None:
        """Return the unchanging part of a job."""
        with translate_errors():
            text = await self._redis.hget(self._keys.job(job_id), "doc")
        return msgspec.json.decode(text, type=Job) if text else None

    async def jobs(
        self, *, status: JobStatus | None, kind: str = "", offset: int, limit: int
    ) -> tuple[list[JobView], int]:
        """Return a page of jobs, newest first, and how many there are."""
        found, total = await read_page(self._redis, self._keys, status=status, kind=kind, offset=offset, limit=limit)
        return await self._views([name for _, name in found]), total

    async def job_views(self, job_ids: Sequence[str]) -> dict[str, JobView]:
        """Return jobs without their tasks, by id."""
        # In parts: thousands of hashes in one answer would hold up whatever else is asked of the server.
        parts = [job_ids[start : start + VIEWS_AT_ONCE] for start in range(0, len(job_ids), VIEWS_AT_ONCE)]
        return {view.id: view for part in parts for view in await self._views(part)}

    async def keyed_jobs(self, keys: Sequence[tuple[str, str]]) -> list[bool]:
        """Tell of each (tenant, idempotency key) whether a job has it."""
        return await self._are_there([self._keys.idempotency(*key) for key in keys])

    async def unknown_jobs(self, job_ids: Sequence[str]) -> list[str]:
        """Return those of the ids that no job has."""
        found = await self._are_there([self._keys.job(job_id) for job_id in job_ids])
        return [job_id for job_id, is_there in zip(job_ids, found, strict=True) if not is_there]

    async def _are_there(self, names: Sequence[str]) -> list[bool]:
        """Tell of each key whether it exists."""
        found: list[bool] = []
        # In parts: there may be hundreds of thousands, and whatever else is asked waits for the answers.
        for start in range(0, len(names), NAMES_AT_ONCE):
            with translate_errors():
                pipeline = self._redis.pipeline(transaction=False)
                for name in names[start : start + NAMES_AT_ONCE]:
                    pipeline.exists(name)
                found += map(bool, await pipeline.execute())
        return found

    async def _views(self, job_ids: Sequence[str]) -> list[JobView]:
        found = await self._hashes([self._keys.job(job_id) for job_id in job_ids])
        return [views.job_view(fields) for fields in found if fields]

    async def dead_letters(self, *, offset: int, limit: int) -> tuple[list[DeadLetter], int]:
        """Return a page of the tasks that failed for good, newest first, and how many there are."""
        with translate_errors():
            total = int(await self._redis.zcard(self._keys.dead))
            found = await self._redis.zrevrange(self._keys.dead, offset, offset + limit - 1, withscores=True)
        scores = {name.decode(): int(score) for name, score in found}
        tasks = await self._hashes([self._keys.task(name) for name in scores])
        # A task may be forgotten between the reading of the list and that of its hash.
        return [views.dead_letter(*pair, task) for pair, task in zip(scores.items(), tasks, strict=True) if task], total

    async def dead_letter(self, task: str) -> DeadLetter | None:
        """Return one task that failed for good, if it is listed."""
        with translate_errors():
            score = await self._redis.zscore(self._keys.dead, task)
        if score is None:
            return None
        (fields,) = await self._hashes([self._keys.task(task)])
        return views.dead_letter(task, int(score), fields) if fields else None

    async def task_belongings(self, task: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return the grants that a task ever had, and the ids of the artifacts that its job uses or has made."""
        job = job_of(task)
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hkeys(self._keys.task(task))
            pipeline.smembers(self._keys.job_outputs(job))
            names, made = await pipeline.execute()
        document = await self.job_document(job)
        fields = (name.decode().partition(":") for name in names)
        used = {ref.id for ref in document.inputs} if document else set[str]()
        return frozenset(grant for word, _, grant in fields if word == "grant" and grant), frozenset(
            used | {name.decode() for name in made}
        )

    async def plan_state(self, job_id: str) -> views.PlanState | None:
        """Return what a plan needs: the job, its version, and the tasks that are final."""
        with translate_errors():
            # The version first: whatever ends while the rest is read raises it, and what the plan then returns is not
            # applied. No transaction, since a server at `maxmemory` refuses those, of reads as well.
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hgetall(self._keys.job(job_id))
            pipeline.lrange(self._keys.job_tasks(job_id), 0, -1)
            fields, raw_ids = await pipeline.execute()
        if not fields:
            return None
        ids = [name.decode() for name in raw_ids]
        tasks = await self._hashes([self._keys.task(name) for name in ids])
        return views.plan_state(
            from_fields(fields), {name: task for name, task in zip(ids, tasks, strict=True) if task}
        )

    async def waiting_chains(self, *, cursor: int) -> tuple[int, dict[str, str]]:
        """Return some of the jobs whose chains wait, what was decided about them, and the next cursor, 0 at the end."""
        with translate_errors():
            after, found = await self._redis.hscan(self._keys.chains, cursor, count=CHAINS_AT_ONCE)
        return int(after), {job.decode(): text.decode() for job, text in found.items()}

    async def count_waiting_chains(self) -> int:
        """Return how many jobs have a chain that waits."""
        with translate_errors():
            return int(await self._redis.hlen(self._keys.chains))

    async def chains(self, job_id: str) -> str:
        """Return what was decided about a job's chains; empty for one without any."""
        with translate_errors():
            return (await self._redis.hget(self._keys.job(job_id), "chains") or b"").decode()

    async def pools_version(self) -> int:
        """Return the version of the pool set."""
        with translate_errors():
            return int(await self._redis.get(self._keys.pools_version) or 0)

    async def dirty_jobs(self, limit: int) -> list[str]:
        """Return jobs whose plan must look again, longest first; without those that were set aside."""
        with translate_errors():
            found = await self._redis.zrangebyscore(self._keys.dirty, "-inf", f"({ASIDE_MS}", start=0, num=limit)
        return [name.decode() for name in found]

    async def jobs_aside(self, limit: int, *, offset: int = 0) -> list[str]:
        """Return jobs whose plan must look again and whose kind some instance lacks, longest first."""
        with translate_errors():
            found = await self._redis.zrangebyscore(self._keys.dirty, ASIDE_MS, "+inf", start=offset, num=limit)
        return [name.decode() for name in found]

    async def kind_aside(self, job_id: str) -> KindAside | None:
        """Return what a job waits for that was set aside, and which living instances have it; None for another."""
        with translate_errors():
            at, doc = (
                await self._redis.zscore(self._keys.dirty, job_id),
                await self._redis.hget(self._keys.job(job_id), "doc"),
            )
        if at is None or at < ASIDE_MS or doc is None:
            return None
        job, known = msgspec.json.decode(doc, type=Job), await self.instances()
        living = sorted(await self._living(sorted(known)))
        having = tuple(name for name in living if job.kind_version in known[name].kinds.get(job.kind, ()))
        return KindAside(job.kind, job.kind_version, having, len(living))

    async def queues(self) -> dict[str, QueueSpec]:
        """Return every queue there ever was."""
        with translate_errors():
            found = await self._redis.hgetall(self._keys.queues)
        return {name.decode(): msgspec.json.decode(text, type=QueueSpec) for name, text in found.items()}

    async def pool_set(self) -> tuple[int, dict[str, Signature]]:
        """Return the version of the pool set and the signature of each pool that has members."""
        with translate_errors():
            # The version first: a set that is newer than its version is read once more, and never the other way round.
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.get(self._keys.pools_version)
            pipeline.hgetall(self._keys.pools)
            version, found = await pipeline.execute()
        pools = {name.decode(): msgspec.json.decode(text, type=Signature) for name, text in found.items()}
        return int(version or 0), pools

    async def pools(self) -> list[PoolView]:
        """Return the pools that have executors."""
        _, pools = await self.pool_set()
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for name in pools:
                pipeline.zrange(self._keys.pool_members(name), 0, -1, withscores=True)
            members = await pipeline.execute()
        found = zip(pools, members, strict=True)
        return [views.pool_view(name, pools[name], scores) for name, scores in found if scores]

    async def fleet_snapshot(self, requirements: Sequence[Requirement]) -> FleetSnapshot:
        """Return what placing goes by, with the executors of the pools that match any of the requirements."""
        return await snapshots.read_fleet(self._redis, self._keys, requirements)

    async def room(self, capability: str, priority: PriorityClass) -> Room:
        """Return what is free on executors with the capability, and what of that class or a more urgent one waits."""
        return await read_room(self._redis, self._keys, capability, priority)

    async def task_snapshots(self, task_ids: Sequence[str]) -> list[TaskSnapshot]:
        """Return the tasks of those ids that there are, and what they wait for."""
        return await snapshots.read_tasks(self._redis, self._keys, task_ids)

    async def task_times(self) -> dict[str, float]:
        """Return how long tasks of those kinds took whose jobs of one task completed lately, milliseconds."""
        return await read_task_times(self._redis, self._keys)

    async def nodes(self) -> list[NodeView]:
        """Return all nodes, those that registered last first."""
        with translate_errors():
            ids = [name.decode() for name in await self._redis.zrevrange(self._keys.nodes, 0, -1)]
        parts = [ids[start : start + NODES_AT_ONCE] for start in range(0, len(ids), NODES_AT_ONCE)]
        return [node for part in parts for node in await self._nodes(part)]

    async def node(self, node_id: str) -> NodeView | None:
        """Return one node with its executors and what they run."""
        return next(iter(await self._nodes([node_id])), None)

    async def _nodes(self, node_ids: Sequence[str]) -> list[NodeView]:
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for node_id in node_ids:
                pipeline.smembers(self._keys.node_executors(node_id))
            members = [sorted(name.decode() for name in names) for names in await pipeline.execute()]
        ids = [name for names in members for name in names]
        names = [self._keys.executor(name) for name in ids] + [self._keys.executor_grants(name) for name in ids]
        found = await self._hashes([*map(self._keys.node, node_ids), *names])
        nodes, records, grants = (
            found[: len(node_ids)],
            found[len(node_ids) :][: len(ids)],
            found[len(node_ids) + len(ids) :],
        )
        executors = {
            name: views.executor_view(name, record, held)
            for name, record, held in zip(ids, records, grants, strict=True)
            if record
        }
        return [
            views.node_view(node_id, fields, [executors[name] for name in names if name in executors])
            for node_id, fields, names in zip(node_ids, nodes, members, strict=True)
            if fields
        ]

    async def count_jobs(self) -> dict[JobStatus, int]:
        """Return how many jobs there are of each status."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for status in JobStatus:
                pipeline.zcard(self._keys.jobs(status))
            return dict(zip(JobStatus, await pipeline.execute(), strict=True))

    async def count_queued(self, queues: Sequence[str]) -> int:
        """Return how many tasks wait in the queues, those of tenants at their caps as well."""
        with translate_errors():
            counted = [name.decode() for name in await self._redis.hkeys(self._keys.open)]
            tenants = [name.removeprefix("tenant:") for name in counted if name.startswith("tenant:")]
            pipeline = self._redis.pipeline(transaction=False)
            for queue in queues:
                pipeline.zrange(self._keys.queue_tenants(queue), 0, -1)
            for tenant in tenants:
                pipeline.smembers(self._keys.parked(tenant))
            found = [[name.decode() for name in names] for names in await pipeline.execute()]
            waiting = {(queue, tenant) for queue, names in zip(queues, found, strict=False) for tenant in names}
            parked = zip(tenants, found[len(queues) :], strict=True)
            waiting |= {(queue, tenant) for tenant, names in parked for queue in names if queue in queues}
            for queue, tenant in waiting:
                pipeline.zcard(self._keys.queue_tenant(queue, tenant))
            return sum(await pipeline.execute())

    async def gauges(self) -> FleetGauges:
        """Return what waits in each class and how long, nodes by state, and dead letters."""
        return await read_gauges(self._redis, self._keys)

    async def batch(self, batch: str) -> list[BatchEntry]:
        """Return the jobs of a batch, in the order in which they came, without their names."""
        return await read_batch(self._redis, self._keys, batch)

    async def job_names(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Return what jobs are called, by id; those that are gone are left out."""
        return await read_names(self._redis, self._keys, job_ids)

    async def log_levels(self) -> dict[str, str]:
        """Return the levels that were set at run time, by module."""
        with translate_errors():
            return from_fields(await self._redis.hgetall(self._keys.log_levels))

    async def waiting_queues(self) -> tuple[int, list[str]]:
        """Return the version of the set of queues that have waiting tasks, and those, longest first."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)  # the version first, as above
            pipeline.get(self._keys.waiting_version)
            pipeline.zrange(self._keys.waiting, 0, -1)
            version, found = await pipeline.execute()
        return int(version or 0), [name.decode() for name in found]

    async def queue_heads(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return for each of these queues virtual times of tenants that wait in it, the least; nothing of an empty one."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for queue in queues:
                pipeline.zrange(self._keys.queue_tenants(queue), 0, HEADS_OF_QUEUE - 1, withscores=True)
            found: dict[str, list[tuple[bytes, float]]] = dict(zip(queues, await pipeline.execute(), strict=True))
            # A score is as old as the tenant's last turn in that queue; what it had in others since stands beside it.
            shares = sorted({(queue[0], tenant.decode()) for queue in queues for tenant, _ in found[queue]})
            for priority, tenant in shares:
                pipeline.get(self._keys.virtual_time(priority, tenant))
            times = dict(zip(shares, await pipeline.execute(), strict=True)) if shares else {}
        return {
            queue: {
                tenant.decode(): max(score, float(times[queue[0], tenant.decode()] or 0)) for tenant, score in tenants
            }
            for queue, tenants in found.items()
            if tenants
        }

    async def artifact(self, artifact_id: str) -> Artifact | None:
        """Return an artifact's record."""
        return (await self.artifacts([artifact_id])).get(artifact_id)

    async def artifacts(self, artifact_ids: Sequence[str]) -> dict[str, Artifact]:
        """Return the records of those of the artifacts that there are, by id."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for artifact_id in artifact_ids:
                pipeline.hmget(self._keys.artifact(artifact_id), "doc", "state")
            found = await pipeline.execute()
        return {
            artifact_id: msgspec.structs.replace(
                msgspec.json.decode(doc, type=Artifact), state=ArtifactState(state.decode())
            )
            for artifact_id, (doc, state) in zip(artifact_ids, found, strict=True)
            if doc
        }

    async def instances(self) -> dict[str, InstanceDocument]:
        """Return what is known of instances, those that are gone and not yet buried included, by id."""
        with translate_errors():
            found = await self._redis.hgetall(self._keys.instances)
        return {name.decode(): msgspec.json.decode(doc, type=InstanceDocument) for name, doc in found.items()}

    async def live_instances(self) -> list[str]:
        """Return the ids of instances that announced themselves lately, sorted."""
        return sorted(await self._living(sorted(await self.instances())))

    async def dead_instances(self) -> list[str]:
        """Return the ids of instances that are gone and not yet buried, sorted."""
        known = sorted(await self.instances())
        return sorted(set(known) - await self._living(known))

    async def _living(self, instances: Sequence[str]) -> set[str]:
        # Each is asked for by name: a scan would grow with the number of jobs.
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for instance in instances:
                pipeline.exists(self._keys.instance(instance))
            return {name for name, lives in zip(instances, await pipeline.execute(), strict=True) if lives}

    async def config(self) -> tuple[int, FleetRules]:
        """Return the rules in force and their version; version 0 and the defaults where nobody has led yet."""
        with translate_errors():
            version, doc = await self._redis.hmget(self._keys.config, "version", "doc")
        return int(version or 0), msgspec.json.decode(doc or b"{}", type=FleetRules)

    async def cluster(self) -> ClusterView:
        """Return the instances that live, who leads, and the rules in force."""
        known = await self.instances()
        living = sorted(await self._living(sorted(known)))
        version, rules = await self.config()
        with translate_errors():
            leader = (await self._redis.get(self._keys.leader) or b"").decode()
            epoch = int(await self._redis.get(self._keys.leader_epoch) or 0)
            pipeline = self._redis.pipeline(transaction=False)
            for instance in living:
                pipeline.xlen(self._keys.inbox(instance))
                pipeline.scard(self._keys.instance_sessions(instance))
            counts = await pipeline.execute()
        owners = Counter(node.instance for node in await self.nodes())
        views = [
            InstanceView(
                id=instance,
                version=known[instance].version,
                host=known[instance].host,
                pid=known[instance].pid,
                leads=instance == leader,
                nodes=owners[instance],
                inbox=waiting,
                kinds=known[instance].kinds,
                sessions=sessions,
            )
            for instance, waiting, sessions in zip(living, counts[::2], counts[1::2], strict=True)
        ]
        return ClusterView(tuple(views), leader, epoch, version, rules)

    async def nodes_without_instance(self) -> list[tuple[str, int]]:
        """Return linked nodes (id, epoch) whose instance is gone."""
        with translate_errors():
            ids = [name.decode() for name in await self._redis.zrange(self._keys.nodes, 0, -1)]
        found = await self._hashes([self._keys.node(node_id) for node_id in ids])
        live = await self._living(sorted({fields.get("instance", "") for fields in found}))
        return [
            (node_id, int(fields["epoch"]))
            for node_id, fields in zip(ids, found, strict=True)
            if fields.get("state") in LINKED_STATES and fields.get("instance") not in live
        ]

    async def events(self, after: str, *, block_ms: int, count: int = 500) -> list[Event]:
        """Return events after a position (`$` for none but new ones), waiting up to block_ms for the first.

        Args:
            after: The last event of an earlier answer, or what `last_event_id` said.
            count: Most entries of the stream that are read; each holds up to `EVENTS_OF_ENTRY` events.
        """
        with translate_errors():
            answer: list[tuple[bytes, list[RawEntry]]] = await self._redis.xread(
                {self._keys.events: after if after == "$" else entry_of(after)}, count=count, block=block_ms
            )
        return [event for _, entries in answer or [] for entry in entries for event in read_events(entry)]

    async def past_events(self, after: str, *, count: int = 1000) -> list[Event]:
        """Return stored events after a position, oldest first, of `count` entries at most; 2 or more, as in `events`."""
        with translate_errors():
            # With the entry of the position itself: there may be more events in it.
            entries: list[RawEntry] = await self._redis.xrange(self._keys.events, min=entry_of(after), count=count)
        position = event_position(after)
        return [event for entry in entries for event in read_events(entry) if event_position(event.id) > position]

    async def last_event_id(self) -> str:
        """Return the position of the newest event; `0-0` where there is none."""
        with translate_errors():
            found = await self._redis.xrevrange(self._keys.events, count=1)
        return read_events(found[0])[-1].id if found else "0-0"
