"""What the outside saw: the events of a run with their hash, what was promised to clients, and what broke a rule."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fleet_simulator.engine import Engine
from fleet_simulator.loop import Process
from mediafleet.domain.lifecycle import FINAL_JOB_STATUSES
from mediafleet.store.scripts import load_script, script_names

SCRIPTS = {hashlib.sha1(load_script(name).encode(), usedforsecurity=False).hexdigest(): name for name in script_names()}


class EventLog:
    """Every command that reached the store, and every fault, in order; two runs of a seed must agree on all of it."""

    def __init__(self, *, keep: bool) -> None:
        self.count = 0
        self.lines: list[str] = []
        self._keep = keep
        self._hash = hashlib.sha256()

    def note(self, now_s: float, who: str, what: str, data: bytes = b"") -> None:
        """Add an event."""
        self.count += 1
        line = f"{now_s:.6f} {who} {what} {hashlib.sha256(data).hexdigest()[:12] if data else ''}".rstrip()
        self._hash.update(line.encode())
        if self._keep:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        """The hash of all events so far."""
        return self._hash.hexdigest()


@dataclass
class Promise:
    """What a client was told."""

    key: str
    job: str
    at_s: float
    expected: tuple[str, ...]
    """The statuses that it may end with."""


@dataclass
class Ledger:
    """Promises, and what the store did; a rewind of the store takes back what it forgot."""

    promises: dict[str, Promise] = field(default_factory=dict[str, Promise])
    results: Counter[str] = field(default_factory=Counter[str])
    """Accepted results by task."""
    revived: set[str] = field(default_factory=set[str])
    leaders: dict[int, str] = field(default_factory=dict[int, str])
    """Who led at each epoch."""
    versions: list[int] = field(default_factory=list[int])
    """Of the configuration, as scripts told them."""
    paused: set[str] = field(default_factory=set[str])
    """Jobs, and `` for the fleet, that somebody was told are paused."""
    faults: list[str] = field(default_factory=list[str])
    """Rules that were broken, in words."""

    def look(self, sender: Process, script: str, arguments: Any, reply: Any) -> None:
        """Judge one script call that ran."""
        if script == "finish":
            for result, verdict in zip(arguments["results"], reply["verdicts"], strict=True):
                self._count_result(result["task"], verdict)
        elif script == "place":
            self._check_placed(reply["assignments"])
        elif script in {"pause", "resume", "pause_fleet", "retry", "cancel"}:
            self._note_pause(script, arguments, reply)
        elif script == "announce":
            self._note_leader(reply["leader"], reply["epoch"])
            self._note_version(reply["config_version"])
        elif script in {"configure", "bury"}:
            if script == "configure":
                self._note_version(reply["version"])
            if reply["accepted"] and self.leaders.get(arguments["lead"]["epoch"], sender.name) != sender.name:
                self.faults.append(f"{sender.name} wrote at the epoch of {self.leaders[arguments['lead']['epoch']]}")

    def _count_result(self, task: str, verdict: str) -> None:
        if verdict == "accepted":
            self.results[task] += 1
            if self.results[task] > 1:
                self.faults.append(f"two results of {task} were accepted")

    def _check_placed(self, assignments: Any) -> None:
        for assignment in assignments:
            if "" in self.paused or assignment["job"] in self.paused:
                self.faults.append(f"{assignment['task']} was placed while it was paused")

    def _note_pause(self, script: str, arguments: Any, reply: Any) -> None:
        if script == "pause_fleet":
            name, is_paused = "", reply["paused"]
        else:
            # Of a pause only the last piece says that nothing begins any more.
            is_told = script == "pause" and not reply["cursor"]
            name, is_paused = arguments["job"], is_told and reply["status"] not in {"", *FINAL_JOB_STATUSES}
        (self.paused.add if is_paused else self.paused.discard)(name)

    def _note_leader(self, leader: str, epoch: int) -> None:
        if self.leaders.setdefault(epoch, leader) != leader:
            self.faults.append(f"{leader} and {self.leaders[epoch]} led at epoch {epoch}")

    def _note_version(self, version: int) -> None:
        if self.versions and version < self.versions[-1]:
            self.faults.append(f"the version of the rules fell from {self.versions[-1]} to {version}")
        if not self.versions or version != self.versions[-1]:
            self.versions.append(version)


@dataclass
class Checkpoint:
    """The store and what had been seen of it at that moment."""

    at_s: float
    data: Any
    results: Counter[str]
    leaders: dict[int, str]
    versions: list[int]


def take_checkpoint(engine: Engine, ledger: Ledger, now_s: float) -> Checkpoint:
    """Remember where things stand."""
    return Checkpoint(now_s, engine.snapshot(), ledger.results.copy(), dict(ledger.leaders), list(ledger.versions))


def rewind(engine: Engine, ledger: Ledger, checkpoint: Checkpoint) -> None:
    """Put the store back; what it forgot was not promised to outlive that."""
    engine.rewind(checkpoint.data)
    ledger.results = checkpoint.results.copy()
    ledger.paused.clear()
    ledger.leaders, ledger.versions = dict(checkpoint.leaders), list(checkpoint.versions)
    for key, promise in list(ledger.promises.items()):
        if promise.at_s >= checkpoint.at_s:
            del ledger.promises[key]


def decode_call(command: tuple[Any, ...]) -> tuple[str, Any] | None:
    """Return the name and the arguments of a script call; None for another command."""
    if command[0] == "EVALSHA":
        name = SCRIPTS.get(command[1])
    elif command[0] == "EVAL":
        name = SCRIPTS.get(hashlib.sha1(command[1].encode(), usedforsecurity=False).hexdigest())
    else:
        return None
    return (name, msgspec.msgpack.decode(command[4])) if name else None
