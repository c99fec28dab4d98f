"""What must hold after every fault, once a fleet is at rest: asked of the store itself, not of who serves it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import psutil

from mediafleet.domain.ids import cell_of
from mediafleet.store.event_entries import read_events
from tests_support.fleet_process import FleetProcesses, wait_for

FINAL = ("completed", "failed", "cancelled")
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "store-keys.md"
_PREFIX = re.compile(r"^[^{]+\{[^}]*\}:")
# What of `due` may be left at rest: leases of nodes that are linked, and what goes when its time has passed. All else holds
# slots, counts down for a task or a job, or waits for somebody.
_AT_REST = {"node", "forget-node", "job", "artifact", "fade", "withheld"}


def check_aftermath(fleet: FleetProcesses, jobs: Collection[str], *, revived: Collection[str] = ()) -> None:
    """Hold what every fault must leave: one final record a job, no capacity in use, no orphans.

    Args:
        fleet: At work or at rest; this waits until it is at rest.
        jobs: All that were accepted, in whichever cell; nothing else is in the store.
        revived: Those of them that were final more than once, since somebody had them retried.
    """
    client, prefix = fleet.store_client(), fleet.environment.get("MEDIAFLEET_STORE__PREFIX", "sched")
    try:
        for cell in range(int(fleet.environment.get("MEDIAFLEET_STORE__CELLS", "1"))):
            mine = [job for job in jobs if cell_of(job) == str(cell)]
            _check_cell(_Cell(client, f"{prefix}:{{{cell}}}:"), mine, revived)
    finally:
        client.close()
    check_processes(fleet)


def _check_cell(store: _Cell, jobs: Collection[str], revived: Collection[str]) -> None:
    wait_for(lambda: not store.open_jobs(jobs), "every accepted job to be final", explain=lambda: store.open_jobs(jobs))
    wait_for(lambda: not store.unrest(), "capacity and queues to be empty", explain=store.unrest)
    store.check_records(jobs, revived)
    ownerless = sorted(store.ownerless())
    assert not ownerless, f"keys that nobody will remove: {ownerless}"


def check_processes(fleet: FleetProcesses) -> None:
    """See that every process below the fleet's folder descends from one that the test started."""
    known = {process.pid for process in fleet.started()}
    orphans = [found for found in [*fleet.processes(), *fleet.ffmpegs()] if not _pids_up(found) & known]
    assert not orphans, f"orphans: {orphans}"


def _pids_up(process: psutil.Process) -> set[int]:
    try:
        return {process.pid, *(parent.pid for parent in process.parents())}
    except psutil.NoSuchProcess:
        return {process.pid}


class _Cell:
    """The keys of one cell of the store."""

    def __init__(self, client: Any, tag: str) -> None:
        self._client = client
        self._tag = tag

    def name(self, key: str) -> str:
        return self._tag + key

    def members(self, key: str) -> list[str]:
        return [member.decode() for member in self._client.zrange(self.name(key), 0, -1)]

    def keys(self) -> list[str]:
        return [_PREFIX.sub("", key.decode()) for key in self._client.scan_iter(match=f"{self._tag}*", count=1000)]

    # --- rest ---

    def open_jobs(self, jobs: Collection[str]) -> list[str]:
        statuses = {job: self._client.hget(self.name(f"job:{job}"), "status") for job in jobs}
        return [f"{job}: {status}" for job, status in statuses.items() if (status or b"").decode() not in FINAL]

    def unrest(self) -> list[str]:
        """Return what still holds slots, waits or is under way; nothing of it may outlive its work."""
        keys = self.keys()
        found = [key for key in keys if key.endswith(":grants") or key.startswith(("queue:", "parked:"))]
        found += [key for key in ("running", "open", "dirty", "waiting", "holds") if key in keys]
        found += [entry for entry in self.members("due") if entry.partition("|")[0] not in _AT_REST]
        executors = [key for key in keys if re.fullmatch(r"executor:[^:]+", key)]
        used = {key: self._client.hmget(self.name(key), "used", "batch_used") for key in executors}
        return found + [f"{key} uses {values}" for key, values in used.items() if any(int(v or 0) for v in values)]

    # --- records ---

    def check_records(self, jobs: Collection[str], revived: Collection[str]) -> None:
        """Hold that each job is in the list of one final status, and became final once."""
        listed = Counter(job for status in FINAL for job in self.members(f"jobs:{status}"))
        assert listed == Counter(dict.fromkeys(jobs, 1)), f"not once in one list: {listed - Counter(jobs)}"
        assert sorted(self.members("jobs")) == sorted(jobs), "other jobs than those that were accepted"
        ends: Counter[str] = Counter()
        final = {f"job.{status}" for status in FINAL}
        for entry in self._client.xrange(self.name("events")):
            ends.update(event.job for event in read_events(entry) if event.type in final)
        again = {job: count for job, count in ends.items() if count > 1 and job not in revived}
        assert not again, f"ended more than once: {again}"

    # --- owners ---

    def ownerless(self) -> Iterator[str]:
        """Yield the keys that nobody will ever remove: without a time to live, and of nothing that is on a list."""
        fixed = documented_names()
        for key in self.keys():
            lasts = self._client.ttl(self.name(key)) == -1 and not (key in fixed or self._has_owner(key))
            # It may have gone, and its place on the list with it, while it was looked at.
            if lasts and self._client.exists(self.name(key)):
                yield key

    def _has_owner(self, key: str) -> bool:
        word, _, rest = key.partition(":")
        first = rest.split(":")[0]
        owners: dict[str, Callable[[], bool]] = {
            "job": lambda: first in self.members("jobs") and f"job|{first}" in self.members("due"),
            "task": lambda: first.partition(".")[0] in self.members("jobs"),
            "idem": lambda: self._client.get(self.name(key)).decode() in self.members("jobs"),
            "node": lambda: first in self.members("nodes"),
            "executor": lambda: first.partition("/")[0] in self.members("nodes"),
            "artifact": lambda: self._has_artifact(first),
            "inbox": lambda: self._client.hexists(self.name("instances"), first),
            "pool": lambda: self._client.hexists(self.name("pools"), first),
        }
        # The names of the others hold a status, a kind or a class, of which there are few.
        return owners[word]() if word in owners else word in {"jobs", "kind", "vclock"}

    def _has_artifact(self, artifact: str) -> bool:
        users = {job.decode() for job in self._client.smembers(self.name(f"artifact:{artifact}:jobs"))}
        return bool(users & set(self.members("jobs"))) or f"artifact|{artifact}" in self.members("due")


def documented_names() -> set[str]:
    """Return the keys of a cell that the reference lists without a placeholder: there is one of each."""
    rows = [line.split("|")[1] for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row) if "<" not in name}
