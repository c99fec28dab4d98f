"""The real scripts beside a plain model, driven by Hypothesis: whatever happens, in whatever order.

At least 10,000 steps a run, on two workers where there are two. A failure prints its seed; the same seed fails again:
`MEDIAFLEET_TEST_SEED=n pytest tests/store/test_model.py`. `MEDIAFLEET_TEST_STEPS` sets how many rules a story has (50),
`MEDIAFLEET_TEST_RUNS` how many stories each of the two parts tells (105).
"""

from __future__ import annotations

import asyncio
import copy
import os
import random
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import model_checks as checks
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from model_checks import KEPT, NODES, SLOTS, Fleet, Grants, Model
from tests_support.redis_server import RedisServer
from tests_support.store_driver import LEASE_MS, PLACE_RULES, RETENTION_MS, StoreDriver, announce, spec
from tests_support.store_dump import StoreDump, dump_store
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.ids import new_token, node_of
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, PriorityClass
from mediafleet.domain.rules import FleetRules, Lead
from mediafleet.store import Store, records
from mediafleet.store.connection import connect
from mediafleet.store.keys import Keys

T = TypeVar("T")
INSTANCES = ("i-1", "i-2", "i-3")
QUEUES = (spec(), spec(slots=2), spec(priority=PriorityClass.LIVE))
SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "one": {"a": ()},
    "fan": {"a": (), "b": (), "c": (), "d": ("a", "b", "c")},
    "chain": {"a": (), "b": ("a",), "c": ("b",)},
}
CAP = 2
RULES = msgspec.structs.replace(PLACE_RULES, hold_after_ms=1_000, tenants={"capped": records.TenantShare(2.0, CAP)})
STEPS = int(os.environ.get("MEDIAFLEET_TEST_STEPS", "50"))
RUNS = int(os.environ.get("MEDIAFLEET_TEST_RUNS", "105"))
PARTS = 2
LEAST_STEPS = 10_000
MOST_ROUNDS = 4
"""Of so many stories, until there are steps enough."""
REST_ROUNDS = 60

_server: list[RedisServer] = []
_steps = [0]
nodes = st.sampled_from(NODES)
instances = st.sampled_from(INSTANCES)
picks = st.integers(0, 50)


@pytest.fixture(scope="module", autouse=True)
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server that outlives the many event loops of a run."""
    folder: Path = tmp_path_factory.mktemp("model")
    with RedisServer(folder) as server:
        _server.append(server)
        yield
    _server.clear()


class Story(RuleBasedStateMachine):
    """Instances, nodes, jobs and faults."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.time = VirtualTime()
        self.store = Store(connect(_server[0].url, prefix="model"), Keys("model", "0"), now=self.time)
        self.driver = StoreDriver(self.store)
        self.do(self.driver.redis.flushdb())
        self.model, self.fleet = Model(), Fleet()
        self.told: list[records.PlacedTask] = []
        """Attempts whose result was handed over at some time, or was lost on the way: it may come again."""
        self.saved: tuple[dict[bytes, bytes], Model] | None = None
        self.is_over = False

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def dump(self) -> StoreDump:
        return self.do(dump_store(self.driver.redis, self.store.keys))

    # --- nodes ----------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.do(self.driver.reap())
        for node, instance in zip(NODES[:2], INSTANCES, strict=False):
            self.join(node, instance, after="cut")
        for shape in SHAPES:
            self.submit(shape, 2, QUEUES[0], "default", hurry="", after=[])
        self.place("i-1", arrives="at once", confirmed=True)

    @rule(node=nodes, instance=instances, after=st.sampled_from(["cut", "restart", "restart with outbox"]))
    def join(self, node: str, instance: str, after: str) -> None:
        """A node links: after a cut, or after a restart that forgot its work, or all but one ready result."""
        running = self.fleet.running[node]
        if after != "cut":
            self.driver.incarnations[node] = new_token()
            # A result that it sent as it died may still be on its way.
            self.told += running
            running[:] = running[:1] if after == "restart with outbox" else []
        announced = tuple(AttemptRef(p.task, p.grant) for p in running)
        over = {p.grant for p in running if self._standing(p.task, p.grant) in {"", "revoked", "won"}}
        reserve = KEPT.get(node, 0)
        admitted = self.do(
            self.driver.join(node, slots=SLOTS, announced=announced, live_reserve=reserve, instance=instance)
        )
        keep = {ref.grant for ref in admitted.keep}
        assert not over & keep, "a node was told to go on with what was revoked"
        running[:] = [placed for placed in running if placed.grant in keep]
        self.fleet.linked[node] = instance
        self.fleet.strangers.discard(node)
        self._confirm(admitted.drop)

    def _standing(self, task: str, grant: str) -> str:
        """What the store says of a grant; empty where it knows none of it."""
        value: bytes | None = self.do(self.driver.redis.hget(self.store.keys.task(task), f"grant:{grant}"))
        return value.decode().partition("|")[0] if value else ""

    def _confirm(self, refs: tuple[AttemptRef, ...] | list[AttemptRef]) -> None:
        self.do(self.store.fail([records.FailureRecord(ref.task, ref.grant, "stopped") for ref in refs]))

    @rule(node=nodes, goodbye=st.booleans())
    def leave(self, node: str, goodbye: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        if self.fleet.linked.pop(node, ""):
            epoch = self.driver.epochs[node]
            self.do(self.store.unlink(node, epoch, goodbye=goodbye, retention_ms=RETENTION_MS))

    @rule(node=nodes, draining=st.booleans(), lasting=st.booleans())
    def drain(self, node: str, draining: bool, lasting: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        self.do(self.store.drain(node, draining=draining, lasting=lasting))

    @rule(forgets=st.booleans())
    def beat(self, forgets: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """Linked nodes report; one that forgets leaves its first attempt out."""
        for node in self.fleet.linked:
            running = self.fleet.running[node][1 if forgets else 0 :]
            refs = tuple(AttemptRef(p.task, p.grant) for p in running)
            report = records.NodeReport(node, self.driver.epochs[node], "{}", refs)
            for stop in self.do(self.store.renew([report], lease_ms=LEASE_MS)).stops:
                self._stop(stop)

    # --- jobs -----------------------------------------------------------------------------------

    @rule(
        shape=st.sampled_from(sorted(SHAPES)),
        tries=st.integers(1, 3),
        queue=st.sampled_from(QUEUES),
        tenant=st.sampled_from(["default", "capped"]),
        hurry=st.sampled_from(["", "", "deadline", "not before", "time limit"]),
        after=st.lists(picks, max_size=2),
    )
    def submit(
        self, shape: str, tries: int, queue: records.QueueSpec, tenant: str, hurry: str, after: list[int]
    ) -> None:
        """A job comes, maybe to wait for others, in whatever state those are."""
        jobs = sorted(self.model.counted)
        parents = sorted({jobs[pick % len(jobs)] for pick in after}) if jobs else []
        times = {
            "deadline": {"deadline": self.time() + 8_000},
            "not before": {"not_before": self.time() + 3_000},
            "time limit": {"total_ms": 2_000},
        }
        record = self.driver.job_record(
            SHAPES[shape], max_tries=tries, spec=queue, tenant=tenant, after=parents, **times.get(hurry, {})
        )
        job = self.do(self.driver.submit(record)).jobs[0].id
        self.model.after[job] = parents
        self.model.counted[job] = ("all", f"class:{queue.priority[0]}", f"tenant:{tenant}")

    @rule(instance=instances, arrives=st.sampled_from(["at once", "at once", "never"]), confirmed=st.booleans())
    def place(self, instance: str, arrives: str, confirmed: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """One instance places for all; what is for nodes of others goes to their inboxes. It may be lost on the way."""
        before = checks.grants_of(self.dump())
        rules = msgspec.structs.replace(RULES, instance=instance)
        assignments = self.do(self.driver.place(*QUEUES, rules=rules)).assignments
        self._check_placed(before, checks.grants_of(self.dump()))
        for placed in assignments:
            if arrives != "never":
                self._arrive(placed, confirmed=confirmed)

    @rule(instance=instances, confirmed=st.booleans())
    def deliver(self, instance: str, confirmed: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """An instance empties its inbox, however old that is: some of it has lost its reservation by now."""
        inbox = self.store.keys.inbox(instance)
        for position, fields in self.do(self.driver.redis.xrange(inbox)):
            self.do(self.driver.redis.xdel(inbox, position))
            if b"assign" in fields:
                self._arrive(msgspec.json.decode(fields[b"assign"], type=records.PlacedTask), confirmed=confirmed)

    def _arrive(self, placed: records.PlacedTask, *, confirmed: bool) -> None:
        """A node takes an assignment, and refuses what goes beyond its slots."""
        node = node_of(placed.executor)
        if node not in self.fleet.linked:
            return
        running = self.fleet.running[node]
        if sum(p.cost for p in running) + placed.cost > SLOTS:
            self.do(self.driver.fail(placed, how="lost", delay_ms=250))
            return
        running.append(placed)
        if confirmed:
            for stop in self.do(self.driver.ack(placed)):
                self._stop(stop)

    def _stop(self, stop: records.Stop) -> None:
        """A linked node confirms that it ended revoked work; another learns of it when it links."""
        node = node_of(stop.executor)
        if node in self.fleet.linked:
            running = self.fleet.running[node]
            running[:] = [placed for placed in running if placed.grant != stop.grant]
            self._confirm([AttemptRef(stop.task, stop.grant)])

    @rule(node=nodes, pick=picks, arrives=st.booleans(), repeat=st.booleans())
    def finish(self, node: str, pick: int, arrives: bool, repeat: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """A node is done, and its result comes once, twice, or not yet."""
        if self.fleet.running[node] and node in self.fleet.linked:
            running = self.fleet.running[node]
            placed = running[pick % len(running)]
            self.told.append(placed)
            if arrives:
                running.remove(placed)
                for _ in range(1 + repeat):
                    self._tell(placed)

    @rule(pick=picks)
    def tell_again(self, pick: int) -> None:
        """A result that was told before, or lost on its way, comes late and out of order."""
        if self.told:
            self._tell(self.told[pick % len(self.told)])

    def _tell(self, placed: records.PlacedTask) -> None:
        standing = self._standing(placed.task, placed.grant)
        (verdict,) = self.do(self.driver.finish(placed))
        refused = {"": "stale", "revoked": "stale", "won": "duplicate"}.get(standing)
        assert refused in {None, verdict}, f"a result of a grant that is {standing or 'unknown'} was {verdict}"
        for running in self.fleet.running.values():
            running[:] = [other for other in running if other.grant != placed.grant]
        if verdict == "accepted":
            assert placed.task not in self.model.accepted, f"two results of {placed.task} were accepted"
            self.model.accepted[placed.task] = placed.grant

    @rule(instance=instances, pick=picks)
    def work(self, instance: str, pick: int) -> None:
        """A healthy fleet gets on: what has room is placed and confirmed, and one result a node is delivered."""
        self.place(instance, arrives="at once", confirmed=True)
        for other in INSTANCES:
            self.deliver(other, confirmed=True)
        for node in NODES:
            self.finish(node, pick, arrives=True, repeat=False)

    @rule(node=nodes, pick=picks, how=st.sampled_from(["failed", "lost"]), hopeless=st.booleans())
    def fail(self, node: str, pick: int, how: str, hopeless: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        running = self.fleet.running[node]
        if running and node in self.fleet.linked:
            self.do(self.driver.fail(running.pop(pick % len(running)), how=how, retryable=not hopeless))

    @rule(pick=picks, withdrawn=st.booleans())
    def cancel(self, pick: int, withdrawn: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        if self.model.counted:
            job = sorted(self.model.counted)[pick % len(self.model.counted)]
            if withdrawn:
                self._stop_all(self.do(self.store.withdraw(job, cursor=0, reason="{}")))
            else:
                self._cancel(job, sweep=False)

    @rule()
    def sweep(self) -> None:
        """What a planner does: it ends the open tasks of jobs that ended, and looks at those that go on."""
        for job in self.do(self.store.read.dirty_jobs(100)):
            self._cancel(job, sweep=True)
            # A retried job may have nothing left to do: its tasks were done when its deadline passed.
            state = self.do(self.store.read.plan_state(job))
            if state and state.status not in FINAL_JOB_STATUSES:
                outcome_of = self.dump().hash(f"job:{job}")["outcome_of"]
                self.do(
                    self.store.expand(records.ExpandPiece(job, state.version, outcome_of, [], last=True, queues={}))
                )

    def _cancel(self, job: str, *, sweep: bool) -> None:
        self._stop_all(self.do(self.store.cancel(job, cursor=0, sweep=sweep)))

    def _stop_all(self, piece: records.CancelPiece) -> None:
        for stop in piece.stops:
            self._stop(stop)

    @rule(pick=picks)
    def retry(self, pick: int) -> None:
        if self.model.counted:
            job = sorted(self.model.counted)[pick % len(self.model.counted)]
            if self.do(self.store.retry(job, cursor=0)).status in {"failed", "cancelled"}:
                self.model.final.pop(job)

    # --- time and the store ---------------------------------------------------------------------

    @rule(ms=st.sampled_from([400, 900, 2_000]), times=st.integers(1, 12), beats=st.booleans())
    def pass_time(self, ms: int, times: int, beats: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        """Reservations, leases, limits and deadlines end; nodes that report keep theirs."""
        for _ in range(times):
            self.time.advance(ms)
            if beats:
                self.beat(forgets=False)
            for stop in self.do(self.driver.reap()).stops:
                self._stop(stop)

    @rule()
    def outage(self) -> None:
        """Nobody could renew for longer than any lease: none ends."""
        self.time.advance(5 * LEASE_MS)
        before = checks.grants_of(self.dump())
        assert self.do(self.driver.reap()).grace
        assert checks.grants_of(self.dump()) == before, "an outage ended a lease"

    @rule()
    def flush_scripts(self) -> None:
        self.do(self.driver.redis.script_flush())

    @rule()
    def save(self) -> None:
        """A moment that the store may come back to."""
        names: list[bytes] = self.do(self.driver.redis.keys("*"))
        self.saved = {name: self.do(self.driver.redis.dump(name)) for name in names}, copy.deepcopy(self.model)

    @rule()
    def rewind(self) -> None:
        """A fail-over, or a file that was cut: the store is at an earlier moment, and nobody else is."""
        if self.saved is None:
            return
        data, model = self.saved
        self.do(self.driver.redis.flushdb())
        for name, value in data.items():
            self.do(self.driver.redis.restore(name, 0, value))
        self.model = copy.deepcopy(model)
        self.fleet.strangers |= set(NODES)

    # --- instances ------------------------------------------------------------------------------

    @rule(instance=instances)
    def lead(self, instance: str) -> None:
        """An instance says that it lives, and leads if nobody does."""
        found = self.do(announce(self.store, instance))
        if not self.model.leader:
            self.model.leader, self.model.epoch = instance, self.model.epoch + 1
        assert (found.leader, found.epoch) == (self.model.leader, self.model.epoch)

    @rule()
    def lapse(self) -> None:
        """The leader's lock ends, as it does with time: by the server's clock, which is not the model's."""
        self.do(self.driver.redis.delete(self.store.keys.leader))
        self.model.leader = ""

    @rule(instance=instances, age=st.integers(0, 2), rules=st.integers(1, 3))
    def configure(self, instance: str, age: int, rules: int) -> None:
        """An instance writes rules as the leader of the epoch that it remembers, which may be long over."""
        epoch = self.model.epoch - age
        wrote = self.do(self.store.configure(Lead(instance, epoch), FleetRules(batch_every=rules)))
        assert wrote.accepted == (instance == self.model.leader and age == 0), "somebody wrote who does not lead"
        if wrote.accepted and rules != self.model.rules:
            self.model.version, self.model.rules = self.model.version + 1, rules
        assert wrote.version == self.model.version

    @rule(node=nodes, what=st.sampled_from(["commit", "renew", "unlink"]))
    def speak_for_an_older_link(self, node: str, what: str) -> None:
        """An instance that slept while its node linked anew changes nothing."""
        epoch = self.driver.epochs.get(node, 0) - 1
        refs = tuple(AttemptRef(p.task, p.grant) for p in self.fleet.running[node])
        if epoch < 1 or node in self.fleet.strangers:
            return
        before = self.dump()
        if what == "commit":
            assert len(self.do(self.store.commit([records.NodeAttempts(node, epoch, refs)]))) == len(refs)
        elif what == "renew":
            report = records.NodeReport(node, epoch, "{}", refs)
            assert self.do(self.store.renew([report], lease_ms=LEASE_MS)).unknown == [node]
        else:
            assert not self.do(self.store.unlink(node, epoch, goodbye=True, retention_ms=RETENTION_MS)).current
        assert self.dump() == before

    # --- what must hold -------------------------------------------------------------------------

    def _check_placed(self, before: Grants, after: Grants) -> None:
        """No placement takes a tenant over its cap, or batch work into slots that are kept for live work."""
        new = {grant for node, grants in after.items() for grant in grants.keys() - before[node].keys()}
        if any(held.tenant == "capped" for grants in after.values() for name, held in grants.items() if name in new):
            assert checks.used_by_tenants(after)["capped"] <= CAP
        for node, kept in KEPT.items():
            if any(held.letter == "b" for name, held in after[node].items() if name in new):
                assert sum(held.cost for held in after[node].values() if held.letter == "b") <= SLOTS - kept

    @invariant()
    def all_holds(self) -> None:
        _steps[0] += 1
        self.is_over = True
        dump = self.dump()
        checks.check_capacity(dump)
        checks.check_owners(dump, self.fleet)
        checks.check_turns(dump, self.time(), QUEUES[1].id)
        checks.check_tasks(dump, self.model)
        checks.check_jobs(dump, self.model)
        checks.check_waits(dump, self.model)
        checks.check_leader(dump, self.model)
        self.is_over = False

    def teardown(self) -> None:
        try:
            # What broke a rule does not come to rest either, and is reported already.
            if not self.is_over:
                self._come_to_rest()
        finally:
            self.do(self.driver.redis.aclose())
            self.loop.close()

    def _come_to_rest(self) -> None:
        """With all nodes back and nothing else going wrong, every job ends and every slot comes back."""
        for placed in self.told:
            self._tell(placed)
        for node in NODES:
            self.drain(node, draining=False, lasting=True)
            self.join(node, "i-1", after="cut")
        for _ in range(REST_ROUNDS):
            self.sweep()
            self.work("i-1", 0)
            self.pass_time(2_000, 1, beats=True)
            self.all_holds()
            if all(status in FINAL_JOB_STATUSES for status in self._statuses()) and not self._unrest():
                break
        assert [status for status in self._statuses() if status not in FINAL_JOB_STATUSES] == []
        assert self._unrest() == []

    def _statuses(self) -> list[str]:
        dump = self.dump()
        return [dump.hash(f"job:{job}")["status"] for job in self.model.counted]

    def _unrest(self) -> list[str]:
        return list(checks.find_unrest(self.dump()))


@pytest.mark.no_cover  # ten thousand steps of what other tests measure
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_that_can_happen_breaks_what_must_hold(part: int) -> None:
    seed = int(os.environ.get("MEDIAFLEET_TEST_SEED") or random.SystemRandom().randrange(2**32)) + part
    # Shown with a failure only.
    print(f"MEDIAFLEET_TEST_SEED={seed - part}")  # noqa: T201
    limits = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        print_blob=True,
        phases=[Phase.generate],
    )
    _steps[0] = 0
    # Stories end early where what Hypothesis drew for one is used up: then there are more of them.
    for more in range(MOST_ROUNDS):
        run_state_machine_as_test(hypothesis.seed(seed + PARTS * more)(Story), settings=limits)
        if _steps[0] >= LEAST_STEPS / PARTS or RUNS * STEPS < LEAST_STEPS / PARTS:
            return
    raise AssertionError(f"only {_steps[0]} steps were taken")
