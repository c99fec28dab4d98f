"""The rules of a fleet that all its instances follow; the leader writes them, with a version (DESIGN.md §3)."""

from __future__ import annotations

import msgspec


class TenantShare(msgspec.Struct, frozen=True):
    """What the operator said of a tenant."""

    weight: float = 1.0
    """Its part of what its class gets, against the other tenants' weights."""
    cap: int = 0
    """Most slots it may use at once in all classes, 0 for no limit."""


class FleetRules(msgspec.Struct, frozen=True):
    """How work is shared out."""

    batch_every: int = 20
    """Of so many placements one is batch's, while batch waits."""
    hold_after_ms: int = 5_000
    """After so long without room, a queue of tasks that need several slots holds an executor."""
    hold_ms: int = 60_000
    """How long it is held."""
    max_open: int = 1_000_000
    """Most tasks that are not final, in the whole cell."""
    max_open_per_tenant: int = 200_000
    tenants: dict[str, TenantShare] = {}


class Membership(msgspec.Struct, frozen=True):
    """What an instance learns each time it says that it lives."""

    leader: str
    """Id of the instance that leads."""
    epoch: int
    """Rises with each new leader; a leader's writes carry it."""
    config_version: int
    """Of the rules that are in force."""
