"""Two hundred workers of an older fleet, and the instance dies in the middle: each task is done once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses
from tests_support.hub_worker import HubWorker, Order, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

WORKERS, TASKS = 200, 2_000
PATIENCE_S = 240


async def work_a_little(worker: HubWorker, order: Order) -> None:
    """Take some time, so that a kill meets many at work."""
    await worker.call("UpdateTaskProgress", order.number, 5_000, "recognizing")
    await asyncio.sleep(1)
    worker.finish(order.number, "TaskCompleted", order.raw, order.translated)


def submit(fleet: FleetProcesses, number: int) -> int:
    body = {
        "video_path": f"/films/{number}.mkv",
        "raw_subtitle_path": f"/out/{number}.srt",
        "translated_subtitle_path": f"/out/{number}.es.srt",
        "language": "es",
    }
    answer: Any = fleet.post("/api/tasks", body)
    fleet.accepted.append(answer["job_id"])
    return answer["task_id"]


async def completed(fleet: FleetProcesses) -> int:
    listed = (await asyncio.to_thread(fleet.get, "/api/tasks", {"tasks": []}))["tasks"]
    counts = Counter(task["status"] for task in listed)
    assert not counts["failed"] + counts["cancelled"]
    return counts["completed"]


async def unacknowledged(workers: list[HubWorker]) -> int:
    return sum(len(worker.outbox) for worker in workers)


async def test_no_task_of_200_workers_is_lost_or_done_twice_when_the_instance_is_killed(fleet: FleetProcesses) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        workers = [HubWorker(fleet.url, f"w{number}", work_a_little) for number in range(WORKERS)]
        await asyncio.gather(*(stack.enter_async_context(worker.running()) for worker in workers))
        numbers = [await asyncio.to_thread(submit, fleet, number) for number in range(TASKS)]
        assert sorted(numbers) == list(range(1, TASKS + 1))
        await eventually(lambda: completed(fleet), lambda done: done >= TASKS // 4, patience_s=PATIENCE_S)
        await asyncio.to_thread(fleet.kill_scheduler)
        await asyncio.to_thread(fleet.start_scheduler)
        await eventually(lambda: completed(fleet), lambda done: done == TASKS, patience_s=PATIENCE_S)
        await eventually(lambda: unacknowledged(workers), lambda left: left == 0, patience_s=PATIENCE_S)
        tasks = (await asyncio.to_thread(fleet.get, "/api/tasks"))["tasks"]
    begun = Counter(number for worker in workers for number in worker.begun)
    assert sorted(begun) == sorted(numbers)
    assert [number for number, count in begun.items() if count > 1] == []
    done_by = {task["task_id"]: task["worker_id"] for task in tasks}
    assert len(done_by) == TASKS
    for worker in workers:
        assert all(done_by[number] == worker.name for number in worker.begun)
    check_aftermath(fleet, fleet.accepted)
