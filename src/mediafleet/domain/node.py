"""Nodes, the states they go through, their executors and pools."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from mediafleet.domain.capability import PERSON, Signature, check_capabilities, find_lacking
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.health import Withheld
from mediafleet.domain.ids import check_name

MAX_SLOTS = 4096
"""More slots than this on one executor is taken for a mistake."""


class NodeState(StrEnum):
    """Whether a node takes work. Read in any case, and by the names of older fleets (`unavailable`)."""

    WARMUP = "warmup"
    """It finds out what it can do, or loads what it needs; takes no work yet."""
    READY = "ready"
    DEGRADED = "degraded"
    """Too little of the machine is free, or it says so itself: goes on with what it runs and takes nothing new."""
    DRAINING = "draining"
    """Finishes what it runs and takes nothing new, for it is to leave."""
    PAUSED = "paused"
    """An operator keeps new work away until it is resumed; stays as it is otherwise."""
    UNLINKED = "unlinked"
    """Its link is down but its lease is not over: it may still be working."""
    OFFLINE = "offline"
    """Its lease has ended, or it said goodbye."""

    @classmethod
    def _missing_(cls, value: object) -> NodeState | None:
        name = str(value).strip().lower()
        return _OLDER_NAMES.get(name) or next((state for state in cls if state.value == name), None)


_OLDER_NAMES = {
    "unavailable": NodeState.OFFLINE,
    "available": NodeState.READY,
}


def parse_state(word: str) -> NodeState:
    """Return the state of that name, in any case or as older fleets call it. Raises InvalidRequest."""
    try:
        return NodeState(word)
    except ValueError:
        raise InvalidRequest(f"{word[:40]!r} is no state of a node; it is one of {', '.join(NodeState)}.") from None


class NodeEvent(StrEnum):
    """What can happen to a node."""

    REGISTER = "register"
    """It is on a link; in which state follows from what is known of it."""
    CHANGE = "change"
    """Something of what is known of it changed: it is warm, over a limit, below it, drained or let back."""
    UNLINK = "unlink"
    LEAVE = "leave"
    """A goodbye, or the end of its lease."""


LINKED_STATES = frozenset(set(NodeState) - {NodeState.UNLINKED, NodeState.OFFLINE})

_WARMUP, _READY, _DEGRADED, _DRAINING, _PAUSED, _UNLINKED, _OFFLINE = NodeState
NODE_TRANSITIONS: dict[tuple[NodeState, NodeEvent], frozenset[NodeState]] = {
    **{(state, NodeEvent.REGISTER): LINKED_STATES for state in NodeState},
    (_WARMUP, NodeEvent.CHANGE): frozenset({_READY, _DEGRADED, _DRAINING, _PAUSED}),
    (_READY, NodeEvent.CHANGE): frozenset({_DEGRADED, _DRAINING, _PAUSED}),
    (_DEGRADED, NodeEvent.CHANGE): frozenset({_READY, _DRAINING, _PAUSED}),
    # An operator who lets a node work again finds it as it is by then.
    (_DRAINING, NodeEvent.CHANGE): frozenset({_WARMUP, _READY, _DEGRADED, _PAUSED}),
    (_PAUSED, NodeEvent.CHANGE): frozenset({_WARMUP, _READY, _DEGRADED, _DRAINING}),
    **{(state, NodeEvent.UNLINK): frozenset({_UNLINKED}) for state in LINKED_STATES},
    **{(state, NodeEvent.LEAVE): frozenset({_OFFLINE}) for state in NodeState},
}
"""Where each event may lead. Nothing else changes the state of a node: the store's scripts are given this table."""


class Executor(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """A schedulable unit of a node."""

    name: str
    """Unique on the node: `cpu`, `gpu0` …"""
    slots: int
    capabilities: tuple[str, ...]
    live_reserve: int = 0
    priority: int = 0
    """The operator's word on the node, for the policy `priority`: larger goes first."""

    @property
    def signature(self) -> Signature:
        """The signature of the pool that this executor belongs to."""
        # A node may list what it has in any order and twice; its pool must not depend on that.
        return Signature(tuple(sorted(set(self.capabilities))), self.slots, self.live_reserve, self.priority)

    def check(self) -> None:
        """Return if name, slots and capabilities can be. Raises InvalidRequest."""
        check_name(self.name, "an executor")
        check_capabilities(self.capabilities)
        if not find_lacking((PERSON,), self.capabilities):
            raise InvalidRequest(f"No executor can offer {PERSON!r}: what asks for it waits for a person.")
        if not 1 <= self.slots <= MAX_SLOTS or not 0 <= self.live_reserve <= self.slots:
            raise InvalidRequest(
                f"The executor {self.name!r} has {self.slots} slots, {self.live_reserve} reserved; "
                f"it may have 1 to {MAX_SLOTS}, and reserve at most as many."
            )


class RunningView(msgspec.Struct, frozen=True):
    """One attempt that an executor holds slots for."""

    task: str
    job: str
    cost: int


class ExecutorView(msgspec.Struct, frozen=True):
    """An executor as the API shows it."""

    id: str
    name: str
    pool: str
    slots: int
    used: int
    capabilities: tuple[str, ...]
    running: tuple[RunningView, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    """Capabilities that it claims and gets no work for now, or lately did not."""


class NodeView(msgspec.Struct, frozen=True):
    """A node as the API shows it."""

    id: str
    host: str
    version: str
    state: NodeState
    registered_ms: int
    seen_ms: int
    executors: tuple[ExecutorView, ...]
    facts: dict[str, Any] = {}
    """What the node says of its machine: platform, cores, memory, FFmpeg version …"""
    instance: str = ""
    """The scheduler instance that has, or last had, its link."""
    load: dict[str, float] = {}
    """Shares 0..1 of its machine in use, as it said last: `cpu`, `memory`, `disk`, `gpu` …"""
    reason: str = ""
    """Why it takes no new work, where it does not."""
    link: str = "websocket"
    """What carries, or last carried, its link: `websocket`, where it dialled in, `push`, where it is called, or `signalr`."""


class PoolView(msgspec.Struct, frozen=True):
    """A pool as the API shows it."""

    pool: str
    capabilities: tuple[str, ...]
    slots: int
    """Of each executor."""
    executors: int
    free: int
    """Slots of all of them that nothing holds."""
    live_reserve: int = 0
    """Slots of each executor that batch work may not take."""
    priority: int = 0
    """The operator's word on their nodes."""
