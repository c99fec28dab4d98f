"""Every key of a cell, built here and nowhere else in Python.

All keys begin with `<prefix>:{<cell>}:`, so that a cell's keys share one slot of a Redis Cluster. The
scripts find tasks by themselves, so they take that beginning as `KEYS[1]` (docs/decisions/0001).
`docs/reference/store-keys.md` describes each key's fields, writers and life.
"""

from __future__ import annotations

from dataclasses import dataclass

ASIDE_MS = 10**13
"""What the scores of `dirty` are raised by for jobs that were left to instances with other kinds: beyond all times."""


@dataclass(frozen=True)
class Keys:
    """Names of the keys of one cell."""

    prefix: str
    cell: str

    @property
    def tag(self) -> str:
        """Beginning of every key: `sched:{0}:`."""
        # A cluster hashes only what stands between the braces, whatever comes before and after them.
        return f"{self.prefix}:{{{self.cell}}}:"

    def job(self, job_id: str) -> str:
        """Hash: the job's document and everything that changes."""
        return f"{self.tag}job:{job_id}"

    def job_tasks(self, job_id: str) -> str:
        """List: ids of the job's tasks, in the order of their creation."""
        return f"{self.tag}job:{job_id}:tasks"

    def job_outputs(self, job_id: str) -> str:
        """Set: ids of the artifacts that the job's tasks made."""
        return f"{self.tag}job:{job_id}:outputs"

    def task(self, task_id: str) -> str:
        """Hash: the task's document, state, attempts and grants."""
        return f"{self.tag}task:{task_id}"

    def jobs(self, status: str = "") -> str:
        """Sorted set: jobs by time of creation, all or those of one status."""
        return f"{self.tag}jobs:{status}" if status else f"{self.tag}jobs"

    def jobs_of_kind(self, kind: str) -> str:
        """Sorted set: jobs of one kind by time of creation."""
        return f"{self.tag}kind:{kind}"

    def executor(self, executor_id: str) -> str:
        """Hash: slots, used, pool and document."""
        return f"{self.tag}executor:{executor_id}"

    def executor_grants(self, executor_id: str) -> str:
        """Hash: grant → `cost|class|tenant|task`; the truth about the executor's capacity."""
        return f"{self.tag}executor:{executor_id}:grants"

    def node(self, node_id: str) -> str:
        """Hash: owner, epoch, incarnation, state, document."""
        return f"{self.tag}node:{node_id}"

    def node_executors(self, node_id: str) -> str:
        """Set: ids of the node's executors."""
        return f"{self.tag}node:{node_id}:executors"

    def node_unsure(self, node_id: str) -> str:
        """Hash: grant → task of live work that went elsewhere when the node's link closed, until the node is back."""
        return f"{self.tag}node:{node_id}:unsure"

    def pool_members(self, pool: str) -> str:
        """Sorted set: usable executors of the pool by slots in use."""
        return f"{self.tag}pool:{pool}:members"

    def pool_batch(self, pool: str) -> str:
        """Sorted set: the same executors by slots that batch work must count as used, where live work has a reserve."""
        return f"{self.tag}pool:{pool}:batch"

    def queue_tenants(self, queue: str) -> str:
        """Sorted set: tenants with waiting tasks by virtual time."""
        return f"{self.tag}queue:{queue}:tenants"

    def queue_tenant(self, queue: str, tenant: str) -> str:
        """Sorted set: waiting tasks of one tenant by score."""
        return f"{self.tag}queue:{queue}:tenant:{tenant}"

    def virtual_time(self, priority: str, tenant: str) -> str:
        """String with expiry: virtual time of a tenant in a class, which is given by its first letter."""
        return f"{self.tag}vtime:{priority}:{tenant}"

    def parked(self, tenant: str) -> str:
        """Set: queues that a tenant at its cap was taken out of."""
        return f"{self.tag}parked:{tenant}"

    def idempotency(self, tenant: str, key: str) -> str:
        """String: the first job of an idempotency key, in the cell of that job."""
        return f"{self.tag}idem:{tenant}:{key}"

    def home(self, tenant: str, key: str) -> str:
        """String with expiry: the cell that was chosen for the job of an idempotency key, in the key's home cell."""
        return f"{self.tag}home:{tenant}:{key}"

    def homed(self, tenant: str, key: str) -> str:
        """Counter with expiry: calls that go by the choice of a cell for an idempotency key, beside `home`."""
        return f"{self.tag}homed:{tenant}:{key}"

    def artifact(self, artifact_id: str) -> str:
        """Hash: document and state of an artifact."""
        return f"{self.tag}artifact:{artifact_id}"

    def instance(self, instance_id: str) -> str:
        """String with expiry: the instance lives."""
        return f"{self.tag}instance:{instance_id}"

    def session(self, session_id: str) -> str:
        """Hash: owner, epoch and end of its lease, and how far a live session is."""
        return f"{self.tag}session:{session_id}"

    def instance_sessions(self, instance_id: str) -> str:
        """Set: the live sessions that an instance owns."""
        return f"{self.tag}instance:{instance_id}:sessions"

    @property
    def nodes(self) -> str:
        """Sorted set: nodes by last registration."""
        return f"{self.tag}nodes"

    @property
    def pools(self) -> str:
        """Hash: pool → signature (JSON), for pools that have members."""
        return f"{self.tag}pools"

    @property
    def pools_version(self) -> str:
        """Counter: rises with every change of the set of pools."""
        return f"{self.tag}pools:version"

    @property
    def queues(self) -> str:
        """Hash: queue → its requirement, class and policy (JSON)."""
        return f"{self.tag}queues"

    def inbox(self, instance: str) -> str:
        """Stream, bounded: messages for the links and sessions of one instance."""
        return f"{self.tag}inbox:{instance}"

    @property
    def undelivered(self) -> str:
        """Stream, bounded: messages between instances that nobody could deliver, for operators to look at."""
        return f"{self.tag}undelivered"

    @property
    def instances(self) -> str:
        """Hash: instance → what it says of itself (JSON), until somebody takes its inbox over."""
        return f"{self.tag}instances"

    @property
    def roots(self) -> str:
        """Hash: instance → digest of the mark that it left in its artifact root."""
        return f"{self.tag}roots"

    @property
    def pushed(self) -> str:
        """Hash: address of a listening node → `<instance that calls it>|<term>`."""
        return f"{self.tag}pushed"

    @property
    def task_numbers(self) -> str:
        """Counter: the last number that `/api/tasks` gave, in the first cell."""
        return f"{self.tag}task-numbers"

    @property
    def config(self) -> str:
        """Hash: the rules in force (JSON), their version, and the leader and epoch that wrote them."""
        return f"{self.tag}config"

    @property
    def log_levels(self) -> str:
        """Hash: module → log level, as set at run time."""
        return f"{self.tag}log-levels"

    @property
    def leader(self) -> str:
        """String with expiry: the instance that leads."""
        return f"{self.tag}leader"

    @property
    def leader_epoch(self) -> str:
        """Counter: the fencing epoch, which rises with each new leader."""
        return f"{self.tag}leader:epoch"

    @property
    def running(self) -> str:
        """Hash: slots in use by tenant, in all classes."""
        return f"{self.tag}running"

    @property
    def holds(self) -> str:
        """Hash: the executor that a queue holds for a task of many slots."""
        return f"{self.tag}holds"

    @property
    def withheld(self) -> str:
        """Set: executors that a capability is withheld from, or lately was."""
        return f"{self.tag}withheld"

    @property
    def waiting(self) -> str:
        """Sorted set: queues with waiting tasks by when they began to wait."""
        return f"{self.tag}waiting"

    @property
    def waiting_version(self) -> str:
        """Counter: rises with every change of the set of waiting queues."""
        return f"{self.tag}waiting:version"

    @property
    def open(self) -> str:
        """Hash: how many tasks are not final, of all, of each class and of each tenant."""
        return f"{self.tag}open"

    @property
    def coming(self) -> str:
        """Hash with expiry: call → until when it keeps room, and for how many tasks of which class and tenant."""
        return f"{self.tag}coming"

    @property
    def due(self) -> str:
        """Sorted set: everything timed, `<what>|<id>[|<grant>]` by time."""
        return f"{self.tag}due"

    @property
    def dirty(self) -> str:
        """Sorted set: jobs whose plan must look again, by time; behind `ASIDE_MS` those that some instance cannot plan."""
        return f"{self.tag}dirty"

    @property
    def chains(self) -> str:
        """Hash: job → what was decided about its chains (JSON), while any of it may be decided anew."""
        return f"{self.tag}chains"

    @property
    def dead(self) -> str:
        """Sorted set, bounded: tasks that failed for good by time."""
        return f"{self.tag}dead"

    @property
    def events(self) -> str:
        """Stream, bounded: transitions for consoles and clients."""
        return f"{self.tag}events"

    def job_held(self, job_id: str) -> str:
        """Sorted set: tasks of a paused job that would wait in a queue, by the score that they go back with."""
        return f"{self.tag}job:{job_id}:held"

    def batch(self, name: str) -> str:
        """Sorted set: jobs of a batch by time of creation."""
        return f"{self.tag}batch:{name}"

    @property
    def paused(self) -> str:
        """String: since when the fleet is paused and how, `<ms>|now` or `<ms>|soft`; not there where it is not."""
        return f"{self.tag}paused"

    @property
    def paces(self) -> str:
        """Hash with expiry, bounded: `<pace>|<node>` → how fast such work went there; all nodes where none is named."""
        return f"{self.tag}paces"

    @property
    def schema(self) -> str:
        """Hash: version of the stored shapes and the oldest reader that understands them."""
        return f"{self.tag}schema"
