"""arq: two workers of a hundred jobs each, polling often."""

# pyright: basic, reportMissingImports=false
# Peers are never needed by the type check or by the tests, so their types are not known.

from __future__ import annotations

import asyncio
from typing import Any, ClassVar
from urllib.parse import unquote

from arq import create_pool
from arq.connections import RedisSettings
from arq.constants import default_queue_name

from .seam import PATIENCE_S, RESULT, RESULT_POLL_S, redis_url, until

BULK = 100
"""Submissions on their way at once; its client opens a connection for each."""
SETTINGS = RedisSettings(unix_socket_path=unquote(redis_url().removeprefix("unix://")))


async def noop(_context: dict[Any, Any]) -> dict[str, str]:
    """Do nothing."""
    return RESULT


class WorkerSettings:
    """What its command reads; the default delay of half a second would be all that is measured on an idle queue."""

    functions: ClassVar = [noop]
    redis_settings = SETTINGS
    max_jobs = 100
    poll_delay = 0.01
    log_results = False


class ArqPeer:
    """It has no bulk; many at once on the event loop is its documentation's way."""

    settings: ClassVar[str] = "2 workers, max_jobs 100, poll_delay 0.01 s, no result logging; enqueue_job side by side"

    def __init__(self) -> None:
        self._pool: Any = None

    def worker_command(self) -> list[str]:
        """Its command runs one process; a second is started beside it."""
        return ["-m", "peers.arq_workers"]

    async def submit(self, count: int) -> None:
        """A hundred at a time."""
        pool = await self._connect()
        for start in range(0, count, BULK):
            await asyncio.gather(*(pool.enqueue_job("noop") for _ in range(min(BULK, count - start))))

    async def wait(self, count: int) -> None:
        """Until the queue is empty: a job leaves it in the step that stores its result."""
        del count
        pool = await self._connect()

        async def is_over() -> bool:
            return await pool.zcard(default_queue_name) == 0

        await until(is_over)

    async def round_trip(self) -> None:
        """The result is polled."""
        job = await (await self._connect()).enqueue_job("noop")
        await job.result(timeout=PATIENCE_S, poll_delay=RESULT_POLL_S)

    async def _connect(self) -> Any:
        if self._pool is None:
            self._pool = await create_pool(SETTINGS)
        return self._pool


def make() -> ArqPeer:
    """Return the peer."""
    return ArqPeer()
