"""Clean-ups that are seen through."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from mediafleet.node.patience import finish


async def test_the_result_of_the_work_is_returned() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await finish(work(), name="count") == 7


async def test_a_failure_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await finish(work(), name="fail")


async def test_a_failure_behind_a_cancel_is_logged_and_troubles_nobody_later() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    gate, begun = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await gate.wait()
        raise ZeroDivisionError

    finishing = asyncio.create_task(finish(work(), name="remove j0-x"))
    await begun.wait()
    finishing.cancel()
    with capture_logs() as said:
        gate.set()
        await asyncio.wait([finishing])
    assert finishing.cancelled()
    assert [(line["event"], line["work"]) for line in said] == [("clean-up failed", "remove j0-x")]
    assert complaints == []


async def test_work_that_cancels_itself_ends_the_waiting() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await finish(work(), name="give up")
