"""What several cells say, said once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from mediafleet.domain.errors import InvalidRequest, StoreUnavailable
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.explanation import Explanation, Waiting
from mediafleet.domain.health import Cause
from mediafleet.domain.insight import FleetGauges, OpenTasks, QueueDepth, merge_gauges
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.node import NodeState, PoolView
from mediafleet.scheduler.cell_events import merge_events
from mediafleet.scheduler.cell_views import (
    best_explanation,
    join_positions,
    merge_clusters,
    merge_pools,
    split_position,
)


def explanation(waits_for: Waiting, *pools: str) -> Explanation:
    return Explanation(waits_for, (), pools, "", (), 0, (), 0, None, None)


def test_what_waits_in_all_cells_waits_as_long_as_the_oldest() -> None:
    one = FleetGauges({PriorityClass.LIVE: QueueDepth(1, 50)}, {NodeState.READY: 2}, 3, {Cause.MISSING: 1})
    two = FleetGauges(
        {PriorityClass.LIVE: QueueDepth(2, 90, is_cut=True)},
        {NodeState.OFFLINE: 1},
        4,
        {Cause.MISSING: 2, Cause.FAILURES: 1},
    )
    merged = merge_gauges([one, two])
    assert merged.queues == {PriorityClass.LIVE: QueueDepth(3, 90, is_cut=True)}
    assert (dict(merged.nodes), merged.dead_letters) == ({NodeState.READY: 2, NodeState.OFFLINE: 1}, 7)
    assert dict(merged.withheld) == {Cause.MISSING: 3, Cause.FAILURES: 1}
    assert merge_gauges([one]) is one


def test_open_tasks_are_those_of_all_cells_and_a_tenants_those_of_one() -> None:
    none = FleetGauges({}, {}, 0)
    one = msgspec.structs.replace(none, open=OpenTasks(5, {PriorityClass.LIVE: 5}, "ann", 5))
    two = msgspec.structs.replace(none, open=OpenTasks(8, {PriorityClass.LIVE: 1, PriorityClass.BATCH: 7}, "bob", 7))
    merged = merge_gauges([one, two]).open
    assert (merged.all, merged.tenant, merged.of_tenant) == (13, "bob", 7)
    assert dict(merged.by_class) == {PriorityClass.LIVE: 6, PriorityClass.BATCH: 7}


def test_pools_of_one_signature_are_one() -> None:
    one, other = PoolView("p", ("a",), 4, 2, 3), PoolView("q", ("b",), 1, 1, 1)
    assert merge_pools([[one, other], [one]]) == [PoolView("p", ("a",), 4, 4, 6), other]


def test_an_instance_is_listed_once_with_what_it_has_in_all_cells() -> None:
    def view(leader: str, *instances: dict[str, Any]) -> dict[str, Any]:
        return {"instances": list(instances), "leader": leader, "epoch": 3, "config_version": 1, "store": {}}

    both = {"id": "i-1", "host": "h", "leads": True, "nodes": 2, "inbox": 1}
    merged = merge_clusters(
        {"0": view("i-1", both), "1": view("i-2", {**both, "leads": False}, {**both, "id": "i-2", "nodes": 0})}
    )
    assert merged["instances"] == [{**both, "nodes": 4, "inbox": 2}, {**both, "id": "i-2", "nodes": 0}]
    assert [(cell["cell"], cell["leader"], cell["epoch"]) for cell in merged["cells"]] == [
        ("0", "i-1", 3),
        ("1", "i-2", 3),
    ]
    assert merged["leader"] == "i-1"


@pytest.mark.parametrize("better", [Waiting.NOTHING, Waiting.TURN])
def test_task_is_explained_by_the_cell_in_which_it_would_begin_first(better: Waiting) -> None:
    none = explanation(Waiting.POOL)
    full, free = explanation(Waiting.ROOM, "p"), explanation(better, "p")
    assert best_explanation([none, full, free]) is free
    assert best_explanation([none, full]) is full
    assert best_explanation([none]) is none


def test_position_names_each_cell_or_stands_for_all() -> None:
    assert split_position(join_positions(["1-0", "2-5"]), 2) == ["1-0", "2-5"]
    assert split_position("0-0", 3) == ["0-0"] * 3
    assert split_position("", 2) == ["", ""]
    with pytest.raises(InvalidRequest, match="of 3 cells, but there are 2"):
        split_position("1-0_2-0_3-0", 2)


class Stream:
    """Events that a test hands in, one by one."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
        self.is_closed = False

    def tell(self, at_ms: int) -> None:
        self.queue.put_nowait(Event(f"{at_ms}-0", EventType.JOB_STARTED, at_ms))

    async def follow(self) -> AsyncGenerator[Event]:
        try:
            while (event := await self.queue.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.is_closed = True


async def test_events_of_all_cells_come_as_they_happen_with_a_position_in_each() -> None:
    one, two = Stream(), Stream()
    merged = merge_events([one.follow(), two.follow()], ["1-0", "2-0"])
    two.tell(7)
    assert (await anext(merged)).id == "1-0_7-0"
    one.tell(8)
    two.tell(9)
    two.tell(10)
    assert [(await anext(merged)).id for _ in range(3)] == ["8-0_7-0", "8-0_9-0", "8-0_10-0"]
    await merged.aclose()
    assert one.is_closed
    assert two.is_closed


async def test_what_is_there_at_once_is_told_in_the_order_of_its_time() -> None:
    streams = [Stream(), Stream(), Stream()]
    for stream, at_ms in zip(streams, (30, 10, 20), strict=True):
        stream.tell(at_ms)
    merged = merge_events([stream.follow() for stream in streams], ["0-0"] * 3)
    assert [(await anext(merged)).at_ms for _ in streams] == [10, 20, 30]
    await merged.aclose()


async def test_stream_of_all_ends_with_that_of_one_cell() -> None:
    """One who fell behind in a cell comes back with a position; going on without that cell would leave a hole."""
    one, two = Stream(), Stream()
    one.queue.put_nowait(None)
    assert [event async for event in merge_events([one.follow(), two.follow()], ["0-0", "0-0"])] == []
    assert two.is_closed


async def test_fault_of_a_cell_reaches_who_watches() -> None:
    one, two = Stream(), Stream()
    one.queue.put_nowait(StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await anext(merge_events([one.follow(), two.follow()], ["0-0", "0-0"]))
