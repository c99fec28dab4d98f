"""A store that hangs makes links wait; it does not fill the memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mediafleet.domain.frames import Heartbeat
from mediafleet.ops.metrics import Metrics
from mediafleet.scheduler.links import LinkTable
from mediafleet.scheduler.settler import MOST_WAITING_FRAMES, Settler, SettleRules
from mediafleet.store.records import Freed

DEADLINE_S = 20.0
NODE, OTHER = "n0-a-1", "n0-b-2"


class HangingStore:
    """Answers heartbeats once it is let go."""

    def __init__(self) -> None:
        self.back = asyncio.Event()
        self.renewed: list[str] = []

    async def renew(self, reports: Sequence[Any], *, lease_ms: int) -> Any:
        await self.back.wait()
        self.renewed += [report.node for report in reports]
        return SimpleNamespace(stops=[], unknown=[], freed=Freed([], -1))


@pytest.fixture
def hanging() -> HangingStore:
    """A store that hangs."""
    return HangingStore()


@pytest.fixture
def settler(hanging: HangingStore) -> Settler:
    """A settler whose store hangs."""
    return Settler(
        cast("Any", hanging),
        LinkTable(),
        cast("Any", None),
        Metrics(),
        rules=SettleRules(1000),
        on_final=lambda: None,
    )


async def fill(settler: Settler, node: str) -> None:
    """Send heartbeats until the node would have to wait."""
    for _ in range(MOST_WAITING_FRAMES):
        async with asyncio.timeout(DEADLINE_S):
            await settler.room(node)
        settler.take(node, 1, Heartbeat((), {}))


async def test_a_node_with_many_frames_waiting_is_not_read_until_the_store_is_back(
    settler: Settler, hanging: HangingStore
) -> None:
    await fill(settler, NODE)
    reader = asyncio.create_task(settler.room(NODE))
    flush = asyncio.create_task(settler.step())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not reader.done()
    hanging.back.set()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(reader, flush)


async def test_other_nodes_are_read_meanwhile(settler: Settler) -> None:
    await fill(settler, NODE)
    async with asyncio.timeout(DEADLINE_S):
        await settler.room(OTHER)


async def test_a_reader_that_gives_up_costs_nothing(settler: Settler, hanging: HangingStore) -> None:
    await fill(settler, NODE)
    reader = asyncio.create_task(settler.room(NODE))
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    hanging.back.set()
    await settler.step()
    assert hanging.renewed == [NODE], "many heartbeats of one batch are one"
    await fill(settler, NODE)
