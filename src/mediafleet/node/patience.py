"""Waiting to the end of a clean-up, however often the one who waits is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Run to the end and return the result; a cancel that comes meanwhile is raised afterwards.

    The work itself must be bounded.
    """
    task = asyncio.create_task(work, name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return task.result()
