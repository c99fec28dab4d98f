"""What must hold once a world has come to rest, whatever happened to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from fleet_simulator.instance import KEYS
from fleet_simulator.world import World
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES, FINAL_TASK_STATES
from mediafleet.domain.rules import FleetRules

AT_REST = {"job", "node", "fade", "withheld", "forget-node"}
"""What may be due in a world at rest: leases and the health of executors that go on, and retention."""
STANDING = {
    *("schema", "config", "leader", "leader:epoch", "instances", "events", "undelivered", "tick", "since-batch"),
    *("nodes", "pools", "pools:version", "pools:sizes", "waiting:version", "due", "withheld"),
}
"""Keys that stay without jobs; beside those of nodes, executors, pools, instances, classes."""
STANDING_FAMILIES = ("node:", "executor:", "pool:", "instance:", "inbox:", "vclock:", "vtime:")


class Stored:
    """Reads the store of a world, past everybody."""

    def __init__(self, world: World) -> None:
        self._run = world.engine.run

    def hash(self, name: str) -> dict[str, str]:
        """Return a hash."""
        flat = [part.decode() for part in self._run("HGETALL", KEYS.tag + name)]
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def members(self, name: str) -> list[str]:
        """Return a sorted set's members in order."""
        return [part.decode() for part in self._run("ZRANGE", KEYS.tag + name, 0, -1)]

    def items(self, name: str) -> list[str]:
        """Return a list."""
        return [part.decode() for part in self._run("LRANGE", KEYS.tag + name, 0, -1)]

    def names(self) -> list[str]:
        """Return the names of all keys, without their common beginning."""
        return sorted(name.decode().removeprefix(KEYS.tag) for name in self._run("KEYS", f"{KEYS.tag}*"))

    def let_retention_pass(self) -> None:
        """Make finished jobs due for removal now."""
        for entry in self.members("due"):
            if entry.startswith("job|"):
                self._run("ZADD", KEYS.due, 0, entry)


def is_quiet(world: World) -> bool:
    """Tell whether all jobs have ended, nothing holds capacity, and no lease of an attempt is left to run out."""
    stored = Stored(world)
    statuses = [stored.hash(f"job:{job}").get("status") for job in stored.members("jobs")]
    # One that its node left out of a report, since its result was on the way, is looked at again though it has ended.
    is_watched = any(entry.startswith("idle|") for entry in stored.members("due"))
    return all(status in FINAL_JOB_STATUSES for status in statuses) and not is_watched and not list(find_held(world))


def find_held(world: World) -> Iterator[str]:
    """Yield what still holds capacity."""
    stored = Stored(world)
    for node in world.nodes:
        for executor in node.executors:
            name = f"executor:{node.id}/{executor.name}"
            used, grants = stored.hash(name).get("used", "0"), stored.hash(f"{name}:grants")
            if used != "0" or grants:
                yield f"{name} has {used} slots in use by {grants}"
        if node.table and node.table.running:
            yield f"{node.id} runs {node.table.running}"


def find_faults(world: World) -> Iterator[str]:
    """Yield every rule that does not hold."""
    yield from world.ledger.faults
    yield from find_held(world)
    yield from _check_jobs(world)
    yield from _check_counts(world)
    yield from _check_leader(world)


def _check_jobs(world: World) -> Iterator[str]:
    stored = Stored(world)
    for promise in world.ledger.promises.values():
        job = stored.hash(f"job:{promise.job}")
        if not job:
            yield f"the job {promise.job} ({promise.key}) was accepted and is lost"
        elif job["status"] not in promise.expected and not _is_poison(job):
            yield f"the job {promise.job} ({promise.key}) is {job['status']}: {job.get('error')}"
    for job in stored.members("jobs"):
        status = stored.hash(f"job:{job}").get("status", "")
        states = {task: stored.hash(f"task:{task}").get("state") for task in stored.items(f"job:{job}:tasks")}
        left = {task: state for task, state in states.items() if state not in FINAL_TASK_STATES}
        if status not in FINAL_JOB_STATUSES or left:
            yield f"the job {job} is {status}, and of its tasks are open: {left}"


def _is_poison(job: dict[str, str]) -> bool:
    # Work that was at hand when two nodes were lost, whatever ended them.
    return '"code":"poison"' in job.get("error", "")


def _check_counts(world: World) -> Iterator[str]:
    stored = Stored(world)
    for name in ("running", "open"):
        left = {field: count for field, count in stored.hash(name).items() if count != "0"}
        if left:
            yield f"{name} counts {left} in a world at rest"
    for name in stored.names():
        is_held = name.endswith(":held") and stored.hash(name.removesuffix(":held")).get("status") != "paused"
        if (
            is_held
            or name.startswith(("queue:", "parked:"))
            or name in {"waiting", "holds", "blocked", "dirty", "paused"}
        ):
            yield f"{name} is not empty in a world at rest"
    due = [entry for entry in stored.members("due") if entry.partition("|")[0] not in AT_REST]
    if due:
        yield f"these are due in a world at rest: {due}"


def _check_leader(world: World) -> Iterator[str]:
    leader = world.engine.run("GET", KEYS.leader)
    living = {instance.name for instance in world.living()}
    if leader is None or leader.decode() not in living:
        yield f"{leader} leads, and {sorted(living)} live"
    rules = msgspec.json.decode(Stored(world).hash("config").get("doc", "{}"), type=FleetRules)
    for instance in world.living():
        if instance.fleet._fleet_rules != rules:
            yield f"{instance.name} goes by other rules than the leader wrote"


def find_leftovers(world: World) -> Iterator[str]:
    """Yield keys that nobody owns once all jobs are past their retention."""
    for name in Stored(world).names():
        if name not in STANDING and not name.startswith(STANDING_FAMILIES):
            yield f"the key {name} has no owner"


def note_rest(world: World) -> Any:
    """Return the store's data, for a hash of how it ended."""
    stored = Stored(world)
    return {name: stored.hash(name) for name in stored.names() if name.startswith("job:") and name.count(":") == 1}
