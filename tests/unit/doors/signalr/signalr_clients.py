"""Raw clients of the hub, over each transport, for tests of the door."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
from tests_support.signalr_parts import record, records

PATH = "/signalrhub"
PATIENCE_S = 15.0


async def negotiate(client: aiohttp.ClientSession, query: str = "negotiateVersion=1") -> dict[str, Any]:
    async with client.post(f"{PATH}/negotiate?{query}") as response:
        assert response.status == 200
        return await response.json()


async def negotiated_word(client: aiohttp.ClientSession, query: str = "negotiateVersion=1") -> str:
    """Return what the client puts into `id`."""
    agreed = await negotiate(client, query)
    return agreed.get("connectionToken") or agreed["connectionId"]


class Wire:
    """One end of a connection in JSON, whatever carries it."""

    def __init__(self) -> None:
        self.got: deque[Any] = deque()

    async def send(self, data: bytes) -> None:
        raise NotImplementedError

    async def receive(self) -> bytes:
        """Return the next bytes; empty at the end."""
        raise NotImplementedError

    async def next(self) -> Any:
        """Return the next message; None at the end."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.got:
                data = await self.receive()
                if not data:
                    return None
                self.got += records(data)
        return self.got.popleft()

    async def shake(self, version: int = 1) -> None:
        await self.send(record(protocol="json", version=version))
        assert await self.next() == {}


class SocketWire(Wire):
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__()
        self.socket = socket

    async def send(self, data: bytes) -> None:
        await self.socket.send_str(data.decode())

    async def receive(self) -> bytes:
        message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return cast("str", message.data).encode()
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING}
        return b""


class PostWire(Wire):
    def __init__(self, client: aiohttp.ClientSession, word: str) -> None:
        super().__init__()
        self.client, self.word = client, word

    @property
    def url(self) -> str:
        return f"{PATH}?id={self.word}"

    async def send(self, data: bytes) -> None:
        assert await self.post(data) == 200

    async def post(self, data: bytes) -> int:
        async with self.client.post(self.url, data=data) as response:
            return response.status


class EventWire(PostWire):
    def __init__(self, client: aiohttp.ClientSession, word: str, response: aiohttp.ClientResponse) -> None:
        super().__init__(client, word)
        self.response = response

    async def receive(self) -> bytes:
        line = await self.response.content.readline()
        if not line:
            return b""
        assert line.startswith(b"data: ")
        assert line.endswith(b"\r\n")
        assert await self.response.content.readline() == b"\r\n"
        return line.removeprefix(b"data: ").removesuffix(b"\r\n")


class PollWire(PostWire):
    async def receive(self) -> bytes:
        while True:
            async with self.client.get(self.url) as response:
                if response.status == 204:
                    return b""
                assert response.status == 200
                if data := await response.read():
                    return data


@asynccontextmanager
async def connected(transport: str, client: aiohttp.ClientSession) -> AsyncGenerator[Wire]:
    """Connect and shake hands over one of the transports."""
    word = await negotiated_word(client)
    if transport == "WebSockets":
        async with client.ws_connect(f"{PATH}?id={word}", max_msg_size=0) as socket:
            wire = SocketWire(socket)
            await wire.shake()
            yield wire
    elif transport == "ServerSentEvents":
        async with client.get(f"{PATH}?id={word}", headers={"Accept": "text/event-stream"}) as response:
            assert response.status == 200
            events = EventWire(client, word, response)
            await events.shake()
            yield events
    else:
        async with client.get(f"{PATH}?id={word}") as response:
            assert (response.status, await response.read()) == (200, b"")
        poll = PollWire(client, word)
        await poll.shake()
        yield poll


async def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds that only a turn of the loop can change."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for is anything, and most of it sets no event
            await asyncio.sleep(0.01)


async def polls(number: int) -> None:
    """Wait until so many polls are open at the server, which runs in this loop."""
    await until(lambda: sum(task.get_name() == "signalr-poll" for task in asyncio.all_tasks()) == number)
