"""huey: two worker processes that wait in Redis."""

# pyright: basic, reportMissingImports=false
# Peers are never needed by the type check or by the tests, so their types are not known.

from __future__ import annotations

from typing import Any, ClassVar

from huey import RedisHuey

from .seam import PATIENCE_S, RESULT, RESULT_POLL_S, WORKERS, redis_url, until

huey: Any = RedisHuey("peers", url=redis_url())


@huey.task()
def noop() -> dict[str, str]:
    """Do nothing."""
    return RESULT


class HueyPeer:
    """Bulk by `map`, without arguments: by calling the task as often."""

    settings: ClassVar[str] = "2 worker processes, no periodic tasks; one call a task"

    def __init__(self) -> None:
        self._goal = 0

    def worker_command(self) -> list[str]:
        """Its scheduler stays: it has no switch."""
        kind = ("--worker-type", "process", "--workers", str(WORKERS), "--no-periodic", "--quiet")
        return ["-m", "huey.bin.huey_consumer", f"{__name__}.huey", *kind]

    async def submit(self, count: int) -> None:
        """One after the other, as `map` does it."""
        self._goal = huey.result_count() + count
        for _ in range(count):
            noop()

    async def wait(self, count: int) -> None:
        """Until there are as many results more as there are tasks."""
        del count

        async def is_over() -> bool:
            return huey.result_count() >= self._goal

        await until(is_over)

    async def round_trip(self) -> None:
        """The result is polled."""
        result: Any = noop()
        result.get(blocking=True, timeout=PATIENCE_S, backoff=1, max_delay=RESULT_POLL_S)


def make() -> HueyPeer:
    """Return the peer."""
    return HueyPeer()
