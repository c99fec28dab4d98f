"""The real scripts beside a plain model, driven by Hypothesis: whatever happens, in whatever order.

`MEDIAFLEET_TEST_STEPS` sets how many rules a run takes (50), `MEDIAFLEET_TEST_RUNS` how many runs (25).
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests_support.redis_server import RedisServer
from tests_support.store_driver import LEASE_MS, PLACE_RULES, RETENTION_MS, StoreDriver, spec
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import (
    FINAL_JOB_STATUSES,
    FINAL_TASK_STATES,
    PLACED_TASK_STATES,
    PriorityClass,
    TaskState,
)
from mediafleet.store import Store, records
from mediafleet.store.connection import connect
from mediafleet.store.keys import Keys

T = TypeVar("T")
NODES = ("n0-a-1", "n0-b-2", "n0-c-3")
SLOTS = 2
KEPT = {"n0-c-3": 1}
"""Slots of a node that batch may not take."""
QUEUES = (spec(), spec(slots=2), spec(priority=PriorityClass.LIVE))
CAP = 2
RULES = msgspec.structs.replace(PLACE_RULES, hold_after_ms=1_000, tenants={"capped": records.TenantShare(2.0, CAP)})
STEPS = int(os.environ.get("MEDIAFLEET_TEST_STEPS", "50"))
RUNS = int(os.environ.get("MEDIAFLEET_TEST_RUNS", "25"))

_prefixes = itertools.count()
_server: list[RedisServer] = []
nodes = st.sampled_from(NODES)
picks = st.integers(0, 50)


@pytest.fixture(scope="module", autouse=True)
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server that outlives the many event loops of a run."""
    folder: Path = tmp_path_factory.mktemp("model")
    with RedisServer(folder) as server:
        _server.append(server)
        yield
    _server.clear()


class Held(NamedTuple):
    """What a grant of an executor says."""

    cost: int
    letter: str
    tenant: str
    task: str

    @classmethod
    def of(cls, value: str) -> Held:
        cost, letter, tenant, task = value.split("|", 3)
        return cls(int(cost), letter, tenant, task)


Grants = dict[str, dict[str, Held]]


def used_by(grants: Grants) -> Counter[str]:
    """Return the slots that tenants hold."""
    tally = Counter[str]()
    for held in (held for of_node in grants.values() for held in of_node.values()):
        tally[held.tenant] += held.cost
    return tally


class Fleet(RuleBasedStateMachine):
    """Nodes, jobs and faults; the model is what the nodes believe and what was accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.time = VirtualTime()
        client = connect(_server[0].url, prefix="model")
        self.store = Store(client, Keys(f"model{next(_prefixes)}", "0"), now=self.time)
        self.driver = StoreDriver(self.store)
        self.linked: set[str] = set()
        self.running: dict[str, list[records.PlacedTask]] = {node: [] for node in NODES}
        self.accepted: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.final: dict[str, str] = {}
        self.jobs: list[str] = []
        self.counted: dict[str, tuple[str, ...]] = {}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.do(self.store.redis.aclose())
        self.loop.close()

    # --- what nodes and users do ----------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.do(self.driver.reap())
        for node in NODES[:2]:
            self.join(node, keeps=True)
        for shape in ("one", "fan", "chain"):
            self.submit(shape, tries=2, queue=QUEUES[0], tenant="default")
        self.place(arrives=True, confirmed=True)

    @rule(node=nodes, keeps=st.booleans())
    def join(self, node: str, keeps: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """A node links, after a short cut or after a restart that forgot its work."""
        if not keeps:
            self.running[node] = []
        announced = tuple(AttemptRef(p.task, p.grant) for p in self.running[node])
        admitted = self.do(self.driver.join(node, slots=SLOTS, announced=announced, live_reserve=KEPT.get(node, 0)))
        kept = {ref.grant for ref in admitted.keep}
        self.running[node] = [p for p in self.running[node] if p.grant in kept]
        self.linked.add(node)
        confirmed = [records.FailureRecord(ref.task, ref.grant, "stopped") for ref in admitted.drop]
        self.do(self.store.fail(confirmed))

    @rule(node=nodes, goodbye=st.booleans())
    def leave(self, node: str, goodbye: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        if node in self.linked:
            self.linked.discard(node)
            epoch = self.driver.epochs[node]
            self.do(self.store.unlink(node, epoch, goodbye=goodbye, retention_ms=RETENTION_MS))

    @rule(
        shape=st.sampled_from(["one", "fan", "chain"]),
        tries=st.integers(1, 3),
        queue=st.sampled_from(QUEUES),
        tenant=st.sampled_from(["default", "capped"]),
    )
    def submit(self, shape: str, tries: int, queue: records.QueueSpec, tenant: str) -> None:
        shapes: dict[str, dict[str, tuple[str, ...]]] = {
            "one": {"a": ()},
            "fan": {"a": (), "b": (), "c": (), "d": ("a", "b", "c")},
            "chain": {"a": (), "b": ("a",), "c": ("b",)},
        }
        record = self.driver.job_record(shapes[shape], max_tries=tries, spec=queue, tenant=tenant)
        self.jobs.append(self.do(self.driver.submit(record)).jobs[0].id)
        self.counted[self.jobs[-1]] = ("all", f"class:{queue.priority[0]}", f"tenant:{tenant}")

    @rule(arrives=st.booleans(), confirmed=st.booleans())
    def place(self, arrives: bool, confirmed: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """Assignments go out; they, or their confirmations, may be lost."""
        before = self._grants()
        assignments = self.do(self.driver.place(*QUEUES, rules=RULES)).assignments
        self._check_placed(before, self._grants())
        for placed in assignments:
            node = placed.executor.partition("/")[0]
            if arrives:
                self.running[node].append(placed)
                if confirmed:
                    self.do(self.driver.ack(placed))

    @rule(node=nodes, pick=picks, repeat=st.booleans())
    def finish(self, node: str, pick: int, repeat: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """A node delivers a result, perhaps twice; only over a link."""
        if not self.running[node] or node not in self.linked:
            return
        placed = self.running[node].pop(pick % len(self.running[node]))
        for verdict in [self.do(self.driver.finish(placed))[0] for _ in range(1 + repeat)]:
            if verdict == "accepted":
                assert placed.task not in self.accepted, "two results were accepted"
                self.accepted[placed.task] = placed.grant

    @rule(pick=picks)
    def work(self, pick: int) -> None:
        """Healthy nodes get on: what has room is placed and confirmed, and one result is delivered."""
        self.place(arrives=True, confirmed=True)
        for node in NODES:
            self.finish(node, pick, repeat=False)

    @rule(node=nodes, pick=picks, how=st.sampled_from(["failed", "lost"]), hopeless=st.booleans())
    def fail(self, node: str, pick: int, how: str, hopeless: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        if self.running[node] and node in self.linked:
            placed = self.running[node].pop(pick % len(self.running[node]))
            self.do(self.driver.fail(placed, how=how, retryable=not hopeless))

    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        if self.jobs:
            job = self.jobs[pick % len(self.jobs)]
            for stop in self.do(self.store.cancel(job, cursor=0, sweep=False)).stops:
                self._stop(stop)

    @rule(pick=picks)
    def retry(self, pick: int) -> None:
        if self.jobs and self.do(self.store.retry(self.jobs[pick % len(self.jobs)], cursor=0)).status in {
            "failed",
            "cancelled",
        }:
            self.final.pop(self.jobs[pick % len(self.jobs)])

    @rule()
    def sweep(self) -> None:
        """What a planner does with jobs that ended with open tasks."""
        for job in self.do(self.store.read.dirty_jobs(100)):
            for stop in self.do(self.store.cancel(job, cursor=0, sweep=True)).stops:
                self._stop(stop)

    @rule(ms=st.sampled_from([400, 900, 2_000]), times=st.integers(1, 12))
    def pass_time(self, ms: int, times: int) -> None:
        for _ in range(times):
            self.time.advance(ms)
            for stop in self.do(self.driver.reap()).stops:
                self._stop(stop)

    @rule()
    def outage(self) -> None:
        self.time.advance(5 * LEASE_MS)
        before = self._held()
        assert self.do(self.driver.reap()).grace
        assert self._held() == before, "an outage ended a lease"

    def _stop(self, stop: records.Stop) -> None:
        """A linked node confirms that it ended revoked work; another learns of it when it links."""
        node = stop.executor.partition("/")[0]
        mine = [p for p in self.running[node] if p.grant == stop.grant]
        if node in self.linked:
            self.running[node] = [p for p in self.running[node] if p.grant != stop.grant]
            failure = records.FailureRecord(stop.task, stop.grant, "stopped")
            self.do(self.store.fail([failure]))
        assert len(mine) <= 1

    # --- what must hold -------------------------------------------------------------------------

    def _check_placed(self, before: Grants, after: Grants) -> None:
        """No placement takes a tenant over its cap, or batch work into slots that are kept for live work."""
        new = {grant for node, grants in after.items() for grant in grants.keys() - before[node].keys()}
        if any(held.tenant == "capped" for grants in after.values() for name, held in grants.items() if name in new):
            assert used_by(after)["capped"] <= CAP
        for node, kept in KEPT.items():
            if any(held.letter == "b" for name, held in after[node].items() if name in new):
                assert sum(held.cost for held in after[node].values() if held.letter == "b") <= SLOTS - kept

    def _grants(self) -> Grants:
        found: Grants = {}
        for node in NODES:
            held = self.do(self.driver.redis.hgetall(self.store.keys.executor_grants(f"{node}/cpu")))
            found[node] = {grant.decode(): Held.of(value.decode()) for grant, value in held.items()}
        return found

    def _hash(self, name: str) -> dict[str, str]:
        found = self.do(self.driver.redis.hgetall(f"{self.store.keys.tag}{name}"))
        return {field.decode(): value.decode() for field, value in found.items()}

    def _held(self) -> dict[str, int]:
        return {node: self.do(self.driver.used(f"{node}/cpu")) for node in NODES}

    @invariant()
    def no_executor_is_oversubscribed(self) -> None:
        for node, used in self._held().items():
            assert 0 <= used <= SLOTS, f"{node} holds {used}"

    @invariant()
    def slots_are_held_for_work_that_may_be_going_on(self) -> None:
        """Nobody holds slots for an attempt that won or was lost; a revoked one holds them until its node confirms."""
        for node in NODES:
            for grant, held in self._grants()[node].items():
                task = held.task
                record = self.do(self.driver.redis.hget(self.store.keys.task(task), f"grant:{grant}")).decode()
                standing = record.partition("|")[0]
                assert standing in {"reserved", "running", "revoked"}, (
                    f"{task} holds slots of {node}, but it is {standing}"
                )
                if standing == "revoked" and node in self.linked:
                    assert grant in {p.grant for p in self.running[node]}, f"slots of {node} leaked for {task}"

    @invariant()
    def pools_know_what_is_used(self) -> None:
        for pool in self.do(self.store.read.pools()):
            nodes = self.do(self.store.read.nodes())
            executors = [n.executors[0] for n in nodes if n.state == "ready" and n.executors[0].pool == pool.pool]
            # What a queue holds is kept out of its pool until it has room for the queue's task.
            listed = [e for e in executors if e.id not in self._hash("holds").values()]
            assert (pool.free, pool.executors) == (sum(SLOTS - e.used for e in listed), len(listed))

    @invariant()
    def counts_follow_what_they_count(self) -> None:
        assert {name: int(count) for name, count in self._hash("running").items()} == used_by(self._grants())
        tally = Counter[str]()
        for job in self.jobs:
            view = self.do(self.store.read.job(job))
            assert view is not None
            left = sum(task.state not in FINAL_TASK_STATES for task in view.tasks)
            tally.update(dict.fromkeys(self.counted[job], left))
        assert {name: int(count) for name, count in self._hash("open").items()} == +tally

    @invariant()
    def whoever_waits_has_a_turn_to_come(self) -> None:
        """In its queue, or parked while its tenant has slots to give back; queues that wait are known to."""
        waiting: set[str] = set()
        for queue, tenants in self._queued_tenants().items():
            listed = {
                name.decode() for name in self.do(self.driver.redis.zrange(self.store.keys.queue_tenants(queue), 0, -1))
            }
            for tenant in tenants - listed:
                parked = self.store.keys.parked(tenant)
                assert self.do(self.driver.redis.sismember(parked, queue)), f"{tenant} is out of {queue}"
                assert used_by(self._grants())[tenant] > 0, f"nothing brings {tenant} back"
            assert listed <= tenants
            waiting |= {queue} if listed else set()
        assert set(self.do(self.store.read.waiting_queues())[1]) == waiting

    @invariant()
    def holds_are_known_on_both_sides(self) -> None:
        held = {self._hash(f"executor:{node}/cpu").get("held_for"): f"{node}/cpu" for node in NODES}
        holds = self._hash("holds")
        assert {queue: executor for queue, executor in held.items() if queue} == holds
        assert {f"hold-end|{executor}" for executor in holds.values()} == {
            name for name in self._due() if name.startswith("hold-end|")
        }
        assert set(holds) <= {QUEUES[1].id}, "only a task of many slots holds an executor"

    @invariant()
    def attempts_only_rise_and_nothing_is_lost(self) -> None:
        queued = self._queued()
        held = {name.removeprefix("hold|") for name in self._due() if name.startswith("hold|")}
        for job in self.jobs:
            view = self.do(self.store.read.job(job))
            assert view is not None
            for task in view.tasks:
                assert task.attempt >= self.attempts.get(task.id, 0)
                self.attempts[task.id] = task.attempt
                deps = int(self.do(self.driver.redis.hget(self.store.keys.task(task.id), "deps")) or 0)
                places = [task.id in queued, task.id in held, task.state is TaskState.NEW and deps > 0]
                expected = 1 if task.state is TaskState.NEW else 0
                assert sum(places) == expected, f"{task.id} is {task.state}: queued, held, waiting = {places}"
                assert (task.state in PLACED_TASK_STATES) == bool(task.executor and task.state not in FINAL_TASK_STATES)

    @invariant()
    def final_stays_final(self) -> None:
        for job in self.jobs:
            view = self.do(self.store.read.job(job))
            assert view is not None
            assert self.final.get(job, view.status) == view.status
            if view.status in FINAL_JOB_STATUSES:
                self.final[job] = view.status

    def _queued(self) -> set[str]:
        found: set[str] = set()
        for queue, tenants in self._queued_tenants().items():
            for tenant in tenants:
                key = self.store.keys.queue_tenant(queue, tenant)
                found |= {name.decode() for name in self.do(self.driver.redis.zrange(key, 0, -1))}
        return found

    def _queued_tenants(self) -> dict[str, set[str]]:
        """Return the tenants that have tasks in each queue, in their turn or parked."""
        found = defaultdict[str, set[str]](set)
        for queue, tenant in itertools.product((queue.id for queue in QUEUES), ("default", "capped")):
            if self.do(self.driver.redis.exists(self.store.keys.queue_tenant(queue, tenant))):
                found[queue].add(tenant)
        return found

    def _due(self) -> list[str]:
        return [name.decode() for name in self.do(self.driver.redis.zrange(self.store.keys.due, 0, -1))]


@pytest.mark.timeout(600)
def test_nothing_that_can_happen_breaks_what_must_hold() -> None:
    limits = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        print_blob=True,
        phases=[Phase.reuse, Phase.generate],
    )
    run_state_machine_as_test(Fleet, settings=limits)
