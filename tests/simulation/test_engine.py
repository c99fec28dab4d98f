"""The store in memory answers as the real one does, as far as the scripts and readers ask it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest
from fleet_simulator.client import SimulatedRedis, StoreNetwork
from fleet_simulator.engine import Engine
from fleet_simulator.loop import VirtualLoop
from tests_support.store_driver import StoreDriver, announce

from mediafleet.domain.errors import StoreUnavailable
from mediafleet.store import Store
from mediafleet.store.cell_records import Message
from mediafleet.store.inbox import Inbox
from mediafleet.store.keys import Keys

T = TypeVar("T")


def run(work: Callable[[StoreDriver, StoreNetwork], Awaitable[T]]) -> T:
    """Do something with a store in memory."""
    loop = VirtualLoop()
    with Engine(loop.wall_s) as engine:

        async def main() -> T:
            network = StoreNetwork(engine, random.Random(1))  # noqa: S311 - repeated, and no secret
            return await work(StoreDriver(Store(SimulatedRedis(network), Keys("t", "0"))), network)

        try:
            return loop.run_until_complete(main())
        finally:
            loop.end()


def test_a_task_goes_through_its_life() -> None:
    async def work(driver: StoreDriver, _: StoreNetwork) -> tuple[list[str], str | None, int]:
        await driver.join("n0-a-1", slots=2)
        job = await driver.submit_one("a", "b", outcome_of="a")
        placed = await driver.place_all()
        assert await driver.ack(*placed) == []
        verdicts = [(await driver.finish(task))[0] for task in (*placed, placed[0])]
        view = await driver.store.read.job(job)
        return verdicts, view.status if view else None, await driver.used("n0-a-1/cpu")

    assert run(work) == (["accepted", "accepted", "duplicate"], "completed", 0)


def test_presence_ends_by_virtual_time() -> None:
    async def work(driver: StoreDriver, _: StoreNetwork) -> tuple[list[str], list[str]]:
        await announce(driver.store, "i-1", ttl_ms=1_000)
        before = await driver.store.read.live_instances()
        await asyncio.sleep(1.5)
        return before, await driver.store.read.live_instances()

    assert run(work) == (["i-1"], [])


def test_a_blocking_read_wakes_when_a_message_comes_and_ends_in_time_without_one() -> None:
    async def work(driver: StoreDriver, network: StoreNetwork) -> tuple[list[str], float, int, float]:
        loop = asyncio.get_running_loop()
        await announce(driver.store, "i-1")
        await announce(driver.store, "i-2")
        await driver.join("n0-a-1", instance="i-1")
        reading = asyncio.ensure_future(Inbox(driver.store, "i-1").read(count=9, block_ms=60_000))
        await asyncio.sleep(2)
        sent = loop.time()
        await driver.store.forward([Message("n0-a-1", "frame", "{}")], instance="i-2")
        found = await reading
        woke = loop.time() - sent
        began = loop.time()
        none = await Inbox(driver.store, "i-1").read(count=9, block_ms=3_000)
        return [message.body for _, message in found], woke, len(none), loop.time() - began

    bodies, woke, none, waited = run(work)
    assert (bodies, none) == (["{}"], 0)
    assert woke < 0.1
    assert waited == pytest.approx(3, abs=0.1)


def test_scripts_come_back_after_they_were_flushed() -> None:
    async def work(driver: StoreDriver, network: StoreNetwork) -> int:
        await driver.join("n0-a-1")
        network.engine.forget_scripts()
        return (await driver.join("n0-a-1")).epoch

    assert run(work) == 2


def test_a_store_that_is_away_is_an_error_of_ours_and_runs_nothing() -> None:
    async def work(driver: StoreDriver, network: StoreNetwork) -> int:
        network.is_away = True
        with pytest.raises(StoreUnavailable):
            await driver.submit_one("a")
        network.is_away = False
        return int(await driver.redis.zcard(driver.store.keys.jobs()))

    assert run(work) == 0


def test_a_rewind_brings_back_the_data_of_the_snapshot_each_time() -> None:
    async def work(driver: StoreDriver, network: StoreNetwork) -> list[Any]:
        await driver.redis.set("a", "1")
        snapshot = network.engine.snapshot()
        seen: list[Any] = []
        for value in ("2", "3"):
            await driver.redis.set("a", value)
            network.engine.rewind(snapshot)
            seen.append(await driver.redis.get("a"))
        return seen

    assert run(work) == [b"1", b"1"]


def test_what_goes_into_a_script_comes_out_the_same() -> None:
    """As the real cmsgpack does it: lists, maps, whole and broken numbers, text, nothing."""
    text = "return cmsgpack.pack(cmsgpack.unpack(ARGV[1]))"
    given: dict[str, Any] = {"list": [1, "zwei", 3.5], "map": {"a": [], "b": True}, "name": "größe", "none": None}

    async def work(driver: StoreDriver, _: StoreNetwork) -> Any:
        return msgspec.msgpack.decode(await driver.redis.eval(text, 0, msgspec.msgpack.encode(given)))

    assert run(work) == {"list": [1, "zwei", 3.5], "map": {"a": [], "b": True}, "name": "größe"}
