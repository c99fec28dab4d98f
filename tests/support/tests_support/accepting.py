"""Servers that are stopped while a connection is on its way."""

from __future__ import annotations

import asyncio
from typing import Any


async def all_accepted() -> None:
    """Wait until the server knows all that was accepted: what it learns of once it stops, it would not close."""
    while accepting := [task for task in asyncio.all_tasks() if _is_accepting(task)]:
        await asyncio.wait(accepting)


def _is_accepting(task: asyncio.Task[Any]) -> bool:
    # The event loop has no public name for it.
    return getattr(task.get_coro(), "__name__", "") == "_accept_connection2"
