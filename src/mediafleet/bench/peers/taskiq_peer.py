"""taskiq: two workers on a Redis stream, the broker of its Redis package that confirms."""

# pyright: basic, reportMissingImports=false
# Peers are never needed by the type check or by the tests, so their types are not known.

from __future__ import annotations

import asyncio
from typing import ClassVar

from redis.asyncio import Redis
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from .seam import PATIENCE_S, RESULT, RESULT_POLL_S, WORKERS, redis_url, until

BULK = 100
"""Submissions on their way at once."""
results: RedisAsyncResultBackend[dict[str, str]] = RedisAsyncResultBackend(redis_url())
broker = RedisStreamBroker(redis_url()).with_result_backend(results)


@broker.task(task_name="noop")
async def noop() -> dict[str, str]:
    """Do nothing."""
    return RESULT


class TaskiqPeer:
    """It has no bulk; many at once on the event loop is the way of an asynchronous client."""

    settings: ClassVar[str] = "RedisStreamBroker, 2 workers, 100 tasks each, no parsing; kiq side by side"

    def __init__(self) -> None:
        self._redis = Redis.from_url(redis_url())
        self._is_open = False
        self._goal = 0

    def worker_command(self) -> list[str]:
        """The numbers of tasks and of prefetched ones are its defaults."""
        quiet = ("--log-level", "ERROR")
        return ["-m", "taskiq", "worker", f"{__name__}:broker", "--workers", str(WORKERS), "--no-parse", *quiet]

    async def submit(self, count: int) -> None:
        """A hundred at a time."""
        await self._open()
        self._goal = await self._redis.dbsize() + count
        for start in range(0, count, BULK):
            await asyncio.gather(*(noop.kiq() for _ in range(min(BULK, count - start))))

    async def wait(self, count: int) -> None:
        """Until there are as many keys more as there are tasks: each result is one, and the stream was there before."""
        del count

        async def is_over() -> bool:
            return await self._redis.dbsize() >= self._goal

        await until(is_over)

    async def round_trip(self) -> None:
        """The result is polled."""
        await self._open()
        task = await noop.kiq()
        await task.wait_result(check_interval=RESULT_POLL_S, timeout=PATIENCE_S)

    async def _open(self) -> None:
        if not self._is_open:
            await broker.startup()
            self._is_open = True


def make() -> TaskiqPeer:
    """Return the peer."""
    return TaskiqPeer()
