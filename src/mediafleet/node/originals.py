"""Looks after the originals that this node has replaced: settles what its last life left half-done, empties the trash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import structlog

if TYPE_CHECKING:
    from mediafleet.artifacts.originals import Originals

EVERY_S = 3600.0
"""How often originals are looked for whose time is over; it is counted in days."""

_log = structlog.get_logger(__name__)


async def look_after(originals: Originals, *, every_s: float = EVERY_S) -> NoReturn:
    """Settle what was cut off, then empty the trash again and again."""
    await originals.settle()
    while True:
        if removed := await originals.empty_trash():
            _log.info("removed originals whose time in the trash was over", count=removed)
        await asyncio.sleep(every_s)
