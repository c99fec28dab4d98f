"""Keeps a part's loop alive: no fault of one step, and no outage, may end an instance's work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn

import structlog

from mediafleet.domain.errors import StoreUnavailable

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0
"""While the store is away: short enough that service resumes by itself within a second."""
CANCEL_AGAIN_S = 0.5
FAULT_WAIT_S = 1.0
"""After a fault of ours: it may come again at once, and must not fill the disk with log lines."""

log = structlog.get_logger(__name__)


async def end_loops(loops: Iterable[asyncio.Task[None]]) -> None:
    """Cancel loops until all have ended.

    Once is not always enough: on Python 3.11 a `wait_for` inside a library may swallow a cancellation that comes
    together with what it waits for, and the loop would go on for ever.
    """
    pending = set(loops)
    while pending:
        for loop in pending:
            loop.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


async def keep_going(name: str, step: Callable[[], Awaitable[None]]) -> NoReturn:
    """Repeat a step for ever; cancel to end.

    A step that raises must have put back what it could not do.
    """
    wait = 0.0
    while True:
        try:
            await step()
        except StoreUnavailable as error:
            # Once an outage and not once a try: an outage of a night must not fill the log.
            if not wait:
                log.warning("the store is away", loop=name, reason=error.message)
            # Doubled, so that a store that restarts is met soon, and one that is away is not asked all the time.
            wait = min(LONGEST_WAIT_S, max(FIRST_WAIT_S, wait * 2))
            await asyncio.sleep(wait)
        except Exception:
            log.exception("a step failed", loop=name)
            await asyncio.sleep(FAULT_WAIT_S)
        else:
            if wait:
                log.info("the store answers again", loop=name)
            wait = 0.0
