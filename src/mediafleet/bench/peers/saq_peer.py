"""SAQ: two workers of a hundred jobs each."""

# pyright: basic, reportMissingImports=false
# Peers are never needed by the type check or by the tests, so their types are not known.

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from redis.asyncio import Redis
from saq.queue.redis import RedisQueue

from .seam import PATIENCE_S, RESULT, RESULT_POLL_S, WORKERS, redis_url, until

BULK = 100
"""Submissions on their way at once; the queue itself lets twenty through."""
CONNECTIONS = 1000


async def noop(_context: dict[str, Any]) -> dict[str, str]:
    """Do nothing."""
    return RESULT


def make_queue() -> RedisQueue:
    """Return a queue on the store, with room for a connection of each waiting job: redis-py's own limit is 100."""
    return RedisQueue(Redis.from_url(redis_url(), max_connections=CONNECTIONS))


settings = {"queue": make_queue(), "functions": [noop], "concurrency": 100}


class SaqPeer:
    """Many by `enqueue` side by side."""

    settings: ClassVar[str] = "2 workers, concurrency 100; enqueue side by side"

    def __init__(self) -> None:
        self._queue = make_queue()

    def worker_command(self) -> list[str]:
        """Both processes are its command's own."""
        return ["-m", "saq", f"{__name__}.settings", "--workers", str(WORKERS), "--quiet"]

    async def submit(self, count: int) -> None:
        """A hundred at a time."""
        for start in range(0, count, BULK):
            await asyncio.gather(*(self._queue.enqueue("noop") for _ in range(min(BULK, count - start))))

    async def wait(self, count: int) -> None:
        """Until none is incomplete: a job stops being so in the step that stores its result."""
        del count

        async def is_over() -> bool:
            return await self._queue.count("incomplete") == 0

        await until(is_over)

    async def round_trip(self) -> None:
        """The result is polled."""
        await self._queue.apply("noop", timeout=PATIENCE_S, poll_interval=RESULT_POLL_S)


def make() -> SaqPeer:
    """Return the peer."""
    return SaqPeer()
