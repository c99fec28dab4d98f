"""What the scripts `pause`, `resume`, `pause_node` and `pause_fleet` answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.pause import NOT_PAUSED, FleetPause
from mediafleet.store.connection import translate_errors
from mediafleet.store.records import Stop

if TYPE_CHECKING:
    from mediafleet.store.keys import Keys


class PausePiece(msgspec.Struct, frozen=True):
    """Reply of `pause`."""

    status: str
    """Before; empty where there is no such job."""
    cursor: int
    stops: list[Stop]


class ResumePiece(msgspec.Struct, frozen=True):
    """Reply of `resume`."""

    status: str
    left: bool
    queues: list[str]


class NodePaused(msgspec.Struct, frozen=True):
    """Reply of `pause_node`."""

    found: bool
    stops: list[Stop]
    queues: list[str]


class FleetPaused(msgspec.Struct, frozen=True):
    """Reply of `pause_fleet`."""

    paused: bool
    since_ms: int
    now: bool


def fleet_pause(kept: bytes | None) -> FleetPause:
    """Return what the key `paused` says, `<since ms>|now` or `<since ms>|soft`; pure."""
    if not kept:
        return NOT_PAUSED
    since, _, how = kept.decode().partition("|")
    return FleetPause(paused=True, since_ms=int(since), now=how == "now")


async def read_fleet_pause(redis: Any, keys: Keys) -> FleetPause:
    """Return whether the cell is paused. Raises StoreUnavailable."""
    with translate_errors():
        return fleet_pause(await redis.get(keys.paused))
