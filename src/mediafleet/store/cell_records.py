"""What scripts take and return that are about a cell as a whole: its bounds, its instances, its shapes."""

from __future__ import annotations

from typing import Literal

import msgspec


class Bounds(msgspec.Struct, frozen=True):
    """Most tasks that are not final, 0 for no bound; see `includes/bounds.lua`."""

    all: int
    tenant: int
    by_class: dict[str, int] = msgspec.field(name="class")
    """By the first letter of the class."""


class Coming(msgspec.Struct, frozen=True):
    """What a call brings that comes in several pieces, or in several cells; see `includes/coming.lua`."""

    call: str
    tasks: dict[str, int]
    """Those that are still to come after this script call, by class and tenant."""
    keep_ms: int
    """How long room is kept for them."""


class Full(msgspec.Struct, frozen=True):
    """A bound that a submission does not fit into."""

    field: str
    """`all`, `class:<first letter>` or `tenant:<name>`."""
    open: int
    """Those that calls at the same time keep room for are among them."""
    most: int
    asked: int
    """Tasks that were to be added."""


class HomeClaim(msgspec.Struct, frozen=True):
    """A cell that the job of a new idempotency key is to go to."""

    tenant: str
    key: str
    cell: str


class HomesClaimed(msgspec.Struct, frozen=True):
    """Reply of `claim_homes`."""

    cells: list[str]


class HomesLeft(msgspec.Struct, frozen=True):
    """Reply of `leave_homes`."""

    freed: int


class RootMark(msgspec.Struct, frozen=True):
    """What an instance that lives has left in its artifact root."""

    instance: str
    mark: str


class RootClaimed(msgspec.Struct, frozen=True):
    """Reply of `claim_root`."""

    others: list[RootMark]
    gone: list[str]
    """Instances that live no more."""


class SchemaAdopted(msgspec.Struct, frozen=True):
    """Reply of `check_schema`."""

    verdict: Literal["adopted", "newer", "older", "in-use"]
    version: int
    """What the cell was marked with before; 0 for nothing."""
    oldest_reader: int
    instance: str
    """One that lives and could not read on."""


class Message(msgspec.Struct, frozen=True):
    """Something for the node of another instance."""

    node: str
    kind: Literal["assign", "frame"]
    body: str
    """A `PlacedTask`, or a frame, as JSON."""
    hops: int = 0
    """How often it was passed on."""


class Forwarded(msgspec.Struct, frozen=True):
    """Reply of `forward`."""

    sent: int
    mine: list[int]
    """Positions, from 1, of messages whose node the caller itself has a link to."""
    dead: int
    """How many nobody can deliver."""


class Configured(msgspec.Struct, frozen=True):
    """Reply of `configure`."""

    accepted: bool
    version: int


class Buried(msgspec.Struct, frozen=True):
    """Reply of `bury`."""

    accepted: bool
    moved: int
    undelivered: int
    done: bool


class Retired(msgspec.Struct, frozen=True):
    """Reply of `retire`."""

    led: bool


class Deferred(msgspec.Struct, frozen=True):
    """Reply of `defer`."""

    deferred: bool


class Rechecked(msgspec.Struct, frozen=True):
    """Reply of `recheck`."""

    dirty: int
