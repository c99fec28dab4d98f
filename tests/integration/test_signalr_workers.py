"""Workers of an older fleet at a real scheduler: whole tasks, from `/api/tasks` to their results."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from older_fleet import FILM, Master, serving_master
from pysignalr.client import SignalRClient
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol
from signalrcore_client import CORE_WAYS, CoreClient
from tests_support.hub_worker import HubWorker, Order, eventually

from mediafleet.ops.settings import SignalrSettings
from mediafleet.store import Store

PATIENCE_S = 30


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for is anything, and most of it sets no event
            await asyncio.sleep(0.01)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def master(stack: AsyncExitStack) -> Master:
    return await stack.enter_async_context(serving_master())


class Gate:
    """Work that goes on when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, worker: HubWorker, order: Order) -> None:
        await worker.call("UpdateTaskProgress", order.number, 2_500, "recognizing")
        await self.open.wait()
        worker.finish(order.number, "TaskCompleted", order.raw, order.translated)


async def test_a_task_goes_to_a_worker_and_its_progress_and_result_come_back(
    stack: AsyncExitStack, master: Master
) -> None:
    gate = Gate()
    worker = await stack.enter_async_context(HubWorker(master.url, "Subber 1", gate).running())
    number = await master.submit()
    await until(lambda: worker.begun == [number])
    task = await eventually(lambda: master.task(number), lambda task: task["progress"] == 2_500)
    assert (task["worker_id"], task["state"]) == ("Subber 1", "recognizing")
    assert task["created_at"] <= task["started_at"]
    gate.open.set()
    task = await master.until(number, "completed")
    assert FILM.items() <= task.items()
    assert (task["progress"], task["worker_id"], task["error"]) == (10_000, "Subber 1", None)
    await until(lambda: worker.acknowledged == [number])
    assert (await master.ask("GET", "/api/tasks"))[1]["tasks"] == [task]


async def test_workers_are_shown_in_the_words_of_older_fleets(stack: AsyncExitStack, master: Master) -> None:
    worker = await stack.enter_async_context(HubWorker(master.url, "a/b", slots=3).running())
    able = {"gpu_available": True, "concurrent_tasks": 2}
    assert "error" not in await worker.answered("UpdateWorkerStatus", "a/b", {"status": "idle", "capabilities": able})

    async def shown() -> Any:
        return (await master.ask("GET", "/api/workers/a/b"))[1]

    found = await eventually(shown, lambda worker: worker["capabilities"] == able)
    assert (found["endpoint"], found["status"]) == ("http://a/b:9000", "idle")
    assert found["last_seen"].endswith("Z")
    assert (await master.ask("GET", "/api/workers"))[1] == {"workers": [await shown()]}
    (node,) = (await master.ask("GET", "/api/v1/nodes"))[1]
    assert node["link"] == "signalr"
    (executor,) = node["executors"]
    assert executor["slots"] == 2
    assert {"hw:gpu", "link:signalr", "kind:subtitize"} <= set(executor["capabilities"])
    status, problem = await master.ask("GET", "/api/workers/nobody")
    assert (status, "GET /api/workers" in problem["detail"]) == (404, True)


async def test_a_failure_is_tried_again_and_in_the_end_is_the_tasks(stack: AsyncExitStack, master: Master) -> None:
    async def fail(worker: HubWorker, order: Order) -> None:
        worker.finish(order.number, "TaskFailed", "no such film")

    workers = [await stack.enter_async_context(HubWorker(master.url, f"w{n}", fail).running()) for n in (1, 2)]
    # One retry and not three: their waits are no business of this test.
    body = {"kind": "subtitize", "params": {**FILM, "number": 77}, "limits": {"max_tries": 2}}
    _, job = await master.ask("POST", "/api/v1/jobs", {**body, "idempotency_key": "signalr-task-77"})
    _, view = await master.ask("GET", f"/api/v1/jobs/{job['id']}?wait_s={PATIENCE_S}")
    assert (view["status"], view["error"]["message"]) == ("failed", "no such film")
    assert [number for worker in workers for number in worker.begun] == [77, 77]
    (letter,) = (await master.ask("GET", "/api/v1/dead-letters"))[1]["letters"]
    assert letter["job"] == job["id"]
    assert (await master.task(77))["error"] == "no such film"


@pytest.mark.parametrize(
    "body",
    [
        {"params": FILM},
        {"params": {**FILM, "number": 5}},
        {"params": {**FILM, "number": 5}, "idempotency_key": "signalr-task-6"},
        {"params": {**FILM, "number": 5}, "idempotency_key": "signalr-task-5", "tenant": "other"},
    ],
)
async def test_no_task_gets_a_number_that_could_be_anothers(master: Master, body: dict[str, Any]) -> None:
    status, problem = await master.ask("POST", "/api/v1/jobs", {"kind": "subtitize", **body})
    assert (status, "POST /api/tasks" in problem["detail"]) == (422, True)


async def test_a_cancelled_task_is_stopped_and_its_worker_free(stack: AsyncExitStack, master: Master) -> None:
    gate = Gate()
    worker = await stack.enter_async_context(HubWorker(master.url, "w", gate).running())
    first = await master.submit()
    await until(lambda: worker.begun == [first])
    status, task = await master.ask("DELETE", f"/api/tasks/{first}")
    assert (status, task["status"]) == (200, "cancelled")
    await until(lambda: worker.stopped == [first])
    await worker.call("TaskFailed", first, "stopped")
    gate.open.set()
    second = await master.submit()
    await master.until(second, "completed")
    assert worker.begun == [first, second]
    status, problem = await master.ask("DELETE", f"/api/tasks/{second}")
    assert (status, "completed" in problem["detail"]) == (409, True)


async def test_a_worker_that_was_away_for_a_moment_goes_on_and_delivers(stack: AsyncExitStack, master: Master) -> None:
    gate = Gate()
    worker = await stack.enter_async_context(HubWorker(master.url, "w", gate).running())
    number = await master.submit()
    await until(lambda: worker.begun == [number])
    await worker.cut()
    gate.open.set()
    await master.until(number, "completed")
    await until(lambda: worker.acknowledged == [number])
    assert worker.begun == [number]


async def test_the_tasks_of_a_worker_that_stays_away_go_to_another(stack: AsyncExitStack, master: Master) -> None:
    gone = HubWorker(master.url, "gone", Gate())
    async with gone.running():
        number = await master.submit()
        await until(lambda: gone.begun == [number])
    other = await stack.enter_async_context(HubWorker(master.url, "other").running())
    task = await master.until(number, "completed")
    assert task["worker_id"] == "other"
    assert other.begun == [number]


async def test_a_worker_that_came_back_empty_handed_is_found_out(stack: AsyncExitStack, master: Master) -> None:
    async with HubWorker(master.url, "w", Gate()).running() as before:
        number = await master.submit()
        await until(lambda: before.begun == [number])
    # The same worker, started again: it knows nothing of the task, and does not say so.
    after = await stack.enter_async_context(HubWorker(master.url, "w").running())
    await master.until(number, "completed")
    # It was told to stop, in case it was at it, and then given it anew.
    assert (after.stopped, after.begun) == ([number], [number])


async def test_a_result_that_comes_after_the_lease_counts_if_nobody_was_first(
    stack: AsyncExitStack, master: Master
) -> None:
    gate = Gate()
    worker = HubWorker(master.url, "w", gate)
    async with worker.running():
        number = await master.submit()
        await until(lambda: worker.begun == [number])
    await eventually(lambda: master.ask("GET", "/api/workers/w"), lambda got: got[1]["status"] == "offline")
    late = HubWorker(master.url, "w", gate)
    late.finish(number, "TaskCompleted", "/out/r", "/out/t")
    await stack.enter_async_context(late.running())
    task = await master.until(number, "completed")
    assert (task["raw_subtitle_path"], task["worker_id"]) == ("/out/r", "w")
    await until(lambda: late.acknowledged == [number])
    # Said once more, it is confirmed once more, and changes nothing.
    assert "error" not in await late.answered("TaskCompleted", number, "/other", "/other")
    assert (await master.task(number))["raw_subtitle_path"] == "/out/r"


async def test_a_worker_that_is_away_gets_nothing_until_it_is_back(stack: AsyncExitStack, master: Master) -> None:
    worker = await stack.enter_async_context(HubWorker(master.url, "w").running())
    await worker.answered("UpdateWorkerStatus", "w", "unavailable")

    await eventually(lambda: master.ask("GET", "/api/v1/nodes"), lambda got: got[1][0]["state"] == "degraded")
    number = await master.submit()
    assert (await master.task(number))["status"] == "pending"
    await worker.answered("UpdateWorkerStatus", "w", "idle")
    await master.until(number, "completed")


async def test_a_worker_that_paused_is_paused_still_when_its_connection_comes_back(stack: AsyncExitStack) -> None:
    master = await stack.enter_async_context(serving_master(signalr=SignalrSettings()))
    worker = HubWorker(master.url, "w", says="paused")
    async with worker.running():
        await eventually(lambda: master.ask("GET", "/api/v1/nodes"), lambda got: got[1][0]["state"] == "degraded")
    # It registers, and nothing more for now.
    again = await stack.enter_async_context(HubWorker(master.url, "w", says="").running())
    number = await master.submit()
    _, nodes = await master.ask("GET", "/api/v1/nodes")
    assert nodes[0]["state"] == "degraded"
    assert again.begun == []
    await again.answered("UpdateWorkerStatus", "w", "idle")
    await master.until(number, "completed")


async def test_a_worker_that_leaves_with_nothing_to_do_is_off_at_once(master: Master) -> None:
    worker = HubWorker(master.url, "w")
    async with worker.running():
        number = await master.submit()
        await master.until(number, "completed")
        await until(lambda: worker.acknowledged == [number])
    _, nodes = await eventually(
        lambda: master.ask("GET", "/api/v1/nodes"), lambda got: got[1][0]["state"] not in {"ready", "degraded"}
    )
    # And not only without a link, until its lease ends.
    assert nodes[0]["state"] == "offline"


async def test_the_newest_connection_of_a_worker_is_the_worker(stack: AsyncExitStack, master: Master) -> None:
    older = HubWorker(master.url, "w")
    await stack.enter_async_context(older.running())
    newer = await stack.enter_async_context(HubWorker(master.url, "w").running())
    number = await master.submit()
    await until(lambda: newer.begun or older.begun)
    await master.until(number, "completed")


async def test_wrong_calls_are_told_and_the_connection_stays(stack: AsyncExitStack, master: Master) -> None:
    worker = await stack.enter_async_context(HubWorker(master.url, "w").running())
    answered = worker.answered
    assert "speak for another" in (await answered("UpdateWorkerStatus", "x", "idle"))["error"]
    assert "open another" in (await answered("RegisterWorker", "x", ""))["error"]
    assert "error" not in await answered("RegisterWorker", "w", "http://w:9000")
    assert (
        "concurrent_tasks"
        in (await answered("UpdateWorkerStatus", "w", {"capabilities": {"concurrent_tasks": 0}}))["error"]
    )
    assert "another type" in (await answered("UpdateTaskProgress", "seven", 1, "x"))["error"]
    # Of a task that nobody knows: confirmed, so that the worker forgets it.
    assert "error" not in await answered("TaskCompleted", 999_999, "/r", "/t")
    await until(lambda: 999_999 in worker.acknowledged)
    await answered("UpdateTaskProgress", 999_999, 1, "x")
    await until(lambda: 999_999 in worker.stopped)


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"video_path": ""}, "video_path"), ({"language": "??"}, "language"), ({"raw_subtitle_path": "a\nb"}, "raw_")],
)
async def test_what_cannot_be_a_task_is_refused(master: Master, changes: dict[str, str], word: str) -> None:
    status, problem = await master.ask("POST", "/api/tasks", FILM | changes)
    assert (status, word in problem["detail"]) == (422, True), problem
    assert (await master.ask("GET", "/api/tasks"))[1] == {"tasks": []}


async def test_a_counter_that_went_back_gives_no_number_twice(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [await master.submit(video_path=f"/films/{name}.mkv") for name in "ab"]
    numbers = iter([*first, 3])

    async def count_up(_: Store, counter: str) -> int:
        return next(numbers)

    monkeypatch.setattr(Store, "count_up", count_up)
    third = await master.submit(video_path="/films/c.mkv")
    assert [(await master.task(number))["video_path"][-5:] for number in (*first, third)] == ["a.mkv", "b.mkv", "c.mkv"]


async def test_a_job_of_another_kind_is_no_task_whatever_its_key(master: Master) -> None:
    _, job = await master.ask("POST", "/api/v1/jobs", {"kind": "noop", "idempotency_key": "signalr-task-777"})
    for method in ("GET", "DELETE"):
        assert (await master.ask(method, "/api/tasks/777"))[0] == 404
    assert (await master.ask("GET", f"/api/v1/jobs/{job['id']}"))[1]["status"] != "cancelled"


@pytest.mark.parametrize("number", ["0", "-1", "7", "99999999999999999999"])
async def test_numbers_of_no_task_are_not_found(master: Master, number: str) -> None:
    assert (await master.ask("GET", f"/api/tasks/{number}"))[0] == 404
    assert (await master.ask("DELETE", f"/api/tasks/{number}"))[0] == 404


@pytest.mark.parametrize("protocol", [JSONProtocol, MessagepackProtocol])
async def test_pysignalr_works_through_a_task(stack: AsyncExitStack, master: Master, protocol: type[Any]) -> None:
    # Its own types say that arguments are objects, and it takes all.
    client: Any = SignalRClient(f"{master.url}/signalrhub", protocol=protocol())
    acknowledged = asyncio.Queue[int]()

    async def open_up() -> None:
        await client.send("RegisterWorker", ["pysignalr", "http://127.0.0.1:9000"])
        able = {"gpu_available": False, "concurrent_tasks": 1}
        await client.send("UpdateWorkerStatus", ["pysignalr", {"status": "idle", "capabilities": able}])

    async def start(arguments: list[Any]) -> None:
        number, _, raw, translated, _ = arguments
        for value in (2_500, 5_000, 10_000):
            await client.send("UpdateTaskProgress", [number, value, "recognizing"])
        await client.send("TaskCompleted", [number, raw, translated])

    async def acknowledge(arguments: list[Any]) -> None:
        acknowledged.put_nowait(arguments[0])

    client.on_open(open_up)
    client.on("StartSubtitize", start)
    client.on("Acknowledge", acknowledge)
    running = asyncio.create_task(client.run())
    stack.callback(running.cancel)
    number = await master.submit()
    async with asyncio.timeout(PATIENCE_S):
        assert await acknowledged.get() == number
    assert (await master.until(number, "completed"))["worker_id"] == "pysignalr"


@pytest.mark.parametrize(("transport", "protocol"), CORE_WAYS)
async def test_signalrcore_works_through_a_task(master: Master, transport: Any, protocol: Any) -> None:
    client = CoreClient(f"{master.url}/signalrhub", transport, protocol() if protocol else None)
    orders, acknowledged = queue.Queue[Any](), queue.Queue[Any]()
    client.connection.on("StartSubtitize", orders.put)
    client.connection.on("Acknowledge", acknowledged.put)
    await client.start()
    try:
        assert not (await client.call("RegisterWorker", "core", "http://127.0.0.1:9000")).error
        able = {"gpu_available": False, "concurrent_tasks": 1}
        assert not (await client.call("UpdateWorkerStatus", "core", {"status": "idle", "capabilities": able})).error
        number = await master.submit()
        assert await client.get(orders) == [number, *FILM.values()]
        assert not (await client.call("UpdateTaskProgress", number, 2_500, "recognizing")).error
        await eventually(lambda: master.task(number), lambda task: task["progress"] == 2_500)
        assert not (await client.call("TaskCompleted", number, "/out/a.srt", "/out/a.es.srt")).error
        assert await client.get(acknowledged) == [number]
    finally:
        await client.stop()
    assert (await master.until(number, "completed"))["worker_id"] == "core"


async def test_a_worker_of_a_fleet_with_several_cells_works_for_its_own(stack: AsyncExitStack) -> None:
    master = await stack.enter_async_context(serving_master(cells=2))
    for name in ("a", "b", "c", "d"):
        await stack.enter_async_context(HubWorker(master.url, name).running())
    numbers = [await master.submit() for _ in range(8)]
    assert numbers == list(range(1, 9))
    for number in numbers:
        assert (await master.until(number, "completed"))["task_id"] == number
