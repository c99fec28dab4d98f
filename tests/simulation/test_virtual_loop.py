"""Time that jumps, and processes that stop, go on and die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from fleet_simulator.loop import Process, Stuck, VirtualLoop, current

T = TypeVar("T")


def run(work: Callable[[VirtualLoop], Awaitable[T]]) -> T:
    loop = VirtualLoop()

    async def main() -> T:
        return await work(loop)

    try:
        return loop.run_until_complete(main())
    finally:
        loop.end()


def start(process: Process, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Run something as a part of a process."""

    async def main() -> None:
        await work()

    token = current.set(process)
    task = asyncio.get_running_loop().create_task(main())
    current.reset(token)
    return task


def ticking(beats: list[float]) -> Callable[[], Awaitable[None]]:
    async def tick() -> None:
        while True:
            beats.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)

    return tick


def test_a_day_passes_at_once() -> None:
    async def work(loop: VirtualLoop) -> float:
        await asyncio.sleep(86_400)
        return loop.time()

    before = time.monotonic()
    assert run(work) == pytest.approx(86_400)
    assert time.monotonic() - before < 3_600


def test_timers_fire_in_order_and_timeouts_go_by_virtual_time() -> None:
    async def work(_: VirtualLoop) -> list[str]:
        order: list[str] = []

        async def note(seconds: float) -> None:
            await asyncio.sleep(seconds)
            order.append(f"{seconds:g}")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.gather(note(3), note(1), note(2))
        return order

    assert run(work) == ["1", "2"]


def test_waiting_for_what_never_comes_is_an_error_and_not_a_hang() -> None:
    async def work(_: VirtualLoop) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(work)


def test_a_stopped_process_misses_its_time_and_goes_on_after_it() -> None:
    async def work(loop: VirtualLoop) -> tuple[list[float], list[float]]:
        process, beats, others = Process("a"), list[float](), list[float]()
        start(process, ticking(beats))
        start(Process("b"), ticking(others))
        await asyncio.sleep(2.5)
        loop.stop_process(process)
        await asyncio.sleep(10)
        loop.resume_process(process)
        await asyncio.sleep(1.2)
        return beats, others

    beats, others = run(work)
    assert beats == pytest.approx([0, 1, 2, 12.5, 13.5])
    assert len(others) == 14


def test_what_others_do_for_a_stopped_process_waits_for_it() -> None:
    async def work(loop: VirtualLoop) -> list[float]:
        process, queue, seen = Process("a"), asyncio.Queue[int](), list[float]()

        async def read() -> None:
            while True:
                await queue.get()
                seen.append(loop.time())

        start(process, read)
        await asyncio.sleep(1)
        loop.stop_process(process)
        queue.put_nowait(1)
        await asyncio.sleep(5)
        loop.resume_process(process)
        await asyncio.sleep(1)
        return seen

    assert run(work) == pytest.approx([6])


def test_a_timer_that_is_cancelled_in_the_meantime_does_not_fire_after_the_stop() -> None:
    async def work(loop: VirtualLoop) -> list[str]:
        process, fired = Process("a"), list[str]()

        async def two_timers() -> None:
            late = loop.call_later(2, fired.append, "late")
            loop.call_later(1, late.cancel)

        start(process, two_timers)
        await asyncio.sleep(0.5)
        loop.stop_process(process)
        await asyncio.sleep(9)
        loop.resume_process(process)
        await asyncio.sleep(1)
        return fired

    assert run(work) == []


def test_a_killed_process_runs_nothing_more_not_even_its_finally() -> None:
    async def work(loop: VirtualLoop) -> list[str]:
        process, done = Process("a"), list[str]()

        async def hold() -> None:
            try:
                await asyncio.sleep(1)
                done.append("slept")
            finally:
                done.append("finally")

        task = start(process, hold)
        await asyncio.sleep(0.5)
        loop.kill_process(process)
        task.cancel()
        loop.resume_process(process)
        await asyncio.sleep(5)
        return list(done)

    assert run(work) == []
