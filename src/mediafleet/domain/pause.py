"""Pauses: of a job, of a node, of the fleet (docs/decisions/0026)."""

from __future__ import annotations

import msgspec


class PauseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How something is paused; the body of the routes that pause, and may be left out."""

    now: bool = False
    """Running attempts are stopped, and begin anew when it goes on; otherwise they finish."""


class FleetPause(msgspec.Struct, frozen=True):
    """Whether the fleet is paused: then nothing begins, whatever is submitted and whichever nodes come."""

    paused: bool = False
    since_ms: int | None = None
    now: bool = False
    """What ran was stopped."""


NOT_PAUSED = FleetPause()
