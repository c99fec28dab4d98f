"""What a task queue does to be measured; the same few verbs for each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import ClassVar, Protocol

REDIS_VARIABLE = "MEDIAFLEET_BENCH_REDIS"
"""Environment variable with the address of the store, `unix:///…/redis.sock`."""
WORKERS = 2
POLL_S = 0.02
"""How often the end of a bulk is looked for; the fleet is asked as often."""
RESULT_POLL_S = 0.001
"""How often one result is looked for, where a peer looks at all."""
PATIENCE_S = 60
"""Longest wait for one result."""
RESULT = {"echo": ""}
"""What each task returns; the fleet's no-op task returns the same."""


class Peer(Protocol):
    """One task queue, its workers apart; made in the process that submits."""

    settings: ClassVar[str]
    """What was set and left, in a few words for the table."""

    def worker_command(self) -> list[str]:
        """Return the arguments for the interpreter that start two worker processes."""
        ...

    async def submit(self, count: int) -> None:
        """Submit so many no-op tasks the way its documentation does it for many."""
        ...

    async def wait(self, count: int) -> None:
        """Return once the results of the tasks that were submitted last, so many, are recorded."""
        ...

    async def round_trip(self) -> None:
        """Submit one task and return with its result in hand."""
        ...


def redis_url() -> str:
    """Return the address of the store.

    From the environment, since the workers are programs of the peers, which hand nothing on to our modules.
    """
    return os.environ[REDIS_VARIABLE]


async def until(is_over: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until the answer is yes."""
    while not await is_over():  # noqa: ASYNC110 - the workers are other processes
        await asyncio.sleep(POLL_S)
