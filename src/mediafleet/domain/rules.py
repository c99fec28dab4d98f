"""A fleet's instances, and the rules that all of them follow; the leader writes them (DESIGN.md §3)."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from mediafleet.domain.errors import InvalidRequest


class TenantShare(msgspec.Struct, frozen=True):
    """What the operator said of a tenant."""

    weight: float = 1.0
    """Its part of what its class gets, against the other tenants' weights."""
    cap: int = 0
    """Most slots it may use at once in all classes, 0 for no limit."""


_TENANT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(?P<weight>\d+(\.\d+)?)(:(?P<cap>\d+))?")


def parse_tenants(lines: Iterable[str]) -> dict[str, TenantShare]:
    """Return what `name:weight` or `name:weight:cap` say of tenants, by name.

    Raises:
        InvalidRequest: One has another form, a weight that is not above 0, or is named twice.
    """
    shares: dict[str, TenantShare] = {}
    for line in lines:
        found = _TENANT.fullmatch(line)
        if not found or float(found["weight"]) <= 0:
            raise InvalidRequest(
                f"{line!r} says nothing of a tenant; write name:weight or name:weight:cap, as studio:2:8."
            )
        if found["name"] in shares:
            raise InvalidRequest(f"The tenant {found['name']!r} is named twice.")
        shares[found["name"]] = TenantShare(float(found["weight"]), int(found["cap"] or 0))
    return shares


class FleetRules(msgspec.Struct, frozen=True):
    """How work is shared out."""

    batch_every: int = 20
    """Of so many placements one is batch's, while batch waits."""
    hold_after_ms: int = 5_000
    """After so long without room, a queue of tasks that need several slots holds an executor."""
    hold_ms: int = 60_000
    """How long it is held."""
    max_kills: int = 2
    """A task that was at work on so many nodes when they died fails as poison; 0 for no limit."""
    max_open: int = 1_000_000
    """Most tasks that are not final, in the whole cell."""
    max_open_per_tenant: int = 200_000
    """The same of each tenant; it leaves room for others."""
    max_open_live: int = 0
    max_open_interactive: int = 0
    max_open_batch: int = 0
    """The same of each class; 0 for no bound of its own."""
    tenants: dict[str, TenantShare] = {}


class Membership(msgspec.Struct, frozen=True):
    """What an instance learns each time it says that it lives."""

    leader: str
    """Id of the instance that leads."""
    epoch: int
    """Rises with each new leader; a leader's writes carry it."""
    config_version: int
    """Of the rules that are in force."""


class Lead(msgspec.Struct, frozen=True):
    """A leader as it was elected: what it does carries this, so that nothing comes of it once another may lead."""

    instance: str
    epoch: int


class InstanceDocument(msgspec.Struct, frozen=True):
    """What an instance says of itself."""

    version: str
    """Of the program."""
    host: str
    pid: int
    schema: int = 1
    """Version of the stored shapes that it writes, and so the newest that it reads."""
    kinds: dict[str, tuple[int, ...]] = {}
    """Kinds, and the versions of each, whose jobs it can plan."""


class InstanceView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An instance as users see it."""

    id: str
    version: str
    host: str
    pid: int
    leads: bool
    nodes: int
    """Nodes whose link it has."""
    inbox: int
    """Messages that wait for it."""
    kinds: dict[str, tuple[int, ...]] = {}
    """Kinds, and the versions of each, whose jobs it can plan."""
    sessions: int = 0
    """Live sessions that it owns."""


class KindAside(msgspec.Struct, frozen=True):
    """What a job waits for whose kind some instance lacks."""

    kind: str
    version: int
    having: tuple[str, ...]
    """Living instances that can plan it."""
    living: int
    """All instances that live."""


class ClusterView(msgspec.Struct, frozen=True):
    """The instances of a cell, and the rules that they go by."""

    instances: tuple[InstanceView, ...]
    leader: str
    """Empty for the moment in which nobody leads."""
    epoch: int
    config_version: int
    rules: FleetRules
