"""Lets tasks wait for a claim that other tasks of the loop make true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Something that changes; whoever changes it says so."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def note(self) -> None:
        """Have all claims looked at again."""
        # A new event each time: whoever waits holds the old one, so no wake-up is lost to another waiter's `clear`.
        self._next.set()
        self._next = asyncio.Event()

    async def until(self, claim: Callable[[], object], *, within_s: float | None = None) -> bool:
        """Wait until the claim holds; return whether it does in time."""
        try:
            async with asyncio.timeout(within_s):
                while not claim():
                    await self._next.wait()
        except TimeoutError:
            return bool(claim())
        return True
