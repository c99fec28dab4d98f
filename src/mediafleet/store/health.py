"""What the scripts `reshape` and `withhold` take and return."""

from __future__ import annotations

import msgspec

from mediafleet.store.records import ExecutorRecord, Freed


class NodeChange(msgspec.Struct, frozen=True):
    """What a linked node says anew of itself; see `reshape.lua`."""

    node: str
    epoch: int
    state: str
    """`ready`, `degraded`, or empty for nothing new."""
    reason: str
    executors: list[ExecutorRecord]
    pools: dict[str, str]
    facts: str = ""
    """What to show of its machine, JSON; empty for nothing new."""


class Reshaped(msgspec.Struct, frozen=True):
    """Reply of `reshape`."""

    current: bool
    state: str
    queues: list[str]
    freed: Freed


class MissingReport(msgspec.Struct, frozen=True):
    """A node lacks a capability that it claimed."""

    node: str
    task: str
    grant: str
    capability: str
    reason: str


class WithheldRecord(msgspec.Struct, frozen=True):
    """A capability that left an executor's signature."""

    executor: str
    capability: str
    until_ms: int


class WithheldReply(msgspec.Struct, frozen=True):
    """Reply of `withhold`."""

    withheld: list[WithheldRecord]
    queues: list[str]
    freed: Freed
