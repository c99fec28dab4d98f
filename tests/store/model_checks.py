"""What must hold of a store at every moment, beside what a plain model remembers of the nodes and of earlier moments."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests_support.store_dump import StoreDump

from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, FINAL_TASK_STATES, PLACED_TASK_STATES
from mediafleet.store import records

NODES = ("n0-a-1", "n0-b-2", "n0-c-3")
SLOTS = 2
KEPT = {"n0-c-3": 1}
"""Slots of a node that batch may not take."""


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


@dataclass
class Model:
    """What was seen so far; a store that goes back in time takes its own part of it along."""

    # What the store made true: goes back with it.
    accepted: dict[str, str] = field(default_factory=dict[str, str])
    """Task → grant of the one result that was accepted."""
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    final: dict[str, str] = field(default_factory=dict[str, str])
    counted: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Job → the counts of open tasks that it is a part of."""
    after: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Job → jobs that must have completed before it begins."""
    leader: str = ""
    epoch: int = 0
    version: int = 0
    rules: int = 0
    """Of the leader that wrote last."""


@dataclass
class Fleet:
    """What the nodes believe; a store that goes back in time knows nothing of it."""

    linked: dict[str, str] = field(default_factory=dict[str, str])
    """Node → instance that has its link."""
    running: dict[str, list[records.PlacedTask]] = field(default_factory=lambda: {node: [] for node in NODES})
    strangers: set[str] = field(default_factory=set[str])
    """Nodes that have not registered since the store went back: the two differ about what they run."""


def grants_of(dump: StoreDump) -> Grants:
    """Return what holds slots, by node."""
    return {
        node: {grant: Held.of(value) for grant, value in dump.hash(f"executor:{node}/cpu:grants").items()}
        for node in NODES
    }


def used_by_tenants(grants: Grants) -> Counter[str]:
    """Return the slots that tenants hold."""
    tally = Counter[str]()
    for held in (held for of_node in grants.values() for held in of_node.values()):
        tally[held.tenant] += held.cost
    return tally


def tasks_of(dump: StoreDump) -> dict[str, dict[str, str]]:
    """Return all tasks by id."""
    return {
        name.removeprefix("task:"): dump.hash(name) for name in dump.names("task:") if not name.endswith(":children")
    }


def check_capacity(dump: StoreDump) -> None:
    """No executor is given twice; counts and the places in indexes follow the grants."""
    grants, holds = grants_of(dump), set(dump.hash("holds").values())
    for node, of_node in grants.items():
        executor = dump.hash(f"executor:{node}/cpu")
        used = sum(held.cost for held in of_node.values())
        batch = sum(held.cost for held in of_node.values() if held.letter == "b")
        assert used <= SLOTS, f"{node} holds {used}"
        assert int(executor.get("used", 0)) == used, f"the count of {node} differs from its grants"
        assert int(executor.get("batch_used", 0)) == batch, f"batch's count of {node} differs from its grants"
        if executor.get("listed") == "1" and f"{node}/cpu" not in holds:
            pool, reserve = executor["pool"], int(executor["reserve"])
            assert dump.scores(f"pool:{pool}:members")[f"{node}/cpu"] == used
            if reserve:
                assert dump.scores(f"pool:{pool}:batch")[f"{node}/cpu"] == max(used, batch + reserve)
    listed = [name for pool in dump.names("pool:") for name in dump.scores(pool)]
    assert not holds & set(listed), "an executor that is held for a queue is offered to others"
    assert {name: int(count) for name, count in dump.hash("running").items()} == used_by_tenants(grants)


def check_owners(dump: StoreDump, fleet: Fleet) -> None:
    """Each placed task has one attempt that owns it and holds its slots; nothing holds slots for one that is over."""
    grants, due = grants_of(dump), dump.scores("due")
    for task, fields in tasks_of(dump).items():
        grant = fields.get("grant", "")
        standing, _, executor = fields.get(f"grant:{grant}", "").partition("|")
        if fields["state"] in PLACED_TASK_STATES:
            assert standing == ("running" if fields["state"] == "ACKED" else "reserved"), f"{task} has no owner"
            assert grant in grants[executor.partition("/")[0]], f"{task} runs on slots that nobody holds"
            assert standing == "running" or f"reserve|{task}|{grant}" in due, f"the reservation of {task} never ends"
        assert sum(value.startswith("won|") for value in fields.values()) == (fields["state"] == "DONE"), task
    for node, of_node in grants.items():
        running = {placed.grant for placed in fleet.running[node]}
        for grant, held in of_node.items():
            standing = dump.hash(f"task:{held.task}")[f"grant:{grant}"].partition("|")[0]
            assert standing in {"reserved", "running", "revoked"}, f"{held.task} holds {node}, but it is {standing}"
            if standing == "revoked" and node in fleet.linked and node not in fleet.strangers:
                # What the node was never given it cannot give back: that has an end of its own.
                is_ending = f"idle|{held.task}|{grant}" in due
                assert grant in running or is_ending, f"slots of {node} leaked for {held.task}"


def check_turns(dump: StoreDump, now_ms: int, wide: str) -> None:
    """Who waits has a turn to come: in a queue that is known to wait, or parked while slots are to come back."""
    tenants = defaultdict[str, set[str]](set)
    for name in dump.names("queue:"):
        _, queue, kind, *rest = name.split(":")
        if kind == "tenant":
            tenants[queue].add(rest[0])
    used, waiting = used_by_tenants(grants_of(dump)), set[str]()
    for queue, names in tenants.items():
        listed = set(dump.scores(f"queue:{queue}:tenants"))
        assert listed <= names
        for tenant in names - listed:
            assert queue in dump.items(f"parked:{tenant}"), f"{tenant} is out of {queue}"
            assert used[tenant] > 0, f"nothing brings {tenant} back"
        waiting |= {queue} if listed else set()
    assert set(dump.scores("waiting")) == waiting
    holds, due = dump.hash("holds"), dump.scores("due")
    held_for = {dump.hash(f"executor:{node}/cpu").get("held_for"): f"{node}/cpu" for node in NODES}
    assert {queue: executor for queue, executor in held_for.items() if queue} == holds
    assert {f"hold-end|{name}" for name in holds.values()} == {name for name in due if name.startswith("hold-end|")}
    assert set(holds) <= {wide}, "only a task of many slots holds an executor"
    assert all(queue in waiting or due[f"hold-end|{name}"] <= now_ms for queue, name in holds.items())
    assert set(dump.hash("blocked")) <= waiting


def check_tasks(dump: StoreDump, model: Model) -> None:
    """Nothing is lost: each task that waits is in one place; attempts only rise."""
    queued = {task for name in dump.names("queue:") if ":tenant:" in name for task in dump.scores(name)}
    held = {name.removeprefix("hold|") for name in dump.scores("due") if name.startswith("hold|")}
    for task, fields in tasks_of(dump).items():
        attempt = int(fields.get("attempt", 0))
        assert attempt >= model.attempts.get(task, 0), f"the attempts of {task} fell"
        model.attempts[task] = attempt
        places = [task in queued, task in held, fields["state"] == "NEW" and int(fields.get("deps", 0)) > 0]
        expected = 1 if fields["state"] == "NEW" else 0
        assert sum(places) == expected, f"{task} is {fields['state']}: queued, held, waiting = {places}"


def check_jobs(dump: StoreDump, model: Model) -> None:
    """What is final stays final; a result that was accepted stays; the counts of open tasks are right."""
    tally = Counter[str]()
    tasks = tasks_of(dump)
    for job, counted in model.counted.items():
        status = dump.hash(f"job:{job}")["status"]
        assert model.final.get(job, status) == status, f"{job} was {model.final[job]} and is {status}"
        if status in FINAL_JOB_STATUSES:
            model.final[job] = status
        left = sum(tasks[task]["state"] not in FINAL_TASK_STATES for task in dump.items(f"job:{job}:tasks"))
        tally.update(dict.fromkeys(counted, left))
    assert {name: int(count) for name, count in dump.hash("open").items()} == +tally
    for task, grant in model.accepted.items():
        assert tasks[task]["state"] == "DONE", f"the result of {task} was forgotten"
        assert tasks[task][f"grant:{grant}"].startswith("won|")


def check_waits(dump: StoreDump, model: Model) -> None:
    """No task is begun before all that its job waits for completed; whoever waits is known to what it waits for."""
    begun = {task.partition(".")[0] for task, fields in tasks_of(dump).items() if fields.get("attempt")}
    due = dump.scores("due")
    for job, parents in model.after.items():
        statuses = {parent: dump.hash(f"job:{parent}")["status"] for parent in parents}
        missing = {parent for parent, status in statuses.items() if status != "completed"}
        assert job not in begun or not missing, f"{job} was begun before {missing} completed"
        fields = dump.hash(f"job:{job}")
        awaits = set(fields.get("awaits", "").split())
        assert missing <= awaits, f"{job} forgot that it waits for {missing - awaits}"
        for parent in awaits if fields["status"] not in FINAL_JOB_STATUSES else ():
            assert job in dump.items(f"job:{parent}:followers"), f"{parent} does not know that {job} waits for it"
            assert statuses[parent] not in FINAL_JOB_STATUSES or f"follow|{parent}" in due, f"nobody wakes {job}"


def check_leader(dump: StoreDump, model: Model) -> None:
    """One leads at each epoch, and the rules are those of a leader."""
    assert (dump.text("leader"), int(dump.text("leader:epoch") or 0)) == (model.leader, model.epoch)
    config = dump.hash("config")
    assert int(config.get("version", 0)) == model.version
    if config:
        assert int(config["epoch"]) <= model.epoch


def find_unrest(dump: StoreDump) -> Iterator[str]:
    """Yield what a fleet at rest must not have."""
    for name in ("running", "open", "holds", "blocked", "waiting", "dirty"):
        if dump.items(name):
            yield f"{name} has {dump.items(name)}"
    for name in (*dump.names("queue:"), *dump.names("parked:")):
        yield f"{name} is there"
    for name in dump.scores("due"):
        if name.partition("|")[0] not in {"node", "job", "fade", "forget-node"}:
            yield f"{name} is due"
    for node, held in grants_of(dump).items():
        if held:
            yield f"{node} holds {held}"
