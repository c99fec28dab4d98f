"""What a process that reserves saw."""

from __future__ import annotations

import msgspec


class Tally(msgspec.Struct):
    """Reservations of one process."""

    reserved: int = 0
    doubled: int = 0
    """Those of an executor that another already held."""
