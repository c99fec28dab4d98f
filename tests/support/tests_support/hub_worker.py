"""A worker of an older fleet, as its program would be written: it speaks SignalR in JSON over a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, TypeVar

import aiohttp

from tests_support.signalr_parts import record, records

RECONNECT_S = 0.2


Found = TypeVar("Found")


async def eventually(
    look: Callable[[], Awaitable[Found]], holds: Callable[[Found], Any], *, patience_s: float = 30.0
) -> Found:
    """Look again and again until something holds of what is found, and return that."""
    async with asyncio.timeout(patience_s):
        while not holds(found := await look()):  # noqa: ASYNC110 - another process tells of nothing by itself
            await asyncio.sleep(0.02)
    return found


class Order(NamedTuple):
    """The arguments of `StartSubtitize`."""

    number: int
    video: str
    raw: str
    translated: str
    language: str


Work = Callable[["HubWorker", Order], Awaitable[None]]


async def work_at_once(worker: HubWorker, order: Order) -> None:
    """Say how far it is, and finish."""
    await worker.call("UpdateTaskProgress", order.number, 5_000, "recognizing")
    worker.finish(order.number, "TaskCompleted", order.raw, order.translated)


class HubWorker:
    """Comes back whenever its connection ends, and keeps a result until it is acknowledged."""

    def __init__(self, url: str, name: str, work: Work = work_at_once, *, slots: int = 1, says: str = "ready") -> None:
        """Take what it does; `says` is its first word on itself, none where empty."""
        self.name = name
        self._says = says
        self.slots = slots
        self.begun: list[int] = []
        """Numbers of the tasks that it began, each as often as it did."""
        self.stopped: list[int] = []
        self.acknowledged: list[int] = []
        self.answers: dict[str, Any] = {}
        self.outbox: dict[int, tuple[Any, ...]] = {}
        self.registered = asyncio.Event()
        self.changed = asyncio.Event()
        self._url = url
        self._work = work
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._calls = 0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[HubWorker]:
        """Run until the block ends; it is registered inside."""
        running = asyncio.create_task(self.run(), name=self.name)
        try:
            await self.registered.wait()
            yield self
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def run(self) -> None:
        """Connect again and again."""
        async with aiohttp.ClientSession() as session:
            try:
                while True:
                    with suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
                        async with session.ws_connect(f"{self._url}/signalrhub") as socket:
                            await self._serve(socket)
                    await asyncio.sleep(RECONNECT_S)
            finally:
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def cut(self) -> None:
        """Close the connection, as a program that ends does."""
        if self._socket:
            await self._socket.close()

    async def call(self, target: str, *arguments: Any) -> str:
        """Call a method without waiting for its answer, which comes into `answers`; nothing happens while it is away."""
        self._calls += 1
        word = str(self._calls)
        if self._socket and not self._socket.closed:
            with suppress(ConnectionError):
                message = record(type=1, invocationId=word, target=target, arguments=list(arguments))
                await self._socket.send_str(message.decode())
        return word

    async def answered(self, target: str, *arguments: Any) -> Any:
        """Call a method and return the whole completion."""
        word = await self.call(target, *arguments)
        while word not in self.answers:
            self.changed.clear()
            await self.changed.wait()
        return self.answers[word]

    def finish(self, number: int, target: str, *arguments: Any) -> None:
        """Keep an outcome until it is acknowledged, and say it now."""
        self.outbox[number] = (target, number, *arguments)
        self._tasks[-number] = asyncio.create_task(self._deliver(number))

    async def _deliver(self, number: int) -> None:
        await self.call(*self.outbox[number])

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        await socket.send_str(record(protocol="json", version=1).decode())
        await socket.receive()
        await self.call("RegisterWorker", self.name, f"http://{self.name}:9000")
        status = {"status": self._says, "capabilities": {"gpu_available": False, "concurrent_tasks": self.slots}}
        if self._says:
            await self.call("UpdateWorkerStatus", self.name, status)
        for number in list(self.outbox):
            await self._deliver(number)
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            for one in records(message.data.encode()):
                self._take(one)
                self.changed.set()

    def _take(self, message: Any) -> None:
        if message["type"] == 3:
            self.answers[message["invocationId"]] = message
            # The second call of a connection: the first has ended by then.
            self.registered.set()
        if message["type"] != 1:
            return
        match message["target"], message["arguments"]:
            case "StartSubtitize", arguments:
                self._begin(Order(*arguments))
            case "StopSubtitize", [number]:
                self.stopped.append(number)
                if task := self._tasks.pop(number, None):
                    task.cancel()
            case "Acknowledge", [number]:
                self.acknowledged.append(number)
                self.outbox.pop(number, None)
                self._tasks.pop(number, None)
            case _:
                pass

    def _begin(self, order: Order) -> None:
        self.begun.append(order.number)
        self._tasks[order.number] = asyncio.create_task(self._run(order))

    async def _run(self, order: Order) -> None:
        await self._work(self, order)
