"""Waiting to the end of a clean-up, however often the one who waits is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def finish(work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Run to the end and return the result; a cancel that comes meanwhile is raised afterwards.

    The work itself must be bounded.
    """
    # A task of its own, because a cancel goes to whatever the caller awaits; `shield` alone would let the caller
    # go at the first cancel, and the folder or the children would still be there when it has ended.
    task = asyncio.create_task(work, name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        # The cancel is what the caller hears of. A failure of the work is looked at too, or asyncio would
        # complain about it at some later moment, when nobody knows any more what it belonged to.
        if not task.cancelled() and (failure := task.exception()):
            _log.error("clean-up failed", work=name, exc_info=failure)
        raise cancelled
    return task.result()
