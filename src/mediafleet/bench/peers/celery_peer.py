"""Celery: a prefork worker with two children, prefetching as its optimizing guide has it for short tasks."""

# pyright: basic, reportMissingImports=false
# Peers are never needed by the type check or by the tests, so their types are not known.

from __future__ import annotations

from typing import Any, ClassVar

from celery import Celery, group

from .seam import PATIENCE_S, RESULT, WORKERS, redis_url

app = Celery(
    "peers",
    broker=redis_url().replace("unix", "redis+socket", 1),
    backend=redis_url().replace("unix", "redis+socket", 1),
)
# 128 is the guide's number for many short tasks where throughput matters.
app.conf.update(worker_prefetch_multiplier=128, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop() -> dict[str, str]:
    """Do nothing."""
    return RESULT


class CeleryPeer:
    """Bulk by `group`; its client is told of each result, as it always is where results are kept."""

    settings: ClassVar[str] = "prefork, concurrency 2, prefetch multiplier 128, no gossip, mingle, heartbeat; group"

    def __init__(self) -> None:
        self._bulk: Any = None

    def worker_command(self) -> list[str]:
        """One parent with two working children."""
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")
        return ["-m", "celery", "-A", __name__, "worker", "--concurrency", str(WORKERS), *quiet]

    async def submit(self, count: int) -> None:
        """All in one group."""
        self._bulk = group(noop.s() for _ in range(count)).apply_async()

    async def wait(self, count: int) -> None:
        """Counting alone would leave what its client is sent unread until Redis drops the connection."""
        del count
        self._bulk.get()

    async def round_trip(self) -> None:
        """The result is pushed."""
        noop.delay().get(timeout=PATIENCE_S)


def make() -> CeleryPeer:
    """Return the peer."""
    return CeleryPeer()
