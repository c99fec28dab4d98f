"""Dramatiq: two processes of eight threads, its default number, with results in Redis."""

# pyright: basic, reportMissingImports=false
# Peers are never needed by the type check or by the tests, so their types are not known.

from __future__ import annotations

from typing import ClassVar

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from .seam import PATIENCE_S, RESULT, WORKERS, redis_url, until

broker = RedisBroker(url=redis_url())
broker.add_middleware(Results(backend=RedisBackend(url=redis_url())))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop() -> dict[str, str]:
    """Do nothing."""
    return RESULT


class DramatiqPeer:
    """Bulk by `group`."""

    settings: ClassVar[str] = "2 processes x 8 threads, results in Redis; group"

    def worker_command(self) -> list[str]:
        """The threads are left at eight."""
        return ["-m", "dramatiq", __name__, "--processes", str(WORKERS), "--skip-logging"]

    async def submit(self, count: int) -> None:
        """All in one group."""
        dramatiq.group([noop.message() for _ in range(count)]).run()

    async def wait(self, count: int) -> None:
        """Until no message is left: each is confirmed after its result is stored.

        Asking for each result, as `group.wait` does, would make its client dearer than ours, which counts as well.
        """
        del count

        async def is_over() -> bool:
            return broker.do_qsize(noop.queue_name) == 0

        await until(is_over)

    async def round_trip(self) -> None:
        """The result is waited for in Redis."""
        noop.send().get_result(block=True, timeout=PATIENCE_S * 1000)


def make() -> DramatiqPeer:
    """Return the peer."""
    return DramatiqPeer()
